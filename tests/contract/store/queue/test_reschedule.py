"""Rescheduling and cancellation of scheduled messages: only before their time, and never against a worker."""

import asyncio
from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState
from app.store import Store
from app.store.records import Change, Email
from tests.contract.store.build import DAY, KEY, NOW, POOL, RELAYED, accept, acceptance, claim, ids, settle

S = MessageState
HOUR = 3600.0
STRANGER = UUID(int=99)
DATED = b"From: a@contoso.com\r\nDate: Fri, 15 Jan 2027 09:00:00 +0000\r\nX-Note: a\r\n\r\nDate: never\r\n"


async def scheduled(store: Store, due_at: float = NOW + HOUR, **changes: object) -> UUID:
    """Store a message for a later time."""
    facts = {"due_at": due_at, "scheduled_at": due_at, "expires_at": due_at + DAY, "content": DATED, **changes}
    (id,) = await accept(store, acceptance(**facts))
    return id


async def read(store: Store, id: UUID) -> Email:
    """Return its current record."""
    email = await store.get(id)
    assert email is not None
    return email


@pytest.mark.parametrize("at", [NOW + 60, NOW + 2 * HOUR, NOW + HOUR])
async def test_a_reschedule_moves_due_time_expiry_and_date(store: Store, at: float) -> None:
    id = await scheduled(store)
    assert await store.reschedule(id, at, NOW) == Change(True, S.QUEUED)
    email = await read(store, id)
    assert (email.scheduled_at, email.due_at, email.expires_at) == (at, at, at + DAY)
    assert (await store.next_due_times([POOL])).get(POOL) == at
    assert await claim(store, now=at - 1) == []
    (claimed,) = await claim(store, now=at)
    assert (claimed.id, claimed.delivery_state.due_since, claimed.delivery_state.expires_at) == (id, at, at + DAY)
    clock = {60: b"08:01", 7200: b"10:00", 3600: b"09:00"}[int(at - NOW)]
    assert claimed.content == DATED.replace(b"09:00:00", clock + b":00")
    assert claimed.size == len(claimed.content)


async def test_a_time_in_the_past_is_due_now(store: Store) -> None:
    """In turn with the other messages of its key."""
    id = await scheduled(store)
    before = await accept(store, acceptance())
    assert await store.reschedule(id, NOW - DAY, NOW) == Change(True, S.QUEUED)
    email = await read(store, id)
    assert (email.scheduled_at, email.due_at, email.expires_at) == (NOW, NOW, NOW + DAY)
    after = await accept(store, acceptance(created_at=NOW + 1, due_at=NOW + 1))
    assert sorted(ids(await claim(store, now=NOW + 1))) == sorted([*before, id, *after])


async def test_only_scheduled_messages_can_be_rescheduled(store: Store) -> None:
    """Queued, active, ended and cancelled ones are unchanged."""
    (plain,) = await accept(store, acceptance())
    due, cancelled, done, active = [await scheduled(store, NOW + 1) for _ in range(4)]
    await store.cancel(cancelled, NOW)
    for claimed in await claim(store, now=NOW + 1):
        if claimed.id == done:
            await settle(store, claimed, RELAYED, NOW + 1)
        elif claimed.id != active:
            await store.give_back([claimed])
    states = {plain: S.QUEUED, due: S.QUEUED, cancelled: S.CANCELLED, done: S.DONE, active: S.ACTIVE}
    for id, state in states.items():
        before = await read(store, id)
        assert await store.reschedule(id, NOW + DAY, NOW + 1) == Change(False, state)
        assert await store.cancel(id, NOW + 1, scheduled=True) == Change(False, state)
        assert await read(store, id) == before
    assert await store.reschedule(STRANGER, NOW + DAY, NOW) is None
    assert await store.cancel(STRANGER, NOW, scheduled=True) is None


async def test_the_message_of_another_key_is_unknown(store: Store) -> None:
    id = await scheduled(store)
    before = await read(store, id)
    assert await store.reschedule(id, NOW + DAY, NOW, STRANGER) is None
    assert await store.cancel(id, NOW, STRANGER, scheduled=True) is None
    assert await read(store, id) == before
    assert await store.reschedule(id, NOW + DAY, NOW, KEY) == Change(True, S.QUEUED)
    assert await store.cancel(id, NOW, KEY, scheduled=True) == Change(True, S.CANCELLED)


async def test_a_message_with_a_turn_can_be_rescheduled(store: Store) -> None:
    """The caller's clock may be slightly behind the relay's."""
    first, id = await scheduled(store, NOW + 1), await scheduled(store, NOW + 1)
    assert ids(await claim(store, 1, NOW + 1)) == [first]
    assert await store.reschedule(id, NOW + HOUR, NOW + 0.9) == Change(True, S.QUEUED)
    assert await claim(store, now=NOW + 1) == []
    assert (await store.next_due_times([POOL])).get(POOL) == NOW + HOUR
    assert ids(await claim(store, now=NOW + HOUR)) == [id]


async def test_of_a_concurrent_claim_and_reschedule_one_succeeds(store: Store) -> None:
    stored = [await scheduled(store, NOW + 1) for _ in range(20)]
    changes = asyncio.gather(
        *(store.reschedule(id, NOW + HOUR, NOW + 0.5) for id in stored[:10]),
        *(store.cancel(id, NOW + 0.5, scheduled=True) for id in stored[10:]),
    )
    claimed = await claim(store, now=NOW + 1)
    moved = {id for id, change in zip(stored, await changes, strict=True) if change and change.applied}
    assert moved | set(ids(claimed)) == set(stored)
    assert not moved & set(ids(claimed))
    for one in claimed:
        assert await settle(store, one, RELAYED, NOW + 2)


async def test_several_reschedules_in_one_group_run_in_order(store: Store) -> None:
    """None after a cancellation."""
    id, other = await scheduled(store), await scheduled(store)
    changes = await asyncio.gather(
        store.reschedule(id, NOW + 60, NOW), store.reschedule(other, NOW + 5, NOW), store.reschedule(id, NOW + 90, NOW)
    )
    assert [change and change.applied for change in changes] == [True, True, True]
    email = await read(store, id)
    assert (email.due_at, email.expires_at) == (NOW + 90, NOW + 90 + DAY)
    await store.cancel(id, NOW, scheduled=True)
    assert await store.reschedule(id, NOW + 60, NOW) == Change(False, S.CANCELLED)


async def test_a_reschedule_wakes_the_relay(store_url: str) -> None:
    """It may sleep until the old time."""
    woken = asyncio.Event()
    store = await Store.open(store_url)
    store.listen(on_due=lambda _: woken.set(), on_mailbox_free=lambda: None)
    id = await scheduled(store)
    woken.clear()
    await store.reschedule(id, NOW, NOW)
    assert woken.is_set()
    await store.close()
