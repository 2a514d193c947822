"""Bounces from non-delivery reports in the sending mailbox, from the HTTP request to the webhook event."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.simulator import Account, Delay, Fault, Point
from app.simulator.trace import INBOX, JUNK, Step
from tests.clock import autojump
from tests.contract.message_trace.world import HOUR, TRACE_WAIT, World, world
from tests.harness import MAILBOX
from tests.unit.mail.ndr.reports import Ndr, block
from tests.waiting import until
from tests.webhooks.receiver import Receiver

GONE = "bounce+5.1.1@example.net"
EVENTS = ["email.sent", "email.bounced", "email.delivered", "email.delivery_delayed"]


class Reports(World):
    """Running Postern that reads non-delivery reports, and a receiver of its events."""

    receiver: Receiver

    async def until_bounced(self, id: UUID, address: str = GONE) -> dict[str, Any]:
        """Return the email once the bounce of this address was received as an event."""
        email = await self.until_delivery(id, address, "bounced")
        await until(lambda: "email.bounced" in self.receiver.types[str(id)] or None, TRACE_WAIT)
        return email

    async def rounds(self, number: int = 2) -> None:
        """Wait until both folders have been read as often again."""
        mailboxes = self.trace.mailboxes
        before = len([one for one in mailboxes.requests if one.path.endswith("delta")])
        wanted = before + 2 * number
        await until(
            lambda: len([one for one in mailboxes.requests if one.path.endswith("delta")]) >= wanted or None,
            10 * TRACE_WAIT,
        )


@asynccontextmanager
async def reports(folder: Path, **changes: Any) -> AsyncIterator[Reports]:
    """Run a Postern that reads reports, by default without the trace."""
    facts = {"trace": False, "ndr": True, "webhook_private_addresses": True, **changes}
    async with Receiver() as receiver, world(folder, **facts) as here:
        made = await here.harness.caller.post("/webhooks", json={"endpoint": receiver.url, "events": EVENTS})
        assert made.status_code == 200, made.text
        opened = Reports(here.harness, here.simulator, here.trace, here.clock)
        opened.receiver = receiver
        yield opened
        assert {one.method for one in here.trace.mailboxes.requests} <= {"GET"}


async def message_id(here: World, id: UUID) -> str:
    """Return the Message-ID of an email, without brackets."""
    found: str = (await here.harness.email(id))["message_id"]
    return found.strip("<>")


@autojump
async def test_a_hard_bounce_without_the_trace(tmp_path: Path) -> None:
    """One event for the recipient that bounced; the address is suppressed, with the report as evidence; no other is."""
    async with reports(tmp_path) as here:
        id = await here.harness.post(to=[GONE, "ada@example.net", "delay+450@example.net"])
        email = await here.until_bounced(id)
        assert email["last_event"] == "bounced"
        assert await here.deliveries(id) == {GONE: "bounced", "ada@example.net": None, "delay+450@example.net": None}
        (bounced,) = [got.event["data"] for got in here.receiver.taken if got.event["type"] == "email.bounced"]
        assert bounced["to"] == [GONE]
        assert bounced["bounce"]["type"] == "Permanent"
        assert bounced["bounce"]["diagnosticCode"] == ["550 5.1.1 User unknown"]
        assert bounced["relay"]["delivery"]["trace_id"] is None
        await here.rounds()
        assert here.receiver.types[str(id)] == ["email.sent", "email.bounced"]
        listed = (await here.harness.caller.get("/suppressions")).json()["data"]
        assert [(one["email"], one["origin"], one["source_id"]) for one in listed] == [(GONE, "bounce", str(id))]
        shown = (await here.harness.caller.get(f"/suppressions/{GONE}")).json()
        assert (shown["evidence"]["seen_by"], shown["evidence"]["code"]) == ("ndr", "5.1.1")
        assert here.trace.requests == []
        webhooks = (await here.harness.caller.get("/webhooks")).json()["data"]
        assert [one["never_sent"] for one in webhooks] == [["email.delivered"]]


@pytest.mark.parametrize("first", ["report", "trace"])
def test_both_sources_are_one_event(tmp_path: Path, first: str) -> None:
    """Whichever comes first is published; the other adds the Message trace ID at most."""

    @autojump
    async def run() -> None:
        async with reports(tmp_path, trace=True) as here:
            here.trace.delay = 600.0 if first == "report" else 0.0
            here.trace.mailboxes.delay = 600.0 if first == "trace" else 0.0
            id = await here.harness.post(to=GONE)
            email = await here.until_bounced(id)
            (recipient,) = email["relay"]["recipients"]
            assert (recipient["delivery"]["trace_id"] is None) == (first == "report")
            here.clock.jump(600.0)
            await here.rounds()
            await here.passes()
            (recipient,) = (await here.harness.email(id))["relay"]["recipients"]
            (row,) = here.trace.rows
            assert recipient["delivery"]["trace_id"] == str(row.id)
            assert here.receiver.types[str(id)] == ["email.sent", "email.bounced"]

    run()


@autojump
async def test_a_second_try_of_exchange(tmp_path: Path) -> None:
    """A report, then the trace says delivered: Exchange tried again, and both are events."""
    async with reports(tmp_path, trace=True) as here:
        here.trace.fates["ada@example.net"] = (
            Step("failed", code="4.4.7", text="Message expired"),
            Step("delivered", after=HOUR),
        )
        here.trace.delay = HOUR
        id = await here.harness.post()
        await here.until_bounced(id, "ada@example.net")
        here.clock.jump(HOUR)
        await here.until_delivery(id, "ada@example.net", "delivered")
        await here.rounds()
        await until(lambda: len(here.receiver.types[str(id)]) == 3 or None, TRACE_WAIT)
        assert here.receiver.types[str(id)] == ["email.sent", "email.bounced", "email.delivered"]


@autojump
async def test_a_report_after_delivered_changes_nothing(tmp_path: Path) -> None:
    """States only move forward: what the next server took does not bounce, so a report read again changes nothing."""
    async with reports(tmp_path, trace=True) as here:
        id = await here.harness.post()
        await here.until_delivery(id, "ada@example.net", "delivered")
        named = f"<{await message_id(here, id)}>"
        raw = Ndr((block("ada@example.net", status="5.1.1"),), named, named, named).raw()
        here.trace.mailboxes.add(MAILBOX, raw)
        await here.rounds()
        assert await here.deliveries(id) == {"ada@example.net": "delivered"}
        assert any(one.path.endswith("$value") for one in here.trace.mailboxes.requests)
        assert (await here.harness.caller.get("/suppressions")).json()["data"] == []


def forgeries(ours: str) -> dict[str, bytes]:
    """Return messages that anybody can send to the mailbox; they name the email with this Message-ID, or nearly."""
    named, ada, unknown = f"<{ours}>", "ada@example.net", "<0190a5d0-0000-7000-8000-000000000000@contoso.com>"
    return {
        "an email that was never sent": Ndr((block(ada),), unknown, unknown, unknown).raw(),
        "a recipient who was not on the email": Ndr((block("eve@example.net"),), named, named, named).raw(),
        "an address that begins like it": Ndr((block(f"{ada}.evil.example"),), named, named, named).raw(),
        "a Message-ID that contains ours": Ndr((block(ada),), f"<x{ours}>", None, None).raw(),
        "a Message-ID in another case": Ndr((block(ada),), named.upper(), None, None).raw(),
        "no Message-ID": Ndr((block(ada),), None, None, None).raw(),
        "two Message-IDs": Ndr((block(ada),), named, named, "<other@contoso.com>").raw(),
        "a delay": Ndr((block(ada, "delayed", "4.4.7"),), named, named, named).raw(),
        "a success": Ndr((block(ada, "delivered", "5.1.1"),), named, named, named).raw(),
        "a report for people": Ndr((), named, named, named, human=f"\r\n{block(ada)}").raw(),
        "a report inside another message": Ndr(
            (block(ada),), named, named, named, content_type="multipart/mixed"
        ).raw(),
        "an automatic reply": f"Auto-Submitted: auto-replied\r\nIn-Reply-To: {named}\r\n\r\n{block(ada)}".encode(),
        "a report that was refused": Ndr((block("refused@example.org"),), named, named, named).raw(),
    }


async def disbelieved(here: World) -> Counter[str]:
    """Return the number of reports of which nothing is believed, by reason."""
    text = (await here.harness.caller.get("/metrics")).text
    found = re.findall(r'^postern_non_delivery_disbelieved_total\{reason="(\w+)"\} ([\d.]+)$', text, re.MULTILINE)
    return Counter({reason: int(float(number)) for reason, number in found})


@autojump
async def test_forgeries_change_nothing(tmp_path: Path) -> None:
    """Reports about other mail, of other recipients, of other forms, and in another mailbox of the tenant.

    Those that are reports of a failure are counted.
    """
    async with reports(tmp_path) as here:
        here.simulator.accounts.add(Account("sales@contoso.com", "x"))
        here.simulator.faults.add(Fault.named("invalid_recipient", recipient="refused@example.org"))
        id = await here.harness.post(to=["ada@example.net", "refused@example.org"])
        await here.harness.until(id, "done")
        ours = await message_id(here, id)
        before = await disbelieved(here)
        for raw in forgeries(ours).values():
            here.trace.mailboxes.add(MAILBOX, raw)
        genuine = Ndr((block("ada@example.net"),), f"<{ours}>", f"<{ours}>", f"<{ours}>").raw()
        here.trace.mailboxes.add("sales@contoso.com", genuine)
        await here.rounds()
        assert set((await here.deliveries(id)).values()) == {None}
        assert (await here.harness.caller.get("/suppressions")).json()["data"] == []
        assert await disbelieved(here) - before == {"other_email": 3, "other_recipient": 3, "no_message_id": 2}
        here.trace.mailboxes.add(MAILBOX, genuine)
        await here.until_bounced(id, "ada@example.net")


@autojump
async def test_junk_email_and_moved_messages(tmp_path: Path) -> None:
    """A report in Junk Email counts; moved to the Inbox afterwards it is the same one."""
    async with reports(tmp_path) as here:
        here.trace.mailboxes.reports_to = JUNK
        id = await here.harness.post(to=GONE)
        await here.until_bounced(id)
        (moved,) = here.trace.mailboxes.folder(MAILBOX, JUNK).items
        here.trace.mailboxes.move(MAILBOX, moved, JUNK, INBOX)
        await here.rounds()
        assert here.receiver.types[str(id)] == ["email.sent", "email.bounced"]


@autojump
async def test_many_messages_and_errors_of_graph(tmp_path: Path) -> None:
    """Pages, 429, 503, pages without header fields, and a mailbox that becomes readable: every bounce is one event."""
    async with reports(tmp_path) as here:
        mailboxes = here.trace.mailboxes
        mailboxes.readable = set()
        mailboxes.headers_in_pages = False
        for number in range(250):
            mailboxes.add(MAILBOX, f"Subject: {number}\r\n\r\nHello.\r\n".encode())
        ids = [await here.harness.post(to=f"bounce+5.7.1@c{number}.example.net") for number in range(3)]
        await until(lambda: any(one.status == 403 for one in mailboxes.requests) or None, TRACE_WAIT)
        mailboxes.readable = {MAILBOX}
        mailboxes.fail(429, retry_after=200)
        mailboxes.fail(503, times=2)
        for number, id in enumerate(ids):
            await here.until_bounced(id, f"bounce+5.7.1@c{number}.example.net")
        assert {200, 403, 429, 503} <= {one.status for one in mailboxes.requests}
        (first, *_), (second, *_) = (
            [one.at for one in mailboxes.requests if one.status in statuses] for statuses in ({429}, {503})
        )
        assert second - first >= 200
        contents = [one for one in mailboxes.requests if one.path.endswith("$value") and one.status == 200]
        assert len(contents) == len(ids)  # other mail is not read


@autojump
async def test_a_lost_state_is_read_again(tmp_path: Path) -> None:
    """After 410 the messages since the last round are read: what came meanwhile is found, and nothing is told twice."""
    async with reports(tmp_path) as here:
        first = await here.harness.post(to=GONE)
        await here.until_bounced(first)
        here.trace.mailboxes.expire()
        second = await here.harness.post(to="bounce+5.1.10@example.net")
        await here.until_bounced(second, "bounce+5.1.10@example.net")
        assert 410 in {one.status for one in here.trace.mailboxes.requests}
        await here.rounds()
        assert [here.receiver.types[str(id)] for id in (first, second)] == [["email.sent", "email.bounced"]] * 2


@autojump
async def test_a_report_before_our_own_settlement(tmp_path: Path) -> None:
    """The report waits until the attempt is settled, and then counts, also if the message was moved meanwhile."""
    async with reports(tmp_path) as here:
        here.simulator.faults.add(Fault(Point.ACCEPTED, Delay(400.0), times=1))
        id = await here.harness.post(to=GONE)
        await until(lambda: any(one.path.endswith("$value") for one in here.trace.mailboxes.requests) or None, 300.0)
        assert await here.deliveries(id) == {GONE: None}
        (moved,) = here.trace.mailboxes.folder(MAILBOX, INBOX).items
        here.trace.mailboxes.move(MAILBOX, moved, INBOX, JUNK)
        await here.until_bounced(id)
        await here.rounds()
        assert here.receiver.types[str(id)] == ["email.sent", "email.bounced"]


@pytest.mark.parametrize("headers_in_pages", [True, False])
def test_a_message_that_graph_cannot_return(tmp_path: Path, headers_in_pages: bool) -> None:
    """It does not block the others, and counts once it can be read."""

    @autojump
    async def run() -> None:
        async with reports(tmp_path) as here:
            mailboxes = here.trace.mailboxes
            mailboxes.headers_in_pages = headers_in_pages
            ids = [await here.harness.post(to=f"{name}@example.net") for name in ("ada", "bob")]
            for id, name in zip(ids, ("ada", "bob"), strict=True):
                await here.harness.until(id, "done")
                named = f"<{await message_id(here, id)}>"
                new = mailboxes.add(MAILBOX, Ndr((block(f"{name}@example.net"),), named, named, named).raw())
                if name == "ada":
                    mailboxes.broken.add(new)
            await here.until_bounced(ids[1], "bob@example.net")
            await here.rounds()
            assert await here.deliveries(ids[0]) == {"ada@example.net": None}
            mailboxes.broken.clear()
            await here.until_bounced(ids[0], "ada@example.net")
            assert here.receiver.types[str(ids[0])] == ["email.sent", "email.bounced"]

    run()


@autojump
async def test_off_by_default(tmp_path: Path) -> None:
    """Without POSTERN_NDR nobody reads the mailbox."""
    async with reports(tmp_path, ndr=None) as here:
        id = await here.harness.post(to=GONE)
        await here.harness.until(id, "done")
        here.trace.mailboxes.add(MAILBOX, b"Subject: Hello\r\n\r\n")
        assert here.trace.mailboxes.requests == []
