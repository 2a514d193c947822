"""States of deliveries as callers read them: every fate of a recipient, late rows, changes, duplicates, other mail."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.simulator import Delay, Fault, Point
from app.simulator.trace import Step
from tests.clock import autojump
from tests.contract.message_trace.world import HOUR, TRACE_WAIT, World, world
from tests.waiting import until

FATES = {
    "ada@example.net": ("delivered", "delivered"),
    "delivered@resend.dev": ("delivered", "delivered"),
    "bounced@resend.dev": ("bounced", "bounced"),
    "bounce+5.1.1@example.net": ("bounced", "bounced"),
    "bounce+5.2.2@example.net": ("bounced", "bounced"),
    "bounce+5.7.1@example.net": ("bounced", "bounced"),
    "bounce+4.4.7@example.net": ("bounced", "bounced"),
    "quarantine@contoso.com": ("quarantined", "sent"),
    "junk@contoso.com": ("junk", "delivered"),
    "group@contoso.com": ("expanded", "sent"),
    "slow@example.net": ("pending", "sent"),
}


@autojump
async def test_every_fate(tmp_path: Path) -> None:
    """Each status of the trace is a state of the delivery, and decides the email's last event."""
    async with world(tmp_path) as here:
        ids = {address: await here.harness.post(to=address) for address in FATES}
        for address, (state, event) in FATES.items():
            email = await here.until_delivery(ids[address], address, state)
            assert (address, email["last_event"]) == (address, event)
        bounced = await here.harness.email(ids["bounce+5.1.1@example.net"])
        (recipient,) = bounced["relay"]["recipients"]
        assert recipient["delivery"]["cause"] == "550 5.1.1 User unknown"
        assert recipient["delivery"]["explanation"] == bounced["relay"]["explanation"]["summary"]
        here.check_budget()


@autojump
async def test_recipients_of_one_email_have_their_own_states(tmp_path: Path) -> None:
    """One recipient's bounce is that of the email; the other is delivered, and a lost row leaves no report."""
    to = ["Ada@example.net", "bounce+5.1.10@example.net", "lost@example.net"]
    async with world(tmp_path) as here:
        id = await here.harness.post(to=to[:2], cc=to[2])
        await here.until_delivery(id, "bounce+5.1.10@example.net", "bounced")
        assert await here.deliveries(id) == {
            "Ada@example.net": "delivered",
            "bounce+5.1.10@example.net": "bounced",
            "lost@example.net": None,
        }
        assert (await here.harness.email(id))["last_event"] == "bounced"
        listed = (await here.harness.caller.get("/emails", params={"last_event": "bounced"})).json()
        assert [one["id"] for one in listed["data"]] == [str(id)]


@autojump
async def test_lists_by_last_event(tmp_path: Path) -> None:
    """A list has the same last event as the email itself."""
    async with world(tmp_path) as here:
        ids = [await here.harness.post(to=to) for to in ("ada@example.net", "lost@example.net", "bounced@resend.dev")]
        await here.until_delivery(ids[0], "ada@example.net", "delivered")
        await here.until_delivery(ids[2], "bounced@resend.dev", "bounced")
        for id, event in zip(ids, ("delivered", "sent", "bounced"), strict=True):
            listed = (await here.harness.caller.get("/emails", params={"last_event": event})).json()
            assert [(one["id"], one["last_event"]) for one in listed["data"]] == [(str(id), event)]


@autojump
async def test_a_late_row_and_changes_of_status(tmp_path: Path) -> None:
    """A row that appears after an hour is read, and so is each change of it: release, second try, end of a delay."""
    fates = {
        "release@contoso.com": ("quarantined", "delivered"),
        "retried@example.net": ("bounced", "delivered"),
        "delay+450@example.net": ("pending", "delivered"),
    }
    async with world(tmp_path) as here:
        here.trace.delay = 600.0
        ids = {address: await here.harness.post(to=address) for address in fates}
        await here.harness.until(ids["release@contoso.com"], "done")
        await here.passes()
        assert await here.deliveries(ids["release@contoso.com"]) == {"release@contoso.com": None}
        here.clock.jump(600.0)
        for address, (first, _) in fates.items():
            await here.until_delivery(ids[address], address, first)
        here.clock.jump(2 * HOUR)
        for address, (_, second) in fates.items():
            await here.until_delivery(ids[address], address, second)


