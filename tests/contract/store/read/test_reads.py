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
)

STRANGER = UUID(int=99)


async def test_a_key_sees_its_own_messages_only(store: Store) -> None:
    """Another's is as if it were not there."""
    mine, theirs = acceptance(), acceptance(key_id=STRANGER)
    await accept(store, mine, theirs)
    assert await store.get(theirs.id, KEY) is None
    assert await store.get(theirs.id, STRANGER) is not None
    assert [email.id for email in await store.find(KEY)] == [mine.id]


async def test_the_newest_are_found_first(store: Store) -> None:
    """As many as asked, of one state or of all, with their recipients."""
    kept = [acceptance() for _ in range(4)]
    await accept(store, *kept)
    await settle(store, (await claim(store, 1))[0], RELAYED)
    newest = [one.id for one in reversed(kept)]
    assert [email.id for email in await store.find(None, limit=3)] == newest[:3]
    assert [email.id for email in await store.find(None, state=MessageState.QUEUED)] == newest[:3]
    (done,) = await store.find(KEY, state=MessageState.DONE)
    assert [one.address for one in done.recipients] == ["b@example.com"]
    assert await store.find(None, state=MessageState.HELD) == []


async def test_what_is_not_there_is_none(store: Store) -> None:
    """No message, no content, no key, nothing due."""
    assert await store.get(STRANGER) is None
    assert await store.content(STRANGER) is None
    assert await store.find_key(b"none") is None
    assert (await store.next_due_times(["default"])).get("default") is None
    assert await store.counts() == dict.fromkeys(MessageState, 0)


async def test_the_next_due_is_the_earliest_that_waits(store: Store) -> None:
    """In its pool; what is held by a worker does not wait."""
    await accept(store, acceptance(due_at=NOW + 9), acceptance(due_at=NOW), acceptance(pool="other", due_at=NOW - 9))
    assert (await store.next_due_times(["default"])).get("default") == NOW
    await claim_one(store)
    assert (await store.next_due_times(["default"])).get("default") == NOW + 9


async def test_the_next_due_of_several_pools(store: Store) -> None:
    """Of each that has something; those without are left out."""
    await accept(store, acceptance(due_at=NOW + 9), acceptance(pool="other", due_at=NOW - 9))
    assert await store.next_due_times(["default", "other", "empty"]) == {"default": NOW + 9, "other": NOW - 9}


async def test_a_mailbox_knows_what_it_has_sent(store: Store) -> None:
    """What reached MAIL counts when it ended, with the recipients that were offered."""
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


async def test_what_may_have_been_sent_counts(store: Store) -> None:
    """An open attempt counts until its lease ends; a crashed one when it ended at the latest."""
    await accept(store, acceptance())
    await claim_one(store)
    assert await store.sent_since(MAILBOX, NOW + 30) == [SendRecord(NOW + 60, 1)]
    await store.recover(NOW + 500)
    assert await store.sent_since(MAILBOX, NOW + 30) == [SendRecord(NOW + 60, 1, confirmed=False)]
    await store.give_back([await claim_one(store, NOW + 500)])
    assert await store.sent_since(MAILBOX, NOW + 60) == []


async def test_a_mailbox_knows_what_it_has_used(store: Store) -> None:
    """Messages slide out after a minute, recipients after a day, and what is offered now has a connection."""
    await store.save_condition(MAILBOX, "default", MailboxCondition(since=NOW))
    await accept(store, acceptance("b@example.com", "c@example.com", due_at=NOW))
    await settle(store, await claim_one(store, NOW), RELAYED, NOW)
    await accept(store, acceptance(due_at=NOW))
    assert await store.usage(NOW + 1) == {MAILBOX: MailboxUsage(0, 1, 2)}
    await claim_one(store, NOW)
    assert await store.usage(NOW + 1) == {MAILBOX: MailboxUsage(1, 2, 3)}
    assert await store.usage(NOW + 60) == {MAILBOX: MailboxUsage(0, 1, 3)}
    assert await store.usage(NOW + 86_400) == {MAILBOX: MailboxUsage(0, 0, 1)}


async def test_what_is_wished_is_known_until_it_is_done(store: Store) -> None:
    """The newest, of each mailbox; who did the one before has not done this one."""
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
