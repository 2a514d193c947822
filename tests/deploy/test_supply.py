"""Supply chain: bill of materials, licences, pinned packages in the image, known vulnerabilities."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.deploy.licences import needed, written

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
# The first versions without the vulnerabilities that were known in November 2026.
FIXED = {
    "aiosmtplib": "5.1.2",  # CVE-2026-55558
    "cryptography": "46.0.7",  # CVE-2026-26007, CVE-2026-34073, CVE-2026-39892
    "httpcore": "1.0.9",  # which needs h11 0.16: CVE-2025-43859
    "idna": "3.15",  # CVE-2024-3651, CVE-2026-45409
    "jinja2": "3.1.6",  # CVE-2025-27516
    "pyjwt": "2.13",  # CVE-2026-32597, and four of May 2026
    "requests": "2.33",  # CVE-2024-47081, CVE-2026-25645
    "starlette": "1.0.1",  # CVE-2025-62727, and the Host header of May 2026
    "urllib3": "2.7",  # CVE-2026-21441, CVE-2026-44432
}
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Mozilla Public License 2\.0|MPL-2\.0|LGPL-3\.0-only")


def locked() -> set[str]:
    """Return the names in requirements.lock."""
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))


def test_every_licence_is_listed() -> None:
    """For each required package; `make licences` writes the list."""
    assert needed().items() <= written().items()
    assert written().keys() <= locked()


def test_every_licence_is_free() -> None:
    """None requires users of Postern to publish their code: the LGPL of psycopg applies to changes of psycopg."""
    unknown = {name: licence for name, licence in written().items() if not FREE.search(licence)}
    assert unknown == {}
    assert [name for name, licence in written().items() if "GPL" in licence] == ["psycopg", "psycopg-binary"]


def test_the_bill_of_materials(tmp_path: Path) -> None:
    """The command of the image, run on this environment, lists every required package with version and licence."""
    [command] = re.findall(r"/build/bin/cyclonedx-py ((?:[^\n]+\\\n)*[^\n]+)", DOCKERFILE)
    file = tmp_path / "sbom.cdx.json"
    words = command.replace("\\\n", " ").replace("/opt/postern/sbom.cdx.json", str(file)).split()
    assert words[-1] == "/opt/postern"
    program = [sys.executable, "-m", "cyclonedx_py", *words[:-1], sys.executable]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads(file.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "postern"
    components = {re.sub("[-_.]+", "-", it["name"]).lower(): it for it in bill["components"]}
    for name in needed():
        assert components[name]["version"]
        assert components[name].get("licenses") or name == "protobuf"  # its metadata has a licence text of its own


def test_the_image_installs_pinned_packages() -> None:
    """By hash, on one exchangeable base, as a user other than root, and without a shell as entry point."""
    assert re.search(r"pip wheel --require-hashes .*requirements\.lock", DOCKERFILE)
    installs = re.findall(r"pip (?:--python \S+ )?install ([^\n]+)", DOCKERFILE)
    assert installs
    assert all(words.startswith("--no-index --find-links /wheels") for words in installs)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert '\nENTRYPOINT ["postern"]\nCMD ["serve"]\n' in DOCKERFILE


@pytest.mark.parametrize("name", FIXED)
def test_no_vulnerable_version_is_allowed(name: str) -> None:
    """The lower bound excludes it, for installations without the lock; the lock is at or above the bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = {need.name: need.specifier for need in map(Requirement, project["dependencies"])}
    (bound,) = (one for one in bounds[name] if one.operator in (">=", "=="))
    assert Version(bound.version) >= Version(FIXED[name])
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    [pinned] = re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE)
    assert Version(pinned) >= Version(bound.version)
