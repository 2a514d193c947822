"""Metrics of a message, read as Prometheus does."""

from collections import Counter
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app import __version__
from app.clock import Clock
from app.mail import policy
from app.mail.lifecycle import Event
from app.mail.mailbox_health import Health
from app.mail.message.message import Lane
from app.mail.office365 import entra
from app.mail.outcome.attempt import FailureKind, Phase
from app.metrics_exporter import MetricsExporter
from app.simulator import Drop, Fault, Point, Say, Simulator
from app.store import Store
from tests.harness import MAILBOX, Harness, open_harness, settings_for
from tests.waiting import until

RULES = {
    *(rule.name for rule in policy.RULES),
    *(row.name for row in entra.ROWS),
    *(f"no-reply-{kind}" for kind in FailureKind),
    "in-doubt",
}
LABELS = {
    "outcome": {*Event, "renewed", "failed", "delivered", "again", "given up", "gone"},
    "phase": {*Phase},
    "rule": RULES,
    "reason": RULES | {"expired"},
    "lane": {*Lane},
    "pool": {"default"},
    "state": {*Health, "unknown", "ready", "resting", "active", "held", "idle", "busy", "opening"},
    "credential": {"password", "client certificate"},
    "client": {"11c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c01"},
    "version": {__version__},
}
Counts = Counter[tuple[str, tuple[str, ...]]]


async def counts(harness: Harness) -> Counts:
    """Return every counter by name and label values."""
    answer = await harness.caller.get("/metrics")
    assert answer.status_code == 200
    found: Counts = Counter()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if family.type == "counter" and family.name.startswith("postern_"):
                found[sample.name, tuple(value for _, value in sorted(sample.labels.items(), reverse=True))] = int(
                    sample.value
                )
    return found


async def counted(harness: Harness, before: Counts) -> Counts:
    """Return the counters' changes once an attempt is counted, which is after its commit."""

    async def with_attempt() -> Counts | None:
        changes = await counts(harness) - before
        return changes if "postern_attempts_total" in {name for name, _ in changes} else None

    return await until(with_attempt)


async def test_an_email_is_counted_as_accepted_and_relayed(harness: Harness) -> None:
    """An idempotent repetition is not counted."""
    before = await counts(harness)
    for _ in range(2):
        answer = await harness.caller.post(
            "/emails",
            json={"from": "noreply@contoso.com", "to": "ada@example.net", "subject": "Hello", "text": "Hello"},
            headers={"Idempotency-Key": "once"},
        )
        assert answer.status_code == 200
    await harness.until(answer.json()["id"], "done")
    assert await counted(harness, before) == {
        ("postern_emails_accepted_total", ("default", "normal")): 1,
        ("postern_emails_relayed_total", ("normal",)): 1,
        ("postern_attempts_total", ("finish",)): 1,
        ("postern_verdicts_total", ("relayed",)): 1,
    }


async def test_a_reply_without_a_rule_is_counted_by_phase(harness: Harness) -> None:
    """The series exists from the start at 0; the text is no label."""
    before = await counts(harness)
    assert ("postern_unknown_replies_total", ("dot",)) in before
    harness.simulator.faults.add(Fault(at=Point.DOT, do=Say("451 4.9.9 Nobody has ever seen this")))
    await harness.until(await harness.post(), "deferred")
    assert await counted(harness, before) == {
        ("postern_emails_accepted_total", ("default", "normal")): 1,
        ("postern_emails_deferred_total", ("message-deferred",)): 1,
        ("postern_attempts_total", ("defer",)): 1,
        ("postern_verdicts_total", ("message-deferred",)): 1,
        ("postern_unknown_replies_total", ("dot",)): 1,
    }


async def test_each_recipient_is_counted_by_its_rule(harness: Harness) -> None:
    """Also one without a reply; no label has an address."""
    before = await counts(harness)
    harness.simulator.faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="no@example.net"))
    harness.simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop()))
    await harness.until(await harness.post(to=["no@example.net", "yes@example.net"]), "deferred")
    since = await counted(harness, before)
    assert {rule[0]: count for (name, rule), count in since.items() if name == "postern_verdicts_total"} == {
        "unknown-recipient": 1,
        "in-doubt": 1,
    }


async def test_metrics_need_no_key(harness: Harness) -> None:
    """In Prometheus' own type; only GET and HEAD are allowed."""
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405)):
        answer = await harness.caller.request(method, "/metrics", headers={"authorization": "none"})
        assert answer.status_code == status
        if status == 200:
            assert answer.headers["content-type"].startswith("text/plain; version=")


