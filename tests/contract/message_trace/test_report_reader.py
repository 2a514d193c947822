"""The reader of non-delivery reports under faults: moved between replicas, after 410, with held emails."""

from pathlib import Path
from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState
from app.message_trace.mailbox_client import FILTER_LIMIT
from app.store.message_trace.records import FolderProgress, HoldRequest
from tests.clock import autojump
from tests.contract.message_trace.lab import Lab, lab, running
from tests.contract.store.build import LOST, MAILBOX, RELAYED
from tests.waiting import until

WAIT = 3600.0  # virtual seconds


async def bounced(here: Lab, ids: list[UUID]) -> bool:
    """Return whether every email has a report."""
    emails = [await here.store.get(id) for id in ids]
    return all(email and email.recipients[0].delivery for email in emails)


async def check(here: Lab, emails: list[tuple[UUID, str]]) -> None:
    """Check that each email has bounced exactly once, and that the mailbox was only read."""
    events = await here.events()
    found = {key: times for key, times in events.items() if key[0] == "email.bounced"}
    assert found == {("email.bounced", str(id)): 1 for id, _ in emails}
    assert {one.method for one in here.trace.mailboxes.requests} == {"GET"}


@autojump
async def test_one_replica_reads(tmp_path: Path) -> None:
    """Of two readers one has the lease; after it was stopped, the other continues where it was."""
    async with lab(tmp_path) as here:
        emails = await here.relay(2, RELAYED)
        first, second = here.report_reader(), here.report_reader()
        first.start()
        here.bounce(emails[0][1], "u0@example.net")
        await until(lambda: bounced(here, [emails[0][0]]), WAIT)
        second.start()
        await first.stop()
        here.bounce(emails[1][1], "u1@example.net")
        await until(lambda: bounced(here, [emails[1][0]]), WAIT)
        await second.stop()
        await check(here, emails)
        read = [one for one in here.trace.mailboxes.requests if one.path.endswith("$value")]
        assert len(read) == 2


@autojump
async def test_a_held_email_that_bounced_was_accepted(tmp_path: Path) -> None:
    """The report is proof that Exchange took it: it is sent and bounced, confirmed by the report in the audit."""
    async with lab(tmp_path) as here:
        ((id, message_id),) = emails = await here.relay(1, LOST)
        async with running(here.report_reader()):
            here.bounce(message_id, "u0@example.net")
            await until(lambda: bounced(here, [id]), WAIT)
        email = await here.store.get(id)
        assert email is not None
        assert (email.state, str(email.recipients[0].state)) == (MessageState.DONE, "relayed")
        assert email.explanation is not None
        assert "non-delivery report" in email.explanation.summary
        audit = await here.store.audit(None, 10)
        assert [one.entry.by.name for one in audit if one.entry.action == "email.confirmed"] == ["non-delivery report"]
        await check(here, emails)
        assert (await here.events())["email.sent", str(id)] == 1


@pytest.mark.timeout(500)
@autojump
async def test_more_messages_than_a_filter_returns(tmp_path: Path) -> None:
    """After 410 with more messages than a query with a filter returns, the folder is read without one."""
    async with lab(tmp_path) as here:
        emails = await here.relay(1, RELAYED)
        async with running(here.report_reader()):
            await until(lambda: len(here.trace.mailboxes.requests) >= 4 or None, WAIT)
        here.trace.mailboxes.expire()
        for _ in range(FILTER_LIMIT):
            here.trace.mailboxes.add(MAILBOX, b"Subject: Hello\r\n\r\n")
        here.bounce(emails[0][1], "u0@example.net")
        async with running(here.report_reader()):
            await until(lambda: bounced(here, [emails[0][0]]), 10 * WAIT)
        await check(here, emails)


@autojump
async def test_another_address_of_graph(tmp_path: Path) -> None:
    """A stored link to another host is not followed: the folder is read anew."""
    async with lab(tmp_path) as here:
        emails = await here.relay(1, RELAYED)
        reader = here.report_reader()
        held = await here.store.traces.hold(HoldRequest(MAILBOX, UUID(int=5), 60.0))
        assert held is not None
        progress = FolderProgress("inbox", "https://graph.example.net/v1.0/delta", here.clock.now())
        assert await here.store.traces.advance_folder(held.reader, progress)
        await here.store.traces.release(held.reader)
        here.bounce(emails[0][1], "u0@example.net")
        async with running(reader):
            await until(lambda: bounced(here, [emails[0][0]]), WAIT)
        await check(here, emails)


@autojump
async def test_emails_with_one_message_id(tmp_path: Path) -> None:
    """Callers may give two emails to one recipient the same Message-ID: one report, read twice, is one bounce."""
    async with lab(tmp_path) as here:
        emails = await here.relay(2, RELAYED)
        here.bounce(emails[0][1], "u0@example.net")
        here.bounce(emails[0][1], "u0@example.net")
        async with running(here.report_reader()):
            await until(lambda: bounced(here, [emails[0][0]]), WAIT)
            here.trace.mailboxes.expire()
            seen = len(here.trace.mailboxes.requests)
            await until(lambda: len(here.trace.mailboxes.requests) > seen + 6 or None, WAIT)
        await check(here, emails[:1])
