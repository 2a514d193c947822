"""Read queries of messages, mailboxes and the write probe."""

from uuid import UUID

from sqlalchemy import select

from app.mail.lifecycle import MessageState
from app.mail.mailbox_health import MailboxCondition
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.store import Store
from app.store.db import engine
from app.store.mailboxes.records import HoldRequest, MailboxUsage, SendRecord
from app.store.schema import heartbeat
from tests.contract.store.build import (
    DEFERRED,
    KEY,
    MAILBOX,
    NOW,
    PAUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    settle,
    stored_emails,
)
from tests.states import count_states

STRANGER = UUID(int=99)


async def test_the_message_of_another_key_is_unknown(store: Store) -> None:
    mine, theirs = acceptance(), acceptance(key_id=STRANGER)
    await accept(store, mine, theirs)
    assert await store.get(theirs.id, KEY) is None
    assert await store.get(theirs.id, STRANGER) is not None
    assert [email.id for email in await stored_emails(store, KEY)] == [mine.id]


async def test_the_newest_messages_come_first(store: Store) -> None:
    """As many as requested, of one state or all, with their recipients."""
    stored = [acceptance() for _ in range(4)]
    await accept(store, *stored)
    await settle(store, (await claim(store, 1))[0], RELAYED)
    newest = [one.id for one in reversed(stored)]
    assert [email.id for email in await stored_emails(store, limit=3)] == newest[:3]
    assert [email.id for email in await stored_emails(store, state=MessageState.QUEUED)] == newest[:3]
    (done,) = await stored_emails(store, KEY, state=MessageState.DONE)
    assert [one.address for one in done.recipients] == ["b@example.com"]
    assert await stored_emails(store, state=MessageState.HELD) == []


async def test_unknown_ids_are_none(store: Store) -> None:
    """Message, content, key and next due time."""
    assert await store.get(STRANGER) is None
    assert await store.content(STRANGER) is None
    assert await store.find_key(b"none") is None
    assert (await store.next_due_times(["default"])).get("default") is None
    assert await count_states(store) == dict.fromkeys(MessageState, 0)


async def test_the_next_due_time_is_the_earliest_waiting(store: Store) -> None:
    """In its pool, without active messages."""
    await accept(store, acceptance(due_at=NOW + 9), acceptance(due_at=NOW), acceptance(pool="other", due_at=NOW - 9))
    assert (await store.next_due_times(["default"])).get("default") == NOW
    await claim_one(store)
    assert (await store.next_due_times(["default"])).get("default") == NOW + 9


async def test_the_next_due_times_of_several_pools(store: Store) -> None:
    """Pools without a waiting message are absent."""
    await accept(store, acceptance(due_at=NOW + 9), acceptance(pool="other", due_at=NOW - 9))
    assert await store.next_due_times(["default", "other", "empty"]) == {"default": NOW + 9, "other": NOW - 9}


async def test_sends_of_a_mailbox_are_its_attempts_from_mail_on(store: Store) -> None:
    """With the attempted recipients."""
    early = Attempt(Phase.MAIL, failure=Failure(Phase.MAIL, FailureKind.CLOSED))
    for at, attempt in ((NOW, RELAYED), (NOW + 1, PAUSED), (NOW + 2, DEFERRED), (NOW + 3, early)):
        await accept(store, acceptance("b@example.com", "c@example.com", due_at=NOW))
        await settle(store, await claim_one(store, NOW), attempt, at)
        await store.expire(NOW + 10 * 86_400)
    assert await store.sent_since(MAILBOX, NOW - 1) == [
        SendRecord(NOW, 2),
        SendRecord(NOW + 2, 2),
        SendRecord(NOW + 3, 2),
    ]
    assert await store.sent_since(MAILBOX, NOW) == [SendRecord(NOW + 2, 2), SendRecord(NOW + 3, 2)]
    assert await store.sent_since("other@contoso.com", 0.0) == []


async def test_unsettled_attempts_count_as_sends(store: Store) -> None:
    """Until the lease ends, or when a crashed one ended at the latest."""
    await accept(store, acceptance())
    await claim_one(store)
    assert await store.sent_since(MAILBOX, NOW + 30) == [SendRecord(NOW + 60, 1)]
    await store.recover(NOW + 500)
    assert await store.sent_since(MAILBOX, NOW + 30) == [SendRecord(NOW + 60, 1, confirmed=False)]
    await store.give_back([await claim_one(store, NOW + 500)])
    assert await store.sent_since(MAILBOX, NOW + 60) == []


async def test_mailbox_usage_has_messages_recipients_and_connections(store: Store) -> None:
    """Messages leave after a minute, recipients after a day; an active message has a connection."""
    await store.save_condition(MAILBOX, "default", MailboxCondition(since=NOW))
    await accept(store, acceptance("b@example.com", "c@example.com", due_at=NOW))
    await settle(store, await claim_one(store, NOW), RELAYED, NOW)
    await accept(store, acceptance(due_at=NOW))
    assert await store.usage(NOW + 1) == {MAILBOX: MailboxUsage(0, 1, 2)}
    await claim_one(store, NOW)
    assert await store.usage(NOW + 1) == {MAILBOX: MailboxUsage(1, 2, 3)}
    assert await store.usage(NOW + 60) == {MAILBOX: MailboxUsage(0, 1, 3)}
    assert await store.usage(NOW + 86_400) == {MAILBOX: MailboxUsage(0, 0, 1)}


async def test_a_hold_request_is_returned_until_it_is_applied(store: Store) -> None:
    """The newest for each mailbox; applying an older one does not remove it."""
    for name in (MAILBOX, "other@contoso.com"):
        await store.save_condition(name, "default", MailboxCondition(since=NOW))
    first, then = HoldRequest(NOW + 1, hold=True, reason="audit"), HoldRequest(NOW + 2, hold=False)
    await store.request_hold(MAILBOX, first)
    assert await store.hold_requests() == {MAILBOX: first}
    await store.request_hold(MAILBOX, then)
    await store.save_condition(MAILBOX, "default", MailboxCondition(since=NOW), fulfilled_request=first.at)
    assert await store.hold_requests() == {MAILBOX: then}
    await store.save_condition(MAILBOX, "default", MailboxCondition(since=NOW), fulfilled_request=then.at)
    assert await store.hold_requests() == {}


async def test_a_write_probe_commits(store: Store, store_url: str) -> None:
    """Another connection sees both writes."""
    await store.write_probe()
    await store.write_probe()
    reader = engine.read_engine(store_url)
    with reader.connect() as connection:
        assert connection.execute(select(heartbeat.c.beats)).scalar_one() == 2
    reader.dispose()
