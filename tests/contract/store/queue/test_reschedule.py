"""Another time for a scheduled message, and taking it back: only before its time, and never against a worker."""

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
    """A message that is to be sent later."""
    facts = {"due_at": due_at, "scheduled_at": due_at, "expires_at": due_at + DAY, "content": DATED, **changes}
    (id,) = await accept(store, acceptance(**facts))
    return id


async def read(store: Store, id: UUID) -> Email:
    """As it stands."""
    email = await store.get(id)
    assert email is not None
    return email


@pytest.mark.parametrize("at", [NOW + 60, NOW + 2 * HOUR, NOW + HOUR])
async def test_everything_goes_with_the_time(store: Store, at: float) -> None:
    """It is due then, its life counts from then, and its Date says so."""
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


async def test_the_past_is_now(store: Store) -> None:
    """It goes at once, in line with the others of its key."""
    id = await scheduled(store)
    before = await accept(store, acceptance())
    assert await store.reschedule(id, NOW - DAY, NOW) == Change(True, S.QUEUED)
    email = await read(store, id)
    assert (email.scheduled_at, email.due_at, email.expires_at) == (NOW, NOW, NOW + DAY)
    after = await accept(store, acceptance(created_at=NOW + 1, due_at=NOW + 1))
    assert sorted(ids(await claim(store, now=NOW + 1))) == sorted([*before, id, *after])


async def test_only_what_is_scheduled(store: Store) -> None:
    """What waits in the queue, is under way, ended or was cancelled stays as it is."""
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


async def test_of_its_own_key_only(store: Store) -> None:
    """Another's is as if it were not there."""
    id = await scheduled(store)
    before = await read(store, id)
    assert await store.reschedule(id, NOW + DAY, NOW, STRANGER) is None
    assert await store.cancel(id, NOW, STRANGER, scheduled=True) is None
    assert await read(store, id) == before
    assert await store.reschedule(id, NOW + DAY, NOW, KEY) == Change(True, S.QUEUED)
    assert await store.cancel(id, NOW, KEY, scheduled=True) == Change(True, S.CANCELLED)


async def test_what_a_claim_has_put_in_line_goes_back_to_rest(store: Store) -> None:
    """A caller's clock may be a moment behind the relay's, which has given the message its turn already."""
    first, id = await scheduled(store, NOW + 1), await scheduled(store, NOW + 1)
    assert ids(await claim(store, 1, NOW + 1)) == [first]
    assert await store.reschedule(id, NOW + HOUR, NOW + 0.9) == Change(True, S.QUEUED)
    assert await claim(store, now=NOW + 1) == []
    assert (await store.next_due_times([POOL])).get(POOL) == NOW + HOUR
    assert ids(await claim(store, now=NOW + HOUR)) == [id]


async def test_against_a_worker_at_the_same_moment(store: Store) -> None:
    """One of the two has it: what is claimed is not moved, and what was moved is not claimed."""
    kept = [await scheduled(store, NOW + 1) for _ in range(20)]
    changes = asyncio.gather(
        *(store.reschedule(id, NOW + HOUR, NOW + 0.5) for id in kept[:10]),
        *(store.cancel(id, NOW + 0.5, scheduled=True) for id in kept[10:]),
    )
    claimed = await claim(store, now=NOW + 1)
    moved = {id for id, change in zip(kept, await changes, strict=True) if change and change.applied}
    assert moved | set(ids(claimed)) == set(kept)
    assert not moved & set(ids(claimed))
    for one in claimed:
        assert await settle(store, one, RELAYED, NOW + 2)


async def test_several_times_in_one_group(store: Store) -> None:
    """In the order in which they came; after a cancellation there is nothing to move."""
    id, other = await scheduled(store), await scheduled(store)
    changes = await asyncio.gather(
        store.reschedule(id, NOW + 60, NOW), store.reschedule(other, NOW + 5, NOW), store.reschedule(id, NOW + 90, NOW)
    )
    assert [change and change.applied for change in changes] == [True, True, True]
    email = await read(store, id)
    assert (email.due_at, email.expires_at) == (NOW + 90, NOW + 90 + DAY)
    await store.cancel(id, NOW, scheduled=True)
    assert await store.reschedule(id, NOW + 60, NOW) == Change(False, S.CANCELLED)


async def test_it_wakes_the_relay(store_url: str) -> None:
    """Which may sleep until the old time."""
    woken = asyncio.Event()
    store = await Store.open(store_url, on_due=lambda _: woken.set())
    id = await scheduled(store)
    woken.clear()
    await store.reschedule(id, NOW, NOW)
    assert woken.is_set()
    await store.close()
