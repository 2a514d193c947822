"""The log's table in deploy/RUNBOOK.md is the code's: every event, its level, when it is written, and its facts."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from app import logs

ROOT = Path(__file__).parents[2]
ALWAYS = {"timestamp", "level", "event", "request_id"}


@dataclass(frozen=True, slots=True)
class Told:
    """One event as its function tells it."""

    event: str
    levels: tuple[str, ...]
    when: str
    facts: tuple[str, ...]

    @property
    def row(self) -> str:
        """Its line of the table."""
        return f"| `{self.event}` | {' or '.join(self.levels)} | {self.when} | {', '.join(self.facts)} |"


def events() -> list[Told]:
    """Those of app/logs/__init__.py, in its order."""
    tree = ast.parse((ROOT / "app/logs/__init__.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [told for function in functions if (told := _told(function)) is not None]


def _told(function: ast.FunctionDef) -> Told | None:
    calls = [
        node
        for node in ast.walk(function)
        if (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and "." in _name(node))
        or (isinstance(node, ast.Call) and _name(node) == "write")
    ]
    if not calls or function.name in ("configure", "_json", "_masked"):
        return None
    (call,) = calls
    levels = {
        node.attr: None
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_log" and node.attr != "least"
    }
    names = [keyword.arg or "email" for keyword in call.keywords]  # **of: the email, where it is about one
    facts = ["traceback" if name == "exc_info" else name for name in names]
    event = call.args[0]
    assert isinstance(event, ast.Constant)
    when = " ".join((ast.get_docstring(function) or "").split())
    return Told(str(event.value), (*levels,), when, (*facts,))


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def test_the_table_in_the_runbook_is_the_code() -> None:
    """To renew it: python -c 'from tests.architecture.test_log_table import *; print(*(e.row for e in events()),
    sep="\\n")'."""
    runbook = (ROOT / "deploy/RUNBOOK.md").read_text("utf-8")
    section = runbook.partition("\n## The log\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `.*$", section, re.MULTILINE)
    assert len(events()) > 25
    assert rows == [one.row for one in events()]


def test_every_line_is_written_by_a_function_of_its_own() -> None:
    """No event has two functions, every function that others call is one, and what the code calls is there."""
    told = events()
    assert len({one.event for one in told}) == len(told)
    tree = ast.parse((ROOT / "app/logs/__init__.py").read_text("utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert len(public - {"configure", "count_alerts", "bind_request"}) == len(told)
    called = {
        name
        for path in (ROOT / "app").rglob("*.py")
        for name in re.findall(r"\blogs\.(\w+)\b", path.read_text("utf-8").replace("app.logs", ""))
    }
    assert public <= called | {"TROUBLES"}


def test_what_is_counted_as_trouble_is_what_is_logged_as_such() -> None:
    """The alerts count these by their names, from 0."""
    assert set(logs.ALERT_EVENTS) == {one.event for one in events() if {"warning", "error"} & {*one.levels}}


def test_a_line_about_an_email_names_it() -> None:
    """By the same fact everywhere."""
    for one in events():
        assert one.event.startswith("email.") <= ("email" in one.facts), one
        assert not ALWAYS & {*one.facts}, one