@autojump
async def test_a_delay_is_reported_after_an_hour(tmp_path: Path) -> None:
    """A recipient for whom Exchange is still trying is delayed after an hour, with the words of the other server."""
    async with world(tmp_path) as here:
        id = await here.harness.post(to="delay+450@example.net")
        await here.until_delivery(id, "delay+450@example.net", "pending")
        here.clock.jump(HOUR)
        email = await here.until_delivery(id, "delay+450@example.net", "delayed")
        assert "4.4.317" in email["relay"]["recipients"][0]["delivery"]["cause"]


@autojump
async def test_other_mail_changes_nothing(tmp_path: Path) -> None:
    """Rows of other Message-IDs, other recipients and other case are ignored, and unknown statuses survived."""
    async with world(tmp_path) as here:
        id = await here.harness.post(to="status+recalled@example.net")
        await here.harness.until(id, "done")
        (row,) = [row for row in here.trace.rows if row.status == "recalled"]
        here.trace.add(
            replace(row, id=uuid4(), message_id=row.message_id.upper(), status="failed"),
            replace(row, recipient="someone-else@example.net", status="failed"),
            replace(row, id=uuid4(), message_id="<foreign@contoso.com>", status="failed"),
        )
        await here.passes()
        assert await here.deliveries(id) == {"status+recalled@example.net": None}


@pytest.mark.parametrize(
    "message_id", [None, "abc.1@framework.example", "0199f2b4-6a34-7b51-9c3a-0d4f6b1f2a10@x.example"]
)
def test_a_second_network_id_is_a_duplicate(tmp_path: Path, message_id: str | None) -> None:
    """Two messages with one Message-ID and recipient: Exchange has it twice, which is explained and counted once."""

    @autojump
    async def run() -> None:
        async with world(tmp_path) as here:
            headers = {"Message-ID": f"<{message_id}>"} if message_id else {}
            id = await here.harness.post(headers=headers)
            await here.until_delivery(id, "ada@example.net", "delivered")
            (row,) = here.trace.rows
            other = uuid4()
            here.trace.add(replace(row, id=other), replace(row, id=other))
            email = await _until_duplicate(here, id, str(other))
            assert email["relay"]["possible_duplicate"] is True
            assert "twice" in email["relay"]["explanation"]["summary"]
            await here.passes()
            metrics = (await here.harness.caller.get("/metrics")).text
            assert 'postern_troubles_total{event="email.duplicate"}' in metrics

    run()


async def _until_duplicate(here: World, id: UUID, other: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        email = await here.harness.email(id)
        (recipient,) = email["relay"]["recipients"]
        return email if recipient["delivery"]["duplicate_trace_id"] == other else None

    return await until(reached, TRACE_WAIT)


@autojump
async def test_one_message_id_of_several_emails(tmp_path: Path) -> None:
    """A caller may give several emails one Message-ID: each has its own row, and none is a duplicate."""
    async with world(tmp_path) as here:
        headers = {"Message-ID": "<campaign-7@framework.example>"}
        addresses = ["ada@example.net", "bounced@resend.dev", "junk@example.net"]
        ids = [await here.harness.post(to=to, headers=headers) for to in addresses]
        twice = await here.harness.post(to="ada@example.net", headers=headers)
        for id, to, state in zip(ids, addresses, ("delivered", "bounced", "junk"), strict=True):
            email = await here.until_delivery(id, to, state)
            assert email["relay"]["recipients"][0]["delivery"]["duplicate_trace_id"] is None
        await here.until_delivery(twice, "ada@example.net", "delivered")


@autojump
async def test_a_row_before_our_own_settlement(tmp_path: Path) -> None:
    """Exchange may know an email before Postern has its reply: the row counts once the attempt is settled."""
    async with world(tmp_path) as here:
        here.simulator.faults.add(Fault(Point.ACCEPTED, Delay(200.0), times=1))
        here.trace.fates["ada@example.net"] = (Step("delivered"),)
        id = await here.harness.post()
        await here.passes(1)
        assert await here.deliveries(id) == {"ada@example.net": None}
        await here.until_delivery(id, "ada@example.net", "delivered")


@autojump
async def test_without_the_trace_nothing_changes(tmp_path: Path) -> None:
    """With POSTERN_TRACE off no trace is read, and an email is sent as before."""
    async with world(tmp_path, trace=False) as here:
        id = await here.harness.post(to="bounced@resend.dev")
        email = await here.harness.until(id, "done")
        assert email["last_event"] == "sent"
        assert "delivery" not in email["relay"]["recipients"][0]
        assert here.trace.requests == []
