"""Verbs of the reader of non-delivery reports: progress under a fence, emails of a mailbox, ids that come later."""

from uuid import UUID

from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.ndr.belief import SentEmail
from app.mail.suppression import SeenBy
from app.store import Store
from app.store.message_trace.records import FolderProgress, HoldRequest, Match, Report, Reports, WaitingReport
from tests.contract.store.build import DAY, LOST, MAILBOX, NOW, SCOPE, accept, acceptance, claim_one, settle
from tests.contract.store.test_traces import ONE, OTHER, hold, relayed, report

S = DeliveryState


def bounce(message_id: str, to: str = "b@example.com", emails: frozenset[UUID] | None = None) -> Report:
    """Return a believed non-delivery report."""
    return Report(TraceRow(None, message_id, to, NOW, ""), S.BOUNCED, Cause("5.1.1", "550 5.1.1 Unknown"), emails)


async def test_progress_of_folders(store: Store) -> None:
    """It is stored by folder, and only while the lease is held."""
    first = await store.traces.hold(HoldRequest(MAILBOX, ONE, DAY))
    assert first is not None
    assert await store.traces.folders(MAILBOX) == {}
    inbox = FolderProgress("inbox", "https://graph/1", NOW, (WaitingReport("AAkA=", NOW),))
    junk = FolderProgress("junkemail")
    for one in (FolderProgress("inbox", "https://graph/0"), inbox, junk):
        assert await store.traces.advance_folder(first.reader, one)
    assert await store.traces.folders(MAILBOX) == {"inbox": inbox, "junkemail": junk}
    assert await store.traces.folders("other@contoso.com") == {}
    await store.traces.release(first.reader)
    assert await store.traces.hold(HoldRequest(MAILBOX, OTHER, DAY)) is not None
    assert not await store.traces.advance_folder(first.reader, FolderProgress("inbox", "https://graph/2"))
    assert (await store.traces.folders(MAILBOX))["inbox"] == inbox


async def test_emails_that_a_mailbox_has_sent(store: Store) -> None:
    """Those with an attempt, with the recipients that were relayed or whose outcome is unknown."""
    sent, waiting, lost = await relayed(store), acceptance("b@example.com"), acceptance("c@example.com")
    await accept(store, lost)
    await settle(store, await claim_one(store), LOST)
    await accept(store, waiting)
    names = [one.message.message_id for one in (sent, waiting, lost)]
    found = await store.traces.sent_emails([*names, "foreign@contoso.com"], SCOPE)
    assert sorted(found, key=str) == sorted(
        [
            (sent.id, SentEmail(names[0], MAILBOX, frozenset({"b@example.com"}))),
            (lost.id, SentEmail(names[2], MAILBOX, frozenset({"c@example.com"}))),
        ],
        key=str,
    )
    assert await store.traces.sent_emails([], SCOPE) == []


async def test_the_trace_adds_its_id(store: Store) -> None:
    """A row after a report changes nothing but the id; a later row with another id is a second copy."""
    email = await relayed(store)
    name, reader = email.message.message_id, (await hold(store)).reader
    for batch, seen_by, expected in (
        (bounce(name), SeenBy.NDR, Match.CHANGED),
        (bounce(name), SeenBy.NDR, Match.UNCHANGED),
        (report(name, S.BOUNCED, id=OTHER), SeenBy.TRACE, Match.UNCHANGED),
        (report(name, S.BOUNCED, id=ONE), SeenBy.TRACE, Match.DUPLICATE),
    ):
        applied = await store.traces.apply(Reports(reader, (batch,), NOW, SCOPE, seen_by=seen_by))
        assert applied is not None
        assert applied.matches == (expected,)
    found = await store.get(email.id)
    assert found is not None
    delivery = found.recipients[0].delivery
    assert delivery is not None
    assert (delivery.state, delivery.network_id, delivery.duplicate_id) == (S.BOUNCED, OTHER, ONE)


async def test_a_report_is_about_its_emails_alone(store: Store) -> None:
    """Another email with the same Message-ID, which another mailbox has sent, is not changed."""
    one, other = await relayed(store, "same@framework.example"), await relayed(store, "same@framework.example")
    reader = (await hold(store)).reader
    batch = (bounce("same@framework.example", emails=frozenset({other.id})),)
    applied = await store.traces.apply(Reports(reader, batch, NOW, SCOPE, seen_by=SeenBy.NDR))
    assert applied is not None
    assert applied.matches == (Match.CHANGED,)
    found = [await store.get(id) for id in (one.id, other.id)]
    assert [email and email.recipients[0].delivery is not None for email in found] == [False, True]
