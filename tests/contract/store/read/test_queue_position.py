"""Queue position of a waiting message, and recent sends of its pool's mailboxes."""

from uuid import UUID

import pytest

from app.mail.mailbox_health import MailboxCondition
from app.mail.message.message import Lane
from app.store import Store
from app.store.read.queue_position import EXACT_COUNT_LIMIT
from tests.contract.store.build import KEY, MAILBOX, NOW, POOL, RELAYED, accept, acceptance, claim, claim_one, settle

OTHER = UUID(int=8)


async def place(store: Store, id: UUID, exact: int = EXACT_COUNT_LIMIT) -> int | None:
    """Return the number of messages before it."""
    found = await store.queue_position(id, NOW, exact)
    assert found is not None
    return found.ahead


async def test_the_position_equals_the_order_of_claims(store: Store) -> None:
    """By lane, then in turn with the other keys."""
    mine = [acceptance() for _ in range(5)]
    theirs = [acceptance(key_id=OTHER) for _ in range(2)]
    urgent, bulk = acceptance(lane=Lane.URGENT), acceptance(lane=Lane.BULK)
    await accept(store, *mine)
    await accept(store, *theirs, bulk, urgent)
    everyone = [*mine, *theirs, urgent, bulk]
    places = {one.id: await place(store, one.id) for one in everyone}
    order = [one.id for one in await claim(store)]
    assert [places[id] for id in order] == list(range(9))


@pytest.mark.parametrize("near", [1_000, 10])
async def test_a_distant_position_is_estimated(store: Store, near: int) -> None:
    """From the turns of the keys, with the same result."""
    await accept(store, *(acceptance(lane=Lane.URGENT) for _ in range(20)))
    await accept(store, *(acceptance() for _ in range(60)))
    await accept(store, *(acceptance(key_id=OTHER) for _ in range(40)))
    last = acceptance()
    await accept(store, last)
    await claim(store, 30)
    assert await place(store, last.id, near) == 121 - 30 - 1


async def test_a_resting_or_unknown_message_has_no_position(store: Store) -> None:
    later = acceptance(due_at=NOW + 60)
    await accept(store, later)
    assert await place(store, later.id) is None
    assert await store.queue_position(OTHER, NOW) is None


async def test_sends_of_the_pool_in_the_last_minute_are_returned(store: Store) -> None:
    await store.save_condition(MAILBOX, POOL, MailboxCondition(since=NOW))
    await store.save_condition("elsewhere@contoso.com", "newsletters", MailboxCondition(since=NOW))
    await accept(store)
    await settle(store, await claim_one(store, NOW - 70), RELAYED, NOW - 65)
    await accept(store)
    await settle(store, await claim_one(store, NOW - 20), RELAYED, NOW - 10)
    waiting = acceptance()
    await accept(store, waiting)
    found = await store.queue_position(waiting.id, NOW)
    assert found is not None
    assert [record.name for record in found.mailboxes] == [MAILBOX]
    assert found.sent == {MAILBOX: (NOW - 10,)}


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize("lane", list(Lane))
async def test_the_position_of_a_future_message_is_that_after_acceptance(store: Store, key: UUID, lane: Lane) -> None:
    await accept(store, *(acceptance() for _ in range(5)))
    await accept(store, *(acceptance(key_id=OTHER, lane=Lane.URGENT) for _ in range(3)))
    expected = await store.position_of_next(POOL, lane, key, NOW)
    one = acceptance(key_id=key, lane=lane)
    await accept(store, one)
    assert await place(store, one.id) == expected.ahead
