"""Backward change of the wall clock: retry delays are moved with it, and nothing else."""

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
    """Store that knows the pools' mailboxes, as after the start of a relay."""
    for pool in (POOL, "a", "b"):
        await store.save_condition(f"{pool}@contoso.com", pool, MailboxCondition())
    return store


async def due(store: Store, id: UUID) -> float:
    """Return the due time of a message."""
    email = await store.get(id)
    assert email is not None
    assert email.due_at is not None
    return email.due_at


async def deferred(store: Store, **changes: float) -> UUID:
    """Defer a message after one attempt."""
    (id,) = await accept(store, acceptance(**changes))
    assert await settle(store, await claim_one(store), DEFERRED)
    return id


async def test_a_retry_delay_keeps_its_length(store: Store) -> None:
    """30 s after its attempt become 30 s from now; a second pass changes nothing."""
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


async def test_a_retried_message_is_due_now(store: Store) -> None:
    (id,) = await accept(store)
    assert await settle(store, await claim_one(store), REFUSED)
    await store.retry(id, NOW)
    await store.apply_clock_change(BACK, BACK + 60)
    assert (await claim_one(store, BACK)).id == id


async def test_a_scheduled_time_stays(store: Store) -> None:
    """Also that of a message deferred after a time that is in the future again."""
    (later,) = await accept(store, acceptance(due_at=NOW + 60, scheduled_at=NOW + 60))
    waiting = await deferred(store, scheduled_at=NOW - 60)
    before = await due(store, waiting)
    assert await store.apply_clock_change(BACK, BACK + 60) == 0
    assert await due(store, later) == NOW + 60
    assert await due(store, waiting) == before


async def test_a_small_step_leaves_old_delays(store: Store) -> None:
    """With an attempt in the past the delay is still correct."""
    id = await deferred(store)
    before = await due(store, id)
    assert await store.apply_clock_change(NOW + 1, NOW + 61) == 0
    assert await due(store, id) == before


async def test_several_batches_and_pools_are_changed_once(store: Store) -> None:
    for pool in ("a", "b"):
        await accept(store, *(acceptance(pool=pool) for _ in range(BATCH_SIZE // 2 + 100)))
        claimed = await claim(store, BATCH_SIZE, pool=pool)
        assert all(await asyncio.gather(*(settle(store, one, DEFERRED) for one in claimed)))
    assert await store.apply_clock_change(BACK, BACK + 60) == BATCH_SIZE + 200


async def test_a_lease_is_shortened_by_the_step(store: Store) -> None:
    """A dead worker's message is free after one lease."""
    (id,) = await accept(store)
    await claim_one(store)
    await store.apply_clock_change(BACK, BACK + 60)
    assert await store.recover(BACK + 59) == []
    assert await store.recover(BACK + 60) == [(id, False)]


async def test_the_latest_stored_time_reveals_a_clock_set_back(store: Store) -> None:
    """To a new process."""
    assert await store.latest_timestamp() is None
    await accept(store, acceptance(created_at=NOW - 60), acceptance(created_at=NOW - 30))
    assert await store.latest_timestamp() == NOW - 30
    for claimed in await claim(store, mailbox=f"{POOL}@contoso.com"):
        await settle(store, claimed, RELAYED, NOW + 5)
    assert await store.latest_timestamp() == NOW + 5
    await accept(store, acceptance(created_at=NOW + DAY))
    assert await store.latest_timestamp() == NOW + DAY
