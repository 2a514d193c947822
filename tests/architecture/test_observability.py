"""Metrics, rules, alerts, dashboard and runbook use the same names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from app import metrics
from app.metrics_exporter import GaugeCollector, StoreSnapshot
from app.store.read.records import Backlog

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/postern.json").read_text("utf-8"))
OTHERS = {"up", "ALERTS", "process_resident_memory_bytes", "process_cpu_seconds_total"}
_NAME = re.compile(r"\b(?:postern[a-z0-9_:]*|up|ALERTS|process_[a-z_]+)\b(?=[\[{) ]|$)")


def rules() -> Iterator[dict[str, Any]]:
    """Yield the rules of all files."""
    for path in sorted((DEPLOY / "prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    return [rule for rule in rules() if "alert" in rule]


def queries() -> Iterator[str]:
    """Yield the expressions of the dashboard."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def known() -> set[str]:
    """Return the series of `GET /metrics` and those that the recording rules make."""
    exposed = dict(re.findall(r"^# TYPE (\w+) (\w+)$", metrics.expose().decode(), re.MULTILINE))
    exposed |= {
        family.name: family.type
        for family in GaugeCollector(StoreSnapshot(0.0, Backlog({}, {}, 0, None), {}), {}, []).collect()
    }
    parts = {
        f"{name}_{part}" for name, kind in exposed.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return {*exposed, *parts, *OTHERS, *(rule["record"] for rule in rules() if "record" in rule)}


def test_every_query_uses_known_metrics() -> None:
    """Every metric of Postern is used by a rule or by the dashboard."""
    asked = [rule["expr"] for rule in rules()] + [*queries()]
    names = {name for expression in asked for name in _NAME.findall(expression)}
    assert names <= known()
    rest = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in known() - names if not name.startswith("process_")
    } - {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert rest == {"postern_build_info"}  # used for the list of jobs in the dashboard


def test_every_alert_has_its_section_in_the_runbook() -> None:
    """The sections have the order of the rules, and each alert links to its section."""
    runbook = (DEPLOY / "RUNBOOK.md").read_text("utf-8")
    sections = re.findall(r"^#+ Alert: (\w+)$", runbook, re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"deploy/RUNBOOK.md#alert-{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("page", "ticket")
        severity = re.search(rf"^#+ Alert: {alert['alert']}\n\n\*(\w+)\.\*", runbook, re.MULTILINE)
        assert severity is not None
        assert severity.group(1).lower() == alert["labels"]["severity"]


def test_every_alert_is_tested() -> None:
    """Each alert has a case in which it is silent and one in which it fires; promtool runs them (tests/observe)."""
    cases = yaml.safe_load((DEPLOY / "prometheus/tests/alerts.test.yml").read_text("utf-8"))["tests"]
    silent: set[str] = set()
    fires: set[str] = set()
    for case in cases:
        for asked in case["alert_rule_test"]:
            (fires if asked.get("exp_alerts") else silent).add(asked["alertname"])
    assert silent == fires == {alert["alert"] for alert in alerts()}


def test_the_dashboard_has_grafanas_schema() -> None:
    """Grafana's library reads and writes it without losing a member."""
    plugins.register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert not [*lost(DASHBOARD, again)]


def lost(ours: Any, again: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which the second document lacks a value of the first."""
    if isinstance(ours, dict):
        for name, value in ours.items():
            yield from lost(value, again[name], f"{path}/{name}") if name in again else [f"{path}/{name}"]
    elif isinstance(ours, list):
        assert len(ours) == len(again), path
        for number, (one, other) in enumerate(zip(ours, again, strict=True)):
            yield from lost(one, other, f"{path}/{number}")
    elif ours != again:
        yield path


def test_the_dashboard_can_be_provisioned() -> None:
    """Datasource and folder are those of the provisioning files; ids are unique, and panels do not overlap."""
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/postern.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert DASHBOARD["uid"]
    assert "id" not in DASHBOARD  # assigned by Grafana
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] == source["uid"]
    assert variables["datasource"]["query"] == source["type"]
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
