"""Wake-ups of a pool's mailboxes: as many poll as there is work for."""

import pytest

from app.relay.mailbox import Headroom
from app.relay.wakeups import PoolWakeups

NOW = 1_800_000_000.0
ROOM, ONLY_URGENT = Headroom(5, 3), Headroom(5, 0)


class Pool:
    """Three parked mailboxes of one pool, each with room for non-urgent mail."""

    def __init__(self, *rooms: Headroom) -> None:
        self.front = PoolWakeups("shop")
        self.woken: list[int] = []
        self._wakes = [lambda n=n: self.woken.append(n) for n in range(len(rooms))]
        found_nothing(self.front)
        for wake, room in zip(self._wakes, rooms, strict=True):
            self.front.park(wake, room)


def found_nothing(front: PoolWakeups) -> None:
    """Record an empty claim of the polling mailbox."""
    front.record_claim(front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=0)


@pytest.fixture
def pool() -> Pool:
    return Pool(ROOM, ROOM, ROOM)


def test_one_hint_wakes_the_longest_parked_mailbox(pool: Pool) -> None:
    """A hint during its poll wakes no other."""
    pool.front.hint()
    pool.front.hint()
    assert pool.woken == [0]


def test_a_full_claim_wakes_the_next_mailbox(pool: Pool) -> None:
    """A partial one does not."""
    pool.front.hint()
    pool.front.record_claim(pool.front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=3)
    assert pool.woken == [0, 1]
    pool.front.record_claim(pool.front.begin_claim(), NOW, ROOM, urgent=0, non_urgent=2)
    assert pool.woken == [0, 1]
    assert not pool.front.may_have_work(ROOM)


def test_a_hint_during_a_poll_is_not_lost(pool: Pool) -> None:
    """An empty claim may have missed it."""
    pool.front.hint()
    begun = pool.front.begin_claim()
    pool.front.hint()
    pool.front.record_claim(begun, NOW, ROOM, urgent=0, non_urgent=0)
    assert pool.front.may_have_work(ROOM)
    assert pool.woken == [0, 1]


def test_an_unparked_mailbox_is_not_woken(pool: Pool) -> None:
    """The next one is."""
    pool.front.unpark(pool._wakes[0])
    pool.front.hint()
    assert pool.woken == [1]


def test_urgent_mail_wakes_a_mailbox_with_room_for_urgent_mail() -> None:
    """Other mail does not wake it."""
    pool = Pool(ONLY_URGENT, ONLY_URGENT)
    pool.front.hint(urgent=False)
    assert pool.woken == []
    assert not pool.front.may_have_work(ONLY_URGENT)
    assert pool.front.may_have_work(ROOM)
    pool.front.hint(urgent=True)
    assert pool.woken == [0]


def test_an_empty_urgent_claim_parks_no_mailbox_for_other_mail() -> None:
    pool = Pool(ROOM, ONLY_URGENT)
    pool.front.hint()
    pool.front.record_claim(pool.front.begin_claim(), NOW, ONLY_URGENT, urgent=0, non_urgent=0)
    assert pool.front.may_have_work(ROOM)
    assert not pool.front.may_have_work(ONLY_URGENT)
