"""Wake-ups of a pool's mailboxes: as many poll as there is work for."""

import pytest

from app.relay.mailbox import Headroom
from app.relay.wakeups import PoolWakeups

NOW = 1_800_000_000.0
ROOM, ONLY_URGENT = Headroom(5, 3), Headroom(5, 0)


class Pool:
    """Three parked mailboxes of one pool, each with room for non-urgent mail."""

    def __init__(self, *rooms: Headroom) -> None:
        self.wakeups = PoolWakeups("shop")
        self.woken: list[int] = []
        self.wakes = [lambda n=n: self.woken.append(n) for n in range(len(rooms))]
        found_nothing(self.wakeups)
        for wake, room in zip(self.wakes, rooms, strict=True):
            self.wakeups.park(wake, room)


def found_nothing(wakeups: PoolWakeups) -> None:
    """Record an empty claim of the polling mailbox."""
    wakeups.record_claim(wakeups.begin_claim(), NOW, ROOM, urgent=0, non_urgent=0)


@pytest.fixture
def pool() -> Pool:
    return Pool(ROOM, ROOM, ROOM)


def test_one_hint_wakes_the_longest_parked_mailbox(pool: Pool) -> None:
    """A hint during its poll wakes no other."""
    pool.wakeups.hint()
    pool.wakeups.hint()
    assert pool.woken == [0]


def test_a_full_claim_wakes_the_next_mailbox(pool: Pool) -> None:
    """A partial one does not."""
    pool.wakeups.hint()
    pool.wakeups.record_claim(pool.wakeups.begin_claim(), NOW, ROOM, urgent=0, non_urgent=3)
    assert pool.woken == [0, 1]
    pool.wakeups.record_claim(pool.wakeups.begin_claim(), NOW, ROOM, urgent=0, non_urgent=2)
    assert pool.woken == [0, 1]
    assert not pool.wakeups.may_have_work(ROOM)


def test_a_hint_during_a_poll_is_not_lost(pool: Pool) -> None:
    """An empty claim may have missed it."""
    pool.wakeups.hint()
    begun = pool.wakeups.begin_claim()
    pool.wakeups.hint()
    pool.wakeups.record_claim(begun, NOW, ROOM, urgent=0, non_urgent=0)
    assert pool.wakeups.may_have_work(ROOM)
    assert pool.woken == [0, 1]


def test_an_unparked_mailbox_is_not_woken(pool: Pool) -> None:
    """The next one is."""
    pool.wakeups.unpark(pool.wakes[0])
    pool.wakeups.hint()
    assert pool.woken == [1]


def test_urgent_mail_wakes_a_mailbox_with_room_for_urgent_mail() -> None:
    """Other mail does not wake it."""
    pool = Pool(ONLY_URGENT, ONLY_URGENT)
    pool.wakeups.hint(urgent=False)
    assert pool.woken == []
    assert not pool.wakeups.may_have_work(ONLY_URGENT)
    assert pool.wakeups.may_have_work(ROOM)
    pool.wakeups.hint(urgent=True)
    assert pool.woken == [0]


def test_a_parked_mailbox_with_room_again_is_woken_by_other_mail() -> None:
    """Its buffer was full when it was parked, and its messages are settled since."""
    pool = Pool(ONLY_URGENT, ONLY_URGENT)
    pool.wakeups.admit_non_urgent(pool.wakes[1])
    pool.wakeups.hint(urgent=False)
    assert pool.woken == [1]
    pool.wakeups.admit_non_urgent(pool.wakes[1])
    pool.wakeups.hint(urgent=True)
    assert pool.woken == [1, 0]


def test_an_empty_urgent_claim_parks_no_mailbox_for_other_mail() -> None:
    pool = Pool(ROOM, ONLY_URGENT)
    pool.wakeups.hint()
    pool.wakeups.record_claim(pool.wakeups.begin_claim(), NOW, ONLY_URGENT, urgent=0, non_urgent=0)
    assert pool.wakeups.may_have_work(ROOM)
    assert not pool.wakeups.may_have_work(ONLY_URGENT)
