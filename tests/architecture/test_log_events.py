"""Each line of the log is written by one function of app/logs; the alerts count its warnings and errors."""

import ast
import re

from app import logs
from tests.architecture.reference_tables import ROOT, log_events

ALWAYS = {"timestamp", "level", "event", "request_id"}


def test_each_event_has_one_function() -> None:
    """Every public function of app/logs writes one event, and each of them is called."""
    events = log_events()
    assert len(events) > 25
    assert len({one.name for one in events}) == len(events)
    tree = ast.parse((ROOT / "app/logs/__init__.py").read_text("utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert len(public - {"configure", "count_alerts", "bind_request"}) == len(events)
    called = {
        name
        for path in (ROOT / "app").rglob("*.py")
        for name in re.findall(r"\blogs\.(\w+)\b", path.read_text("utf-8").replace("app.logs", ""))
    }
    assert public <= called


def test_alert_events_are_the_warnings_and_errors() -> None:
    """`postern_troubles_total` has a series for each of them from the start."""
    assert set(logs.ALERT_EVENTS) == {one.name for one in log_events() if {"warning", "error"} & {*one.levels}}


def test_events_about_an_email_name_it() -> None:
    """By the same fact everywhere."""
    for one in log_events():
        assert one.name.startswith("email.") <= ("email" in one.facts), one
        assert not ALWAYS & {*one.facts}, one
