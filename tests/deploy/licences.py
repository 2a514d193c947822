"""Under which licences the packages stand that Postern needs at run time. As a program (`make licences`): the list."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).parents[2] / "deploy" / "LICENCES.md"
HEAD = """# Licences of what Postern needs at run time

Written by `make licences`, held by a test. Postern itself is under Apache-2.0. The versions are in `requirements.lock`.
The bill of materials of an image is what this prints:
`docker run --rm --entrypoint cat postern /opt/postern/sbom.cdx.json`.

| package | licence |
|---|---|
"""
_CLASSIFIER = "License :: OSI Approved :: "


def needed() -> dict[str, str]:
    """Each package with its licence, as its own metadata says, for this Python on this machine."""
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
    """In the words of the package."""
    told = metadata(name)
    if expression := told.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [it.removeprefix(_CLASSIFIER) for it in told.get_all("Classifier", []) if it.startswith(_CLASSIFIER)]
    return "; ".join(classifiers) or str(told.get_all("License", ["?"])[0]).splitlines()[0]


def written() -> dict[str, str]:
    """The list in the repository."""
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
    rows = "".join(f"| `{name}` | {told} |\n" for name, told in needed().items())
    FILE.write_text(HEAD + rows, "utf-8")