def series(text: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return every series by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_create_no_series(harness: Harness) -> None:
    """Labels have the values of the code and of the settings: after every kind of request, no other series is there
    than after the first of each."""

    async def everything(number: int) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        harness.simulator.faults.add(
            Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient=f"no{number}@example{number}.net")
        )
        headers = {"Idempotency-Key": f"key-{number}", "X-Request-Id": f"request-{number}", "User-Agent": f"{number}"}
        for lane in Lane:
            changes = {"from": f"sender{number}@contoso.com", "to": f"ada{number}@example{number}.net", "lane": lane}
            tags = [{"name": f"tag{number}", "value": f"value{number}"}]
            await harness.until(await harness.post(**changes, tags=tags, coalesce=f"it-{number}-{lane}"), "done")
        await harness.until(await harness.post(to=f"no{number}@example{number}.net"), "done")
        for path in (f"/path-{number}", f"/emails/{number}", "/emails/validate"):
            answer = await harness.caller.post(path, json={"from": f"{number}@example.org"}, headers=headers)
            assert answer.status_code >= 400
        return series((await harness.caller.get("/metrics")).text)

    before = series((await harness.caller.get("/metrics")).text)  # others in this process have counted too
    first = await everything(1)
    for name, labels in first - before:
        for label, value in labels:
            known = value in LABELS[label] if label in LABELS else label in ("le", "event") or value == MAILBOX
            assert known, (name, labels)
    latest = [await everything(number) for number in range(2, 6)][-1]
    assert latest == first


async def test_gauges_have_the_current_state(harness: Harness) -> None:
    """Age of the oldest due message, queue, connections, pace, daily recipients and mailbox health."""
    harness.simulator.faults.add(Fault(at=Point.RCPT, do=Say("451 4.9.9 Not now"), recipient="late@example.net"))
    await harness.until(await harness.post(lane="bulk", to="late@example.net"), "deferred")
    await harness.until(await harness.post(), "done")
    samples = {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families((await harness.caller.get("/metrics")).text)
        for sample in family.samples
    }
    assert samples["postern_store_up",] == 1
    assert samples["postern_oldest_due_seconds", "bulk", "default"] == 0
    assert samples["postern_emails_waiting", "bulk", "default", "resting"] == 1
    assert samples["postern_emails_waiting", "normal", "default", "ready"] == 0
    assert samples["postern_mailbox_health", MAILBOX, "open"] == 1
    assert samples["postern_mailbox_health", MAILBOX, "held"] == 0
    assert sum(samples["postern_connections", MAILBOX, state] for state in ("idle", "busy", "opening")) >= 1
    assert samples["postern_recipients_left", MAILBOX] == 10_000 - 2
    assert samples["postern_pace_used_ratio", MAILBOX] == 2 / 100_000
    assert samples["postern_webhook_events_waiting",] == 0


async def test_metrics_on_their_own_port(simulator: Simulator, tmp_path: Path) -> None:
    """The API then has none, and the port has nothing else, with errors in the API's form."""
    async with (
        open_harness(simulator, settings_for(simulator, tmp_path, metrics_port=0)) as harness,
        httpx.AsyncClient(trust_env=False) as prometheus,
    ):
        assert (await harness.caller.get("/metrics")).json()["name"] == "not_found"
        url = harness.postern.metrics_url
        assert not url.startswith(harness.postern.url)
        assert "postern_oldest_due_seconds" in (await prometheus.get(url)).text
        for path in ("/emails", "/healthz", "/docs"):
            assert (await prometheus.get(url.replace("/metrics", path))).json()["statusCode"] == 404


async def test_a_scrape_without_the_database_has_the_counters(tmp_path: Path) -> None:
    """And reports that the store was not read; its gauges are absent."""
    store = await Store.open(f"sqlite:///{tmp_path}/postern.db")
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "postern.db").write_bytes(b"no database at all, nor ever was" * 1000)
    scrape = MetricsExporter(store, Clock(), {MAILBOX: "default"})
    text = (await scrape.text()).decode()
    names = {name for name, _ in series(text)}
    assert "postern_store_up 0.0" in text
    assert "postern_commit_seconds_count" in names
    assert not {"postern_oldest_due_seconds", "postern_mailbox_health"} & names
    await store.close()
