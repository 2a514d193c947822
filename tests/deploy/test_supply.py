"""What comes with Postern: its bill of materials, its licences, and an image that takes only what is pinned."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.licences import needed, written

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Mozilla Public License 2\.0|MPL-2\.0|LGPL-3\.0-only")


def locked() -> set[str]:
    """The names in requirements.lock."""
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))


def test_every_licence_is_told() -> None:
    """Of each package that is needed here, in its own words: `make licences` writes them again."""
    assert needed().items() <= written().items()
    assert written().keys() <= locked()


def test_every_licence_is_free() -> None:
    """And none asks Postern's users for their sources: psycopg's LGPL is for changes to psycopg."""
    unknown = {name: told for name, told in written().items() if not FREE.search(told)}
    assert unknown == {}
    assert [name for name, told in written().items() if "GPL" in told] == ["psycopg", "psycopg-binary"]


def test_the_bill_of_materials(tmp_path: Path) -> None:
    """The image's own command, over this environment: every package that is needed, with version and licence."""
    [command] = re.findall(r"/build/bin/cyclonedx-py ((?:[^\n]+\\\n)*[^\n]+)", DOCKERFILE)
    file = tmp_path / "sbom.cdx.json"
    words = command.replace("\\\n", " ").replace("/opt/postern/sbom.cdx.json", str(file)).split()
    assert words[-1] == "/opt/postern"
    program = [sys.executable, "-m", "cyclonedx_py", *words[:-1], sys.executable]
    told = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    bill = json.loads(file.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "postern"
    components = {re.sub("[-_.]+", "-", it["name"]).lower(): it for it in bill["components"]}
    for name in needed():
        assert components[name]["version"]
        assert components[name].get("licenses") or name == "protobuf"  # which tells it in words of its own


def test_the_image_takes_what_is_pinned() -> None:
    """By hash, from one base that can be exchanged, as a user that is not root, and without a shell before Postern."""
    assert re.search(r"pip wheel --require-hashes .*requirements\.lock", DOCKERFILE)
    installs = re.findall(r"pip (?:--python \S+ )?install ([^\n]+)", DOCKERFILE)
    assert installs
    assert all(words.startswith("--no-index --find-links /wheels") for words in installs)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert '\nENTRYPOINT ["postern"]\nCMD ["serve"]\n' in DOCKERFILE
