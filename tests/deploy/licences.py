"""Licences of the packages that Postern needs at run time. As a program (`make licences`): write the list."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).parents[2] / "deploy" / "LICENCES.md"
HEAD = """# Licences of the packages that Postern needs at run time

Written by `make licences`, verified by a test. Postern itself is under Apache-2.0. The versions are in
`requirements.lock`.
This command prints the bill of materials of an image:
`docker run --rm --entrypoint cat postern /opt/postern/sbom.cdx.json`.

| package | licence |
|---|---|
"""
_CLASSIFIER = "License :: OSI Approved :: "


def needed() -> dict[str, str]:
    """Return the licence of each package from its metadata, for this Python on this machine."""
    found: dict[str, str] = {}
    waiting = [Requirement("postern[traces]")]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        if name != "postern":
            found[name] = licence(name)
        waiting += _needs(name, requirement.extras)
    return dict(sorted(found.items()))


def licence(name: str) -> str:
    """Return the licence as the metadata of the package has it."""
    facts = metadata(name)
    if expression := facts.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [it.removeprefix(_CLASSIFIER) for it in facts.get_all("Classifier", []) if it.startswith(_CLASSIFIER)]
    return "; ".join(classifiers) or str(facts.get_all("License", ["?"])[0]).splitlines()[0]


def written() -> dict[str, str]:
    """Return the list in the repository."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", FILE.read_text("utf-8"), re.MULTILINE))


def _needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    try:
        given = requires(name) or []
    except PackageNotFoundError:
        return
    for requirement in map(Requirement, given):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


if __name__ == "__main__":
    rows = "".join(f"| `{name}` | {licence} |\n" for name, licence in needed().items())
    FILE.write_text(HEAD + rows, "utf-8")
