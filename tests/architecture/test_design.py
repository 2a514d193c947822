"""app/DESIGN.md and README.md say what the code says."""

import re
from pathlib import Path

from app import metrics
from app.mail.lifecycle import TRANSITIONS, MessageState
from app.metrics_exporter import SnapshotCollector, StoreSnapshot
from app.settings import Settings
from app.store.read.records import Backlog

ROOT = Path(__file__).parents[2]


def diagram() -> str:
    """The state diagram as DESIGN.md has it, printed from the table."""
    lines = ["stateDiagram-v2", "    [*] --> queued: accept"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state} --> {target}: {event}" for event, target in row.items()]
    lines += [f"    {state} --> [*]" for state in (MessageState.DONE, MessageState.CANCELLED)]
    return "\n".join(lines)


def test_the_state_diagram_is_the_transition_table() -> None:
    """To renew it: python -c 'from tests.architecture.test_design import diagram; print(diagram())'."""
    design = (ROOT / "app" / "DESIGN.md").read_text("utf-8")
    drawn = re.search(r"```mermaid\n(stateDiagram-v2.*?)\n```", design, re.DOTALL)
    assert drawn is not None
    assert drawn.group(1) == diagram()


def test_every_setting_is_in_the_readme() -> None:
    """With the default it has."""
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(POSTERN_\w+)` \| (.*)$", readme, re.MULTILINE))
    fields = {name: field for name, field in Settings.model_fields.items() if name != "pools"}  # has no variable
    expected = {f"POSTERN_{name.upper()}": field for name, field in fields.items()}
    assert set(rows) == {*expected, "POSTERN_CONFIG"}
    for variable, field in expected.items():
        assert (field.description or "") in rows[variable], variable


def test_every_metric_is_in_the_readme() -> None:
    """In the words of its own help."""
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(postern_\w+)[^`]*` \| (.*) \|$", readme, re.MULTILINE))
    told = dict(re.findall(r"^# HELP (postern_\w+) (.*)$", metrics.expose().decode(), re.MULTILINE))
    now = SnapshotCollector(StoreSnapshot(0.0, Backlog({}, {}, 0, None), {}), {}, [])
    expected = told | {family.name: family.documentation for family in now.collect()}
    assert set(rows) == set(expected)
    for name, help in expected.items():
        assert rows[name].startswith(help), name


def test_nothing_else_stands_at_the_top() -> None:
    """A newcomer finds the way by ls."""
    allowed = {
        "pyproject.toml", "Dockerfile", "docker-compose.yml", "app", "tests", "deploy", "README.md",
        "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "requirements.lock",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= allowed | {"data"}
