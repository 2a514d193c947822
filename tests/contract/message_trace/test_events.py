"""From HTTP to the webhook: the events of every fate of a recipient, each once, in order for each email."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.mail.lifecycle import MessageState
from app.simulator import Delay, Drop, Fault, Point
from app.simulator.trace import Step
from tests.clock import autojump
from tests.contract.message_trace.world import HOUR, TRACE_WAIT, World, world
from tests.states import count_states
from tests.waiting import until
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver

DELIVERED, BOUNCED, DELAYED = "email.delivered", "email.bounced", "email.delivery_delayed"
TAKEN, LOST = (750, 250) if os.environ.get("WHOLE") else (40, 20)  # emails with an unknown outcome
TYPES = ["email.sent", "email.failed", DELIVERED, BOUNCED, DELAYED]

# Recipient, then the state of its delivery and the events of its email after its row has had its last status.
ENDS: dict[str, tuple[str, list[str]]] = {
    "ada@example.net": ("delivered", [DELIVERED]),
    "bounce+5.1.1@example.net": ("bounced", [BOUNCED]),
    "bounce+4.4.7@example.net": ("bounced", [BOUNCED]),
    "bounce+5.7.1@example.net": ("bounced", [BOUNCED]),
    "quarantine@contoso.com": ("quarantined", []),
    "release@contoso.com": ("delivered", [DELIVERED]),
    "junk@contoso.com": ("junk", [DELIVERED]),
    "group@contoso.com": ("expanded", []),
    "retried@example.net": ("delivered", [BOUNCED, DELIVERED]),
    "delay+450@example.net": ("delivered", [DELAYED, DELIVERED]),
}
BOUNCES = {  # type and subtype, by recipient
    "bounce+5.1.1@example.net": ("Permanent", "General"),
    "bounce+4.4.7@example.net": ("Transient", "General"),
    "bounce+5.7.1@example.net": ("Transient", "ContentRejected"),
}


@asynccontextmanager
async def listening(
    folder: Path, types: Sequence[str] = TYPES, **changes: Any
) -> AsyncIterator[tuple[World, Receiver]]:
    """Run a Postern with the trace, and a receiver of these events."""
    async with (
        Receiver() as receiver,
        world(folder, webhook_private_addresses=True, **changes) as here,
    ):
        await listen(here.harness, receiver.url, *types)
        yield here, receiver


def to_recipients(receiver: Receiver, id: UUID) -> list[tuple[str, list[str]]]:
    """Return type and recipients of the accepted events of an email."""
    return [(one.event["type"], one.event["data"]["to"]) for one in receiver.taken if one.email == str(id)]


@autojump
async def test_the_events_of_every_fate(tmp_path: Path) -> None:
    """Rows are late, have a status that changes, appear twice, and are among those of other mail."""
    async with listening(tmp_path) as (here, receiver):
        here.trace.delay = 300.0
        ids = {to: await here.harness.post(to=to) for to in ENDS}
        for to, id in ids.items():
            await here.until_delivery(id, to, first_state(to))
        row = here.trace.rows[0]
        here.trace.add(*here.trace.rows)  # each twice
        here.trace.add(
            replace(row, id=uuid4(), message_id="<foreign@contoso.com>", status="failed"),
            replace(row, recipient="somebody-else@example.net", status="failed"),
        )
        await here.passes()
        here.trace.delay = 0.0
        here.clock.jump(HOUR + 60.0)
        await here.until_delivery(ids["delay+450@example.net"], "delay+450@example.net", "delayed")
        here.clock.jump(2 * HOUR)
        for to, (state, events) in ENDS.items():
            await here.until_delivery(ids[to], to, state)
            wanted = [("email.sent", [to]), *((kind, [to]) for kind in events)]
            await until(lambda: len(to_recipients(receiver, ids[to])) >= len(wanted) or None, TRACE_WAIT)  # noqa: B023
        await here.passes()
        for to, (_, events) in ENDS.items():
            wanted = [("email.sent", [to]), *((kind, [to]) for kind in events)]
            assert to_recipients(receiver, ids[to]) == wanted
        found = {
            one.event["data"]["to"][0]: one.event["data"]["bounce"]
            for one in receiver.taken
            if one.event["type"] == BOUNCED
        }
        assert {to: (found[to]["type"], found[to]["subType"]) for to in BOUNCES} == BOUNCES
        assert all(found[to]["message"] and found[to]["diagnosticCode"] for to in BOUNCES)
        here.check_budget()


@autojump
async def test_a_row_and_a_release_that_are_hours_late(tmp_path: Path) -> None:
    """The slower pass over two days reads both: a row that appears after 20 hours, and a release after 30."""
    delivered = {
        "late@example.net": Step("delivered", after=20 * HOUR),
        "kept@contoso.com": Step("delivered", after=30 * HOUR),
    }
    async with listening(tmp_path) as (here, receiver):
        here.trace.fates["late@example.net"] = (delivered["late@example.net"],)
        here.trace.fates["kept@contoso.com"] = (Step("quarantined"), delivered["kept@contoso.com"])
        sent = here.clock.now()
        ids = {to: await here.harness.post(to=to) for to in delivered}
        await here.until_delivery(ids["kept@contoso.com"], "kept@contoso.com", "quarantined")
        for to, step in delivered.items():
            here.clock.jump(sent + step.after - here.clock.now())
            await until(lambda: len(to_recipients(receiver, ids[to])) >= 2 or None, 3 * HOUR)  # noqa: B023
        await here.passes()
        for to, id in ids.items():
            assert to_recipients(receiver, id) == [("email.sent", [to]), (DELIVERED, [to])]
        here.check_budget()


def first_state(to: str) -> str:
    """Return the state that the first row of this recipient reports."""
    return {"release": "quarantined", "retried": "bounced", "delay+450": "pending"}.get(
        to.partition("@")[0], ENDS[to][0]
    )


@autojump
async def test_a_row_before_the_settlement_follows_the_events_of_the_relay(tmp_path: Path) -> None:
    """Exchange has the email before Postern has its reply: `sent` comes first all the same."""
    async with listening(tmp_path) as (here, receiver):
        here.simulator.faults.add(Fault(Point.ACCEPTED, Delay(200.0), times=1))
        id = await here.harness.post()
        await here.passes(1)
        assert to_recipients(receiver, id) == []
        await here.until_delivery(id, "ada@example.net", "delivered")
        await until(lambda: len(to_recipients(receiver, id)) == 2 or None, TRACE_WAIT)
        assert [kind for kind, _ in to_recipients(receiver, id)] == ["email.sent", DELIVERED]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("traced", [True, False])
def test_unknown_outcomes(tmp_path: Path, traced: bool) -> None:
    """The connection is lost after the final dot: of some emails Exchange has the content, of the others not.

    With the trace each ends without a person: confirmed, or sent again by the setting, once. Without it, all wait.
    """

    @autojump
    async def run() -> None:
        types = ["email.sent", "email.failed", DELIVERED, BOUNCED]
        async with listening(tmp_path, types, trace=traced, trace_retry_unseen=True) as (here, receiver):
            here.simulator.faults.add(Fault(Point.ACCEPTED, Drop(), times=TAKEN))
            taken = await post_many(here, 0, TAKEN)
            here.simulator.faults.add(Fault(Point.DOT, Drop(), times=LOST))
            lost = await post_many(here, TAKEN, LOST)
            if not traced:
                here.clock.jump(48 * HOUR)
                assert {(await here.harness.email(id))["relay"]["state"] for id in taken + lost} == {"held"}
                assert len(here.simulator.accepted) == TAKEN
                return
            await until(lambda: in_states(here, TAKEN, "done"), 10 * TRACE_WAIT)
            assert {(await here.harness.email(id))["relay"]["state"] for id in lost} == {"held"}
            here.clock.jump(25 * HOUR)
            await until(lambda: in_states(here, TAKEN + LOST, "done"), 10 * TRACE_WAIT)
            await until(lambda: len(receiver.taken) >= 2 * (TAKEN + LOST) or None, 10 * TRACE_WAIT)
            addresses = [address for seen in here.simulator.accepted for address in seen.recipients]
            assert sorted(addresses) == sorted(f"u{n}@example.net" for n in range(TAKEN + LOST))
            for id in taken + lost:
                assert (id, receiver.types[str(id)]) == (id, ["email.sent", DELIVERED])
            here.check_budget()

    run()


async def post_many(here: World, first: int, number: int) -> list[UUID]:
    """Post emails that are held when their outcome is unknown, and wait for the end of their attempts."""
    ids = [await here.harness.post(to=f"u{n}@example.net", on_unknown="hold") for n in range(first, first + number)]
    await until(lambda: in_states(here, first + number, "held", "done"), 10 * TRACE_WAIT)
    return ids


async def in_states(here: World, number: int, *states: str) -> bool:
    """Return whether this many emails are in one of these states."""
    counts = await count_states(here.harness.postern.store)
    return sum(counts.get(MessageState(state), 0) for state in states) == number
