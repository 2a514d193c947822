"""Tables of the reference documentation, read from the code. As a program (`make docs`): write them into the files.

A table stands between `<!-- table: NAME -->` and `<!-- end -->` in a Markdown file. Text outside the markers is
written by hand.
"""

import ast
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import typer
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app import metrics
from app.cli import application
from app.cli.command_group import LazyCommand
from app.mail.lifecycle import TRANSITIONS, MessageState
from app.metrics_exporter import GaugeCollector, StoreSnapshot
from app.settings import PoolSettings, Settings
from app.settings.sources import CONFIG
from app.simulator import Point, Simulator, replies
from app.simulator.control_api import control_api
from app.simulator.faults import actions
from app.simulator.faults.catalogue import CATALOGUE
from app.store.read.records import Backlog

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
EMPTY_SNAPSHOT = StoreSnapshot(0.0, Backlog({}, {}, 0, None), {})


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Event of the log, read from its function in `app/logs/__init__.py`."""

    name: str
    levels: tuple[str, ...]
    when: str
    facts: tuple[str, ...]


def log_events() -> list[LogEvent]:
    """Return the events of `app/logs/__init__.py` in their order there."""
    tree = ast.parse((ROOT / "app/logs/__init__.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [event for function in functions if (event := _log_event(function)) is not None]


def metric_families() -> dict[str, Metric]:
    """Return every family that `GET /metrics` has, by name; counters without `_total`."""
    counted = text_string_to_metric_families(metrics.expose().decode())
    collected = GaugeCollector(EMPTY_SNAPSHOT, {}, []).collect()
    families = {family.name: family for family in (*counted, *collected)}
    return {name: family for name, family in families.items() if name.startswith("postern_")}


def settings() -> dict[str, FieldInfo]:
    """Return the settings that have an environment variable, by its name."""
    return {f"POSTERN_{name.upper()}": field for name, field in Settings.model_fields.items() if name != "pools"}


def routes() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and operation of the specification, without HEAD."""
    for path, methods in _specification()["paths"].items():
        for method, operation in methods.items():
            if method != "head":
                yield method.upper(), path, operation


def error_names() -> dict[tuple[int, str, str], str]:
    """Return a sample sentence for each status, name and reason ("" if none) of an error in the specification."""
    found: dict[tuple[int, str, str], str] = {}
    for response in _specification()["components"]["responses"].values():
        for example in response.get("content", {}).get("application/json", {}).get("examples", {}).values():
            value = example["value"]
            if isinstance(value, dict) and "statusCode" in value:
                key = (value["statusCode"], value["name"], value.get("reason", ""))
                found.setdefault(key, value["message"])
    return dict(sorted(found.items()))


def state_diagram() -> str:
    """Return the Mermaid diagram of the states of a message, printed from `TRANSITIONS`."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> queued: accept"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state} --> {target}: {event}" for event, target in row.items()]
    lines += [f"    {state} --> [*]" for state in (MessageState.DONE, MessageState.CANCELLED)]
    return "\n".join([*lines, "```"])


def _settings_table() -> str:
    config = f"| `{CONFIG}` | Path of `postern.toml`. | |"
    rows = [
        f"| `{name}` | {field.description} | {'required' if name == 'POSTERN_MAILBOX' else _default(field)} |"
        for name, field in settings().items()
    ]
    return "\n".join(["| variable | meaning | default |", "|---|---|---|", config, *rows])


def _pools_table() -> str:
    rows = [
        f"| `{name}` | {field.description} | {_default(field)} |" for name, field in PoolSettings.model_fields.items()
    ]
    return "\n".join(["| member of a pool | meaning | default |", "|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", ()):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _metrics_table() -> str:
    labels = _labels()
    rows = []
    for name, family in metric_families().items():
        full = f"{name}_total" if family.type == "counter" else name
        names = ",".join(labels.get(name, ()))
        series = f"{full}{{{names}}}" if names else full
        rows.append(f"| `{series}` | {family.type} | {family.documentation} |")
    return "\n".join(["| metric | type | meaning |", "|---|---|---|", *rows])


def _labels() -> dict[str, list[str]]:
    """Label names of the metrics, from the calls that make them: a family without a sample does not show them."""
    found: dict[str, list[str]] = {}
    for path in ("app/metrics.py", "app/metrics_exporter.py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            lists = [*node.args[2:], *(one.value for one in node.keywords if one.arg in ("labels", "labelnames"))]
            names = [ast.literal_eval(one) for one in lists if isinstance(one, ast.List)]
            found |= {str(node.args[0].value): names[0]} if names else {}
    return found


def _log_table() -> str:
    rows = [
        f"| `{one.name}` | {' or '.join(one.levels)} | {one.when} | {', '.join(one.facts)} |" for one in log_events()
    ]
    return "\n".join(["| event | level | when | facts |", "|---|---|---|---|", *rows])


def _log_event(function: ast.FunctionDef) -> LogEvent | None:
    calls = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and (
            (node.args and isinstance(node.args[0], ast.Constant) and "." in ast.unparse(node.func))
            or ast.unparse(node.func) == "write"
        )
    ]
    if not calls or function.name in ("configure", "_json", "_masked"):
        return None
    (call,) = calls
    levels = {
        node.attr: None
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_log" and node.attr != "least"
    }
    names = [keyword.arg or "email" for keyword in call.keywords]  # a mapping: the email, if the event has one
    facts = ["traceback" if name == "exc_info" else name for name in names]
    event = call.args[0]
    assert isinstance(event, ast.Constant)
    when = " ".join((ast.get_docstring(function) or "").split())
    return LogEvent(str(event.value), (*levels,), when, (*facts,))


def _routes_table() -> str:
    rows = []
    for method, path, operation in routes():
        scopes = [scope for one in operation.get("security", ()) for names in one.values() for scope in names]
        rows.append(f"| `{method} {path}` | {operation['summary']} | {scopes[0] if scopes else 'none'} |")
    return "\n".join(["| request | purpose | least permission |", "|---|---|---|", *rows])


def _errors_table() -> str:
    rows = [
        f"| {status} | `{name}` | {f'`{reason}`' if reason else ''} | {message.replace('|', chr(92) + '|')} |"
        for (status, name, reason), message in error_names().items()
    ]
    return "\n".join(["| status | `name` | `reason` | example of `message` |", "|---|---|---|---|", *rows])


def _commands_table() -> str:
    rows = [f"| `postern {name}` | {text} |" for name, text in commands()]
    return "\n".join(["| command | purpose |", "|---|---|", *rows])


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command of `postern` with the first paragraph of its help."""
    for name, stand_in in typer.main.get_group(application).commands.items():
        command = cast("LazyCommand", stand_in).load()
        inner = getattr(command, "commands", None)
        for words, one in [(f"{name} {sub}", one) for sub, one in inner.items()] if inner else [(name, command)]:
            paragraph = (one.help or "").partition("\n\n")[0]
            yield words, " ".join(paragraph.split()).replace("|", "\\|")


