"""A hint is passed from mailbox to mailbox of a pool: as many look as there is work for, and nobody else."""

import pytest

from app.relay.mailbox import Headroom
from app.relay.wakeups import PoolWakeups

NOW = 1_800_000_000.0
ROOM, ONLY_URGENT = Headroom(5, 3), Headroom(5, 0)


class Pool:
    """Three mailboxes of one front that rest, each with room for other mail than urgent."""

    def __init__(self, *rooms: Headroom) -> None:
        self.front = PoolWakeups("shop")
        self.woken: list[int] = []
        self._wakes = [lambda n=n: self.woken.append(n) for n in range(len(rooms))]
        found_nothing(self.front)
        for wake, room in zip(self._wakes, rooms, strict=True):
            self.front.park(wake, room)


def found_nothing(front: PoolWakeups) -> None:
    """By whoever looked."""
    front.record_claim(front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=0)


@pytest.fixture
def pool() -> Pool:
    return Pool(ROOM, ROOM, ROOM)


def test_one_hint_wakes_one(pool: Pool) -> None:
    """Whoever has rested longest; a hint that comes while it looks wakes nobody else."""
    pool.front.hint()
    pool.front.hint()
    assert pool.woken == [0]


def test_who_took_as_much_as_it_might_passes_it_on(pool: Pool) -> None:
    """There may be more; who found less ends it."""
    pool.front.hint()
    pool.front.record_claim(pool.front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=3)
    assert pool.woken == [0, 1]
    pool.front.record_claim(pool.front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=2)
    assert pool.woken == [0, 1]
    assert not pool.front.may_have_work(ROOM)


def test_what_is_hinted_at_during_a_look_is_not_lost(pool: Pool) -> None:
    """The claim need not have seen it, so its finding nothing says nothing."""
    pool.front.hint()
    begun = pool.front.begin_claim()
    pool.front.hint()
    pool.front.record_claim(begun, NOW, ROOM, urgent=0, non_urgent=0)
    assert pool.front.may_have_work(ROOM)
    assert pool.woken == [0, 1]


def test_who_rises_by_itself_is_not_woken(pool: Pool) -> None:
    """Its turn is the next one's."""
    pool.front.unpark(pool._wakes[0])
    pool.front.hint()
    assert pool.woken == [1]


def test_urgent_mail_finds_who_has_room_for_it_alone() -> None:
    """Other mail wakes nobody who could not take it."""
    pool = Pool(ONLY_URGENT, ONLY_URGENT)
    pool.front.hint(urgent=False)
    assert pool.woken == []
    assert not pool.front.may_have_work(ONLY_URGENT)
    assert pool.front.may_have_work(ROOM)
    pool.front.hint(urgent=True)
    assert pool.woken == [0]


def test_a_look_for_urgent_mail_alone_says_nothing_of_the_rest() -> None:
    """Nobody rests because of it who might take other mail."""
    pool = Pool(ROOM, ONLY_URGENT)
    pool.front.hint()
    pool.front.record_claim(pool.front.begin_claim(), NOW, ONLY_URGENT, urgent=0, non_urgent=0)
    assert pool.front.may_have_work(ROOM)
    assert not pool.front.may_have_work(ONLY_URGENT)
