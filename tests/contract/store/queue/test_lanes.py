"""Order of claims by lane and fair queueing of API keys, and coalescing."""

from uuid import UUID

import pytest

from app.mail.lifecycle import SUPERSEDED, MessageState
from app.mail.message.message import Lane
from app.store import Store
from tests.contract.store.build import (
    DEFERRED,
    NOW,
    PAUSED,
    accept,
    acceptance,
    claim,
    claim_one,
    ids,
    settle,
)

OTHER = UUID(int=8)


async def test_lanes_take_precedence_over_age(store: Store) -> None:
    bulk, normal, urgent = (acceptance(lane=lane) for lane in reversed(Lane))
    for one in (bulk, normal, urgent):
        await accept(store, one)
    claimed = await claim(store)
    assert ids(claimed) == [urgent.id, normal.id, bulk.id]
    assert [one.lane for one in claimed] == list(Lane)


@pytest.mark.parametrize(("others", "count"), [(0, 1), (1, 2), (2, 3), (3, 3), (None, 3)])
async def test_non_urgent_claims_are_limited(store: Store, others: int | None, count: int) -> None:
    """At most `non_urgent`, and never over the limit in all."""
    await accept(store, *(acceptance(lane=Lane.BULK) for _ in range(3)), acceptance(lane=Lane.URGENT))
    claimed = await claim(store, 3, others=others)
    assert len(claimed) == count
    assert claimed[0].lane is Lane.URGENT


async def test_keys_take_turns(store: Store) -> None:
    """A key with one message waits for one message of another key, not for all."""
    many = [acceptance() for _ in range(100)]
    await accept(store, *many)
    assert ids(await claim(store, 10)) == [one.id for one in many[:10]]
    few = [acceptance(key_id=OTHER) for _ in range(3)]
    await accept(store, *few)
    mixed = ids(await claim(store, 6))
    assert set(mixed) == {one.id for one in many[10:13] + few}
    assert [id for id in mixed if id in {one.id for one in few}] == [one.id for one in few]
    late = acceptance(key_id=OTHER)
    await accept(store, late)
    assert late.id in ids(await claim(store, 2))


async def test_an_idle_key_accumulates_no_turns(store: Store) -> None:
    for _ in range(50):
        await accept(store)
        await claim_one(store)
    mine = [acceptance() for _ in range(5)]
    theirs = [acceptance(key_id=OTHER) for _ in range(5)]
    await accept(store, *mine)
    await accept(store, *theirs)
    first = ids(await claim(store, 4))
    assert len([id for id in first if id in {one.id for one in mine}]) == 2


async def test_a_deferred_message_goes_first_when_due(store: Store) -> None:
    """It has had its turn."""
    await accept(store)
    deferred = await claim_one(store)
    await settle(store, deferred, DEFERRED)
    await accept(store, *(acceptance() for _ in range(20)))
    await claim(store, 5)
    assert deferred.id in ids(await claim(store, 2, NOW + 60))


async def test_a_message_given_back_keeps_its_turn(store: Store) -> None:
    await accept(store, *(acceptance() for _ in range(3)))
    (first,) = await claim(store, 1)
    await settle(store, first, PAUSED)
    assert ids(await claim(store, 1)) == [first.id]
    await store.give_back(await claim(store, 1))
    (second,) = await claim(store, 1)
    assert second.id != first.id


async def test_a_scheduled_message_gets_its_turn_when_due(store: Store) -> None:
    """Not at acceptance: a newsletter for tomorrow delays no mail today, and not all mail tomorrow."""
    letters = [acceptance(due_at=NOW + 60, scheduled_at=NOW + 60) for _ in range(300)]
    await accept(store, *letters)
    assert (await store.next_due_times(["default"])).get("default") == NOW + 60
    assert await claim(store) == []
    first = ids(await claim(store, 2, NOW + 60))
    assert first == [one.id for one in letters[:2]]
    code = acceptance(key_id=OTHER, created_at=NOW + 61, due_at=NOW + 61)
    await accept(store, code)
    assert code.id in ids(await claim(store, 2, NOW + 61))
    assert len(await claim(store, 1000, NOW + 61)) == 300 - 3


async def test_the_newest_of_a_coalesced_group_wins(store: Store) -> None:
    """The older ones are cancelled with the reason; other keys and values are unaffected."""
    old, newer, newest = (acceptance(coalesce="login code") for _ in range(3))
    others = [acceptance(coalesce="login code", key_id=OTHER), acceptance(coalesce="another"), acceptance()]
    await accept(store, old)
    await accept(store, *others)
    await accept(store, newer, newest)
    for superseded in (old, newer):
        email = await store.get(superseded.id)
        assert email is not None
        assert (email.state, email.explanation) == (MessageState.CANCELLED, SUPERSEDED)
    assert set(ids(await claim(store))) == {newest.id, *(one.id for one in others)}


async def test_the_newest_takes_the_place_of_the_first(store: Store) -> None:
    """Else a key that posts repeatedly would never be served."""
    first = acceptance(coalesce="status")
    await accept(store, first, *(acceptance() for _ in range(10)))
    newest = acceptance(coalesce="status")
    await accept(store, newest)
    assert ids(await claim(store, 1)) == [newest.id]


async def test_an_active_message_is_not_coalesced(store: Store) -> None:
    """Both are sent."""
    await accept(store, acceptance(coalesce="code"))
    active = await claim_one(store)
    newest = acceptance(coalesce="code")
    await accept(store, newest)
    assert (await claim_one(store)).id == newest.id
    assert await store.mark_dot(active)


async def test_a_small_content_comes_with_the_claim(store: Store) -> None:
    """A large one is read at its attempt."""
    small, large = acceptance(), acceptance(content=b"x" * 70_000)
    await accept(store, small, large)
    assert [one.content for one in await claim(store)] == [small.message.content, None]
    assert await store.content(large.id) == large.message.content
