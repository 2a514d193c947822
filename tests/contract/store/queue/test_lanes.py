"""Which message is next: by lane, then the API keys in turn; and of those that coalesce the newest alone."""

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


async def test_the_lanes_go_in_their_order(store: Store) -> None:
    """Whatever came first."""
    bulk, normal, urgent = (acceptance(lane=lane) for lane in reversed(Lane))
    for one in (bulk, normal, urgent):
        await accept(store, one)
    claimed = await claim(store)
    assert ids(claimed) == [urgent.id, normal.id, bulk.id]
    assert [one.lane for one in claimed] == list(Lane)


@pytest.mark.parametrize(("others", "count"), [(0, 1), (1, 2), (2, 3), (3, 3), (None, 3)])
async def test_what_is_not_urgent_takes_what_it_is_left(store: Store, others: int | None, count: int) -> None:
    """At most `others`, and never more than the limit in all."""
    await accept(store, *(acceptance(lane=Lane.BULK) for _ in range(3)), acceptance(lane=Lane.URGENT))
    claimed = await claim(store, 3, others=others)
    assert len(claimed) == count
    assert claimed[0].lane is Lane.URGENT


async def test_keys_take_turns(store: Store) -> None:
    """Who posts one message waits for one of the other's, not for all of them; later ones likewise."""
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


async def test_an_idle_key_saves_no_turns_up(store: Store) -> None:
    """Whoever was silent for long has no more right than the others."""
    for _ in range(50):
        await accept(store)
        await claim_one(store)
    mine = [acceptance() for _ in range(5)]
    theirs = [acceptance(key_id=OTHER) for _ in range(5)]
    await accept(store, *mine)
    await accept(store, *theirs)
    first = ids(await claim(store, 4))
    assert len([id for id in first if id in {one.id for one in mine}]) == 2


async def test_what_was_deferred_goes_first_when_it_is_due(store: Store) -> None:
    """It has had its turn before: what came meanwhile does not make it wait again."""
    await accept(store)
    deferred = await claim_one(store)
    await settle(store, deferred, DEFERRED)
    await accept(store, *(acceptance() for _ in range(20)))
    await claim(store, 5)
    assert deferred.id in ids(await claim(store, 2, NOW + 60))


async def test_what_the_mailbox_could_not_take_keeps_its_turn(store: Store) -> None:
    """Waiting is not failing."""
    await accept(store, *(acceptance() for _ in range(3)))
    (first,) = await claim(store, 1)
    await settle(store, first, PAUSED)
    assert ids(await claim(store, 1)) == [first.id]
    await store.give_back(await claim(store, 1))
    (second,) = await claim(store, 1)
    assert second.id != first.id


async def test_what_is_scheduled_takes_its_turn_when_it_is_due(store: Store) -> None:
    """Not at acceptance: a newsletter for tomorrow is not in the way today, nor all of it at once tomorrow."""
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


async def test_the_newest_wins(store: Store) -> None:
    """The older ones are cancelled and say why; another key's and another value's are not touched."""
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
    """Else a caller that posts again and again would never be served."""
    first = acceptance(coalesce="status")
    await accept(store, first, *(acceptance() for _ in range(10)))
    newest = acceptance(coalesce="status")
    await accept(store, newest)
    assert ids(await claim(store, 1)) == [newest.id]


async def test_what_is_being_sent_is_not_called_back(store: Store) -> None:
    """It goes its way, and so does the newer one."""
    await accept(store, acceptance(coalesce="code"))
    active = await claim_one(store)
    newest = acceptance(coalesce="code")
    await accept(store, newest)
    assert (await claim_one(store)).id == newest.id
    assert await store.mark_dot(active)


async def test_a_small_content_comes_with_the_claim(store: Store) -> None:
    """A large one is read when it is offered."""
    small, large = acceptance(), acceptance(content=b"x" * 70_000)
    await accept(store, small, large)
    assert [one.content for one in await claim(store)] == [small.message.content, None]
    assert await store.content(large.id) == large.message.content
