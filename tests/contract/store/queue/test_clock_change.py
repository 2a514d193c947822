"""The wall clock was set back: what rests by it is brought forward, and nothing else moves."""

import asyncio
from uuid import UUID

import pytest

from app.mail.mailbox_health import MailboxCondition
from app.store import Store
from app.store.queue.clock_change import BATCH_SIZE
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    NOW,
    POOL,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    settle,
)

HOUR = 3600.0
BACK = NOW - HOUR  # what the clock says after it was set back


@pytest.fixture
async def store(store: Store) -> Store:
    """A store that knows the pools' mailboxes, as every store does whose relay has begun."""
    for pool in (POOL, "a", "b"):
        await store.save_condition(f"{pool}@contoso.com", pool, MailboxCondition())
    return store


async def due(store: Store, id: UUID) -> float:
    """When it is due."""
    email = await store.get(id)
    assert email is not None
    assert email.due_at is not None
    return email.due_at


async def deferred(store: Store, **changes: float) -> UUID:
    """One that was offered and waits for the next offer."""
    (id,) = await accept(store, acceptance(**changes))
    assert await settle(store, await claim_one(store), DEFERRED)
    return id


async def test_what_was_deferred_rests_as_long_as_it_was_to(store: Store) -> None:
    """Half a minute from its attempt becomes half a minute from now; a second look moves nothing."""
    id = await deferred(store)
    rest = await due(store, id) - NOW
    assert await store.apply_clock_change(BACK, BACK + 60) == 1
    assert await store.apply_clock_change(BACK + 5, BACK + 65) == 0
    assert await due(store, id) == BACK + rest
    assert await claim(store, now=BACK + rest - 1) == []
    again = await claim_one(store, BACK + rest)
    assert (again.id, again.delivery_state.due_since) == (
        id,
        BACK,
    )  # its age is not negative, so its next rest is right


async def test_what_a_person_has_put_back_is_due_now(store: Store) -> None:
    """It was due at once, so it is."""
    (id,) = await accept(store)
    assert await settle(store, await claim_one(store), REFUSED)
    await store.retry(id, NOW)
    await store.apply_clock_change(BACK, BACK + 60)
    assert (await claim_one(store, BACK)).id == id


async def test_a_time_of_day_stays(store: Store) -> None:
    """Scheduled for later: for then. So is what was offered and deferred after a time that is now to come again."""
    (later,) = await accept(store, acceptance(due_at=NOW + 60, scheduled_at=NOW + 60))
    offered = await deferred(store, scheduled_at=NOW - 60)
    before = await due(store, offered)
    assert await store.apply_clock_change(BACK, BACK + 60) == 0
    assert await due(store, later) == NOW + 60
    assert await due(store, offered) == before


async def test_a_small_step_leaves_what_was_deferred_long_ago(store: Store) -> None:
    """An attempt in the past says that its delay is still the right one."""
    id = await deferred(store)
    before = await due(store, id)
    assert await store.apply_clock_change(NOW + 1, NOW + 61) == 0
    assert await due(store, id) == before


async def test_more_than_one_look_and_more_than_one_pool(store: Store) -> None:
    """However many wait, each is met once."""
    for pool in ("a", "b"):
        await accept(store, *(acceptance(pool=pool) for _ in range(BATCH_SIZE // 2 + 100)))
        claimed = await claim(store, BATCH_SIZE, pool=pool)
        assert all(await asyncio.gather(*(settle(store, one, DEFERRED) for one in claimed)))
    assert await store.apply_clock_change(BACK, BACK + 60) == BATCH_SIZE + 200


async def test_no_lease_outlives_the_step(store: Store) -> None:
    """What a dead worker held is free after a lease, not after an hour and a lease."""
    (id,) = await accept(store)
    await claim_one(store)
    await store.apply_clock_change(BACK, BACK + 60)
    assert await store.recover(BACK + 59) == []
    assert await store.recover(BACK + 60) == [(id, False)]


async def test_the_latest_moment_that_is_kept(store: Store) -> None:
    """By it a new process sees that the clock was set back."""
    assert await store.latest_timestamp() is None
    await accept(store, acceptance(created_at=NOW - 60), acceptance(created_at=NOW - 30))
    assert await store.latest_timestamp() == NOW - 30
    for claimed in await claim(store, mailbox=f"{POOL}@contoso.com"):
        await settle(store, claimed, RELAYED, NOW + 5)
    assert await store.latest_timestamp() == NOW + 5
    await accept(store, acceptance(created_at=NOW + DAY))
    assert await store.latest_timestamp() == NOW + DAY
