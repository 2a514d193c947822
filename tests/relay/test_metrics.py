"""What is counted of a message's way, read as Prometheus reads it."""

import asyncio
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from app.mail import policy
from app.mail.attempt import FailureKind, Phase
from app.mail.lifecycle import Event
from app.mail.office365 import entra
from app.simulator import Drop, Fault, Point, Say
from tests.house import PATIENCE, House

LABELS = {
    "outcome": {*Event, "renewed", "failed", "delivered", "again", "given up", "gone"},
    "phase": {*Phase},
    "rule": {
        *(rule.name for rule in policy.RULES),
        *(row.name for row in entra.ROWS),
        *(f"no-reply-{kind}" for kind in FailureKind),
        "in-doubt",
    },
    "credential": {"password", "client certificate"},
}
Counts = Counter[tuple[str, tuple[str, ...]]]


async def counts(at_home: House) -> Counts:
    """Every counter of the process, by name and label values. No label has a value of the world outside."""
    answer = await at_home.caller.get("/metrics")
    assert answer.status_code == 200
    found: Counts = Counter()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert value in LABELS[label] if label in LABELS else value.endswith("@contoso.com"), sample
            if family.type == "counter":
                found[sample.name, tuple(sample.labels.values())] = int(sample.value)
    return found


async def counted(at_home: House, before: Counts) -> Counts:
    """What was counted since, once an attempt is: its count follows the commit that a caller sees."""
    async with asyncio.timeout(PATIENCE):
        while "postern_attempts_total" not in {name for name, _ in await counts(at_home) - before}:
            await asyncio.sleep(0.005)
    return await counts(at_home) - before


async def test_an_email_on_its_way_is_counted(at_home: House) -> None:
    """Once accepted, once relayed; asking again for the same is not another one."""
    before = await counts(at_home)
    for _ in range(2):
        answer = await at_home.caller.post(
            "/emails",
            json={"from": "noreply@contoso.com", "to": "ada@example.net", "subject": "Hello", "text": "Hello"},
            headers={"Idempotency-Key": "once"},
        )
        assert answer.status_code == 200
    await at_home.until(answer.json()["id"], "done")
    assert await counted(at_home, before) == {
        ("postern_emails_accepted_total", ()): 1,
        ("postern_attempts_total", ("finish",)): 1,
        ("postern_verdicts_total", ("relayed",)): 1,
    }


async def test_a_reply_that_no_row_knows_is_counted(at_home: House) -> None:
    """At its phase, which is there at 0 before; its text is not."""
    before = await counts(at_home)
    assert ("postern_unknown_replies_total", ("dot",)) in before
    at_home.simulator.faults.add(Fault(at=Point.DOT, do=Say("451 4.9.9 Nobody has ever seen this")))
    await at_home.until(await at_home.post(), "deferred")
    assert await counted(at_home, before) == {
        ("postern_emails_accepted_total", ()): 1,
        ("postern_attempts_total", ("defer",)): 1,
        ("postern_verdicts_total", ("message-deferred",)): 1,
        ("postern_unknown_replies_total", ("dot",)): 1,
    }


async def test_each_recipient_is_counted_by_its_rule(at_home: House) -> None:
    """Also one without a reply; and no address gets into a label."""
    before = await counts(at_home)
    at_home.simulator.faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="no@example.net"))
    at_home.simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop()))
    await at_home.until(await at_home.post(to=["no@example.net", "yes@example.net"]), "deferred")
    since = await counted(at_home, before)
    assert {rule[0]: count for (name, rule), count in since.items() if name == "postern_verdicts_total"} == {
        "unknown-recipient": 1,
        "in-doubt": 1,
    }


async def test_anybody_inside_may_read_them(at_home: House) -> None:
    """Without a key, in Prometheus' own type; nothing else is possible."""
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405)):
        answer = await at_home.caller.request(method, "/metrics", headers={"authorization": "none"})
        assert answer.status_code == status
        if status == 200:
            assert answer.headers["content-type"].startswith("text/plain; version=")