def _simulator_routes_table() -> str:
    paths = control_api(Simulator()).openapi()["paths"]
    rows = [
        f"| `{method.upper()} {path}` | {' '.join(operation['description'].split())} |"
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    return "\n".join(["| request | purpose |", "|---|---|", *rows])


def _fault_points_table() -> str:
    comments = re.findall(r'^    [A-Z]+ = "(\w+)"  # (.+)$', inspect.getsource(Point), re.MULTILINE)
    rows = [f"| `{name}` | {comment} |" for name, comment in comments]
    return "\n".join(["| `at` | point of the session |", "|---|---|", *rows])


def _fault_actions_table() -> str:
    union, _ = typing.get_args(actions.FaultAction)
    rows = []
    for kind in typing.get_args(union):
        members = {field.name: field.default for field in fields(kind)}
        name, effect = members.pop("action"), " ".join((inspect.getdoc(kind) or "").split())
        if kind is not actions.Call:
            rows.append(f"| `{name}` | {', '.join(f'`{member}`' for member in members)} | {effect} |")
    return "\n".join(["| `action` | members | effect |", "|---|---|---|", *rows])


def _ready_faults_table() -> str:
    rows = [f"| `{name}` | {ready.server} | {ready.result} |" for name, ready in CATALOGUE.items()]
    return "\n".join(["| name | simulated server | email of Postern |", "|---|---|---|", *rows])


def _named_faults_table() -> str:
    codes = {name: re.match(r"\d{3}(?: \d\.\d+\.\d+)?", text) for name, text in replies.ROWS.items()}
    rows = [f"| `{name}` | `{replies.ROWS[name].phase}` | {code[0]} |" for name, code in codes.items() if code]
    return "\n".join(["| `named` | point | reply |", "|---|---|---|", *rows])


def _specification() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "deploy/openapi.json").read_text("utf-8"))
    return document


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": _settings_table,
    "pools": _pools_table,
    "metrics": _metrics_table,
    "log-events": _log_table,
    "routes": _routes_table,
    "errors": _errors_table,
    "commands": _commands_table,
    "states": state_diagram,
    "simulator-routes": _simulator_routes_table,
    "fault-points": _fault_points_table,
    "fault-actions": _fault_actions_table,
    "ready-faults": _ready_faults_table,
    "named-faults": _named_faults_table,
}


def markdown_files() -> list[Path]:
    """Return the Markdown files of the project."""
    parts = [ROOT.glob("*.md"), (ROOT / "app").rglob("*.md"), (ROOT / "deploy").rglob("*.md")]
    return sorted(path for part in parts for path in part)


def with_tables(text: str) -> str:
    """Return the text of a Markdown file with every table between markers made anew."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


if __name__ == "__main__":
    for path in markdown_files():
        text = path.read_text("utf-8")
        if (renewed := with_tables(text)) != text:
            path.write_text(renewed, "utf-8")
