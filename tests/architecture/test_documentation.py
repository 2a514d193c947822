"""The documentation has the facts of the code: generated tables, links and names."""

import re
from pathlib import Path

import pytest

from tests.architecture.reference_tables import ROOT, TABLE, TABLES, markdown_files, with_tables

SOURCE = re.compile(r"\b(?:src|srcset)=\"(?!https?:)([^\"]+)\"")
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_current(path: Path) -> None:
    """Run `make docs` after a change of settings, metrics, log events, routes, errors, commands or states."""
    text = path.read_text("utf-8")
    assert with_tables(text) == text, "stale: run `make docs`"


def test_every_table_is_published_once() -> None:
    """Settings, metrics, log events, routes, error names and commands each have one home."""
    published = [name for path in markdown_files() for _, name, _ in TABLE.findall(path.read_text("utf-8"))]
    assert sorted(published) == sorted(TABLES)


def test_every_error_name_is_documented() -> None:
    """The table of errors has those of the specification; the reference names the others in its text."""
    reference = (ROOT / "deploy/docs/api.md").read_text("utf-8")
    used = {
        name.lower()
        for path in (ROOT / "app").rglob("*.py")
        for name in re.findall(r"\bErrorName\.([A-Z_]+)\b", path.read_text("utf-8"))
    }
    assert used <= set(re.findall(r"`([a-z_]+)`", reference))


@pytest.mark.parametrize("name", ["DESIGN.md", "DECISIONS.md"])
def test_modules_that_the_design_names_exist(name: str) -> None:
    """A renamed module is renamed there too."""
    text = (ROOT / "app" / name).read_text("utf-8")
    named = re.findall(r"`(?:app/)?([a-z_0-9]+(?:/[a-z_0-9]+)*\.py|[a-z_]+(?:/[a-z_0-9]+)+)`", text)
    walk = re.findall(r"^ {2,4}([a-z_0-9]+/[a-z_/0-9]+)", text, re.MULTILINE)
    missing = {one for one in (*named, *walk) if not any((ROOT / "app" / path).exists() for path in (one, f"{one}.py"))}
    assert not missing


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(path: Path) -> None:
    """Paths below app, tests and deploy between backticks."""
    named = re.findall(r"`((?:app|tests|deploy)/[\w./-]+)`", path.read_text("utf-8"))
    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    """A fragment is the heading's text in lower case, as GitHub writes it."""
    text = CODE.sub("", path.read_text("utf-8"))
    assert all((path.parent / image).exists() for image in SOURCE.findall(text))
    for target, fragment in LINK.findall(text):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        if fragment:
            assert fragment in _fragments(file), f"{target}#{fragment}"


def _fragments(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_top_level_files() -> None:
    """The root folder holds only what belongs there."""
    allowed = {
        "pyproject.toml", "Dockerfile", "docker-compose.yml", "app", "tests", "deploy", "README.md",
        "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "requirements.lock",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= allowed | {"data"}
