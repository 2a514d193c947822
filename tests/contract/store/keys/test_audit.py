"""Audit: actions of operators and refusals, paged, with retention."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from app.mail.key_policy import RateLimit
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.message.message import OnUnknown
from app.store import Store
from app.store.keys.audit import Actor, AuditAction, CountedEntry, Entry
from app.store.keys.records import Key, KeyRevision, Permission
from app.store.mailboxes.records import HoldRequest
from app.store.retention import BATCH_SIZE, RetentionCutoffs
from tests.contract.store.build import LOST, MAILBOX, NOW, POOL, accept, acceptance, claim, claim_one, settle

BY = Actor("admin", UUID(int=5), "request-1")
REFUSED = Entry(NOW, BY, AuditAction.SEND_REFUSED, "POST /emails", {"status": 403, "message": "no"})


def refusal(once: str, times: int = 1, last_at: float = NOW) -> CountedEntry:
    """Return the same refusal, counted this many times."""
    return CountedEntry(REFUSED, last_at, times, once)


async def actions(store: Store) -> list[tuple[str, str]]:
    """Return the audited actions, the oldest first."""
    return [(one.entry.action, one.entry.subject) for one in reversed(await store.audit(None, 100))]


async def test_a_decision_of_an_operator_is_audited(store: Store) -> None:
    """With its actor, if it took effect; automatic changes are not."""
    (first, second, third) = await accept(store, *(acceptance(on_unknown=OnUnknown.HOLD) for _ in range(3)))
    (claimed,) = await claim(store, 1)
    await settle(store, claimed, LOST)
    await store.retry(first, NOW + 1, by=BY)
    await store.retry(first, NOW + 2, by=BY)  # it waits already
    await store.cancel(second, NOW + 3, by=BY)
    await store.cancel(third, NOW + 4)
    await settle(store, await claim_one(store, NOW + 5), LOST, NOW + 5)
    await store.confirm(first, NOW + 6, by=BY)
    assert await actions(store) == [
        ("email.retried", str(first)),
        ("email.canceled", str(second)),
        ("email.confirmed", str(first)),
    ]
    (newest, *_) = await store.audit(None, 1)
    assert newest.entry == Entry(NOW + 6, BY, AuditAction.EMAIL_CONFIRMED, str(first), {"was": "held"})


async def test_a_hold_request_is_audited(store: Store) -> None:
    """With the reason; one for an unknown mailbox is not."""
    await store.save_condition(MAILBOX, POOL, MailboxCondition(Health.OPEN, NOW))
    await store.request_hold(MAILBOX, HoldRequest(NOW + 1, hold=True, reason="audit"), BY)
    await store.request_hold(MAILBOX, HoldRequest(NOW + 2, hold=False), BY)
    await store.request_hold("nobody@contoso.com", HoldRequest(NOW + 3, hold=True), BY)
    assert await actions(store) == [("mailbox.held", MAILBOX), ("mailbox.released", MAILBOX)]
    assert (await store.audit(None, 9))[-1].entry.details == {"reason": "audit"}


async def test_the_same_refusal_is_one_entry(store: Store, store_url: str) -> None:
    """From all processes, in every order of their reports."""
    other = await Store.open(store_url)
    writes: list[Sequence[CountedEntry]] = [[refusal(f"k{n % 3}", 2, NOW + n), refusal("all")] for n in range(30)]
    await asyncio.gather(*((store, other)[n % 2].record_refusals(one) for n, one in enumerate(writes)))
    await other.close()
    records = await store.audit(None, 100)
    assert sorted((one.times, one.last_at) for one in records) == [
        (20, NOW + 27),
        (20, NOW + 28),
        (20, NOW + 29),
        (30, NOW),
    ]
    assert all(one.entry == REFUSED for one in records)


async def test_the_audit_is_paged(store: Store) -> None:
    """The newest first, without gaps."""
    for n in range(5):
        await store.record_refusals(
            [CountedEntry(Entry(NOW + n, BY, AuditAction.SEND_REFUSED, str(n), {}), NOW, 1, str(n))]
        )
    first = await store.audit(None, 3)
    rest = await store.audit(first[-1].id, 3)
    assert [one.entry.subject for one in [*first, *rest]] == ["4", "3", "2", "1", "0"]


async def test_old_entries_are_removed(store: Store) -> None:
    """By the time of their first occurrence."""
    for n in range(4 * BATCH_SIZE + 5):
        age = 10.0 if n % 100 else -10.0
        await store.record_refusals(
            [CountedEntry(Entry(NOW - age, BY, AuditAction.SEND_REFUSED, str(n), {}), NOW, 1, str(n))]
        )
    while await store.prune(RetentionCutoffs(0.0, contents=0.0, messages=0.0, events=0.0, audit=NOW)):
        pass
    assert [int(one.entry.subject) % 100 for one in await store.audit(None, 100)] == [0] * 3


async def test_concurrent_writers_do_not_deadlock(store: Store, store_url: str) -> None:
    """With any content of a group, in every order: a case of PostgreSQL."""
    other, key = await Store.open(store_url), Key(UUID(int=9), "shop", Permission.SEND_ONLY, NOW)
    await store.create_key(key, b"digest")

    async def write(one: Store, *, backwards: bool) -> None:
        for n in range(150):
            asked = [
                one.accept([acceptance(key_id=key.id)], None, RateLimit(None, 10_000)),
                one.record_refusals([refusal("flood")]),
                one.revise_key(KeyRevision(key.id, {"disabled": bool(n % 2)}, NOW, None)),
            ]
            await asyncio.gather(*(asked[::-1] if backwards else asked))

    await asyncio.gather(write(store, backwards=False), write(other, backwards=True))
    await other.close()
    assert (await store.audit(None, 1))[0].times == 300
    record = await store.key(key.id)
    assert record is not None
    assert record.usage.day_used == 300
