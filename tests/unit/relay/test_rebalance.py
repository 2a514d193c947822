"""Balance of mailboxes over replicas: even, stable, and under any joins and leaves."""

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.relay.coordinator import Rebalance, rebalance
from app.store.mailboxes.records import ClusterView, MailboxOwner, Replica

NAMES = tuple(f"m{number:02}" for number in range(30))


def replica(number: int, mailboxes: int, serves: str = "all") -> Replica:
    """Return one that may own the first so many."""
    return Replica(UUID(int=number), f"r{number}", serves, NAMES[:mailboxes], 10.0)


class World:
    """Replicas with heartbeats in any order, and the rows they see."""

    def __init__(self, mailboxes: int) -> None:
        self.mailboxes = mailboxes
        self.owner: dict[str, UUID | None] = dict.fromkeys(NAMES[:mailboxes])
        self.alive: dict[UUID, Replica] = {}
        self.moves = 0

    def born(self, number: int) -> None:
        """Add one."""
        one = replica(number, self.mailboxes)
        self.alive[one.id] = one

    def roll(self) -> ClusterView:
        """Return the result of a heartbeat."""
        living = {id: one.serves for id, one in self.alive.items()}
        return ClusterView(living, tuple(MailboxOwner(name, owner, 1) for name, owner in self.owner.items()))

    def beat(self, id: UUID) -> None:
        """Apply one heartbeat: acquire and release."""
        part = rebalance(self.alive[id], self.roll())
        for name in part.acquire:
            self.owner[name] = id
        for name in part.release:
            assert self.owner[name] == id
            self.owner[name] = None
        self.moves += len(part.acquire) + len(part.release)

    def settle(self, chance: random.Random) -> None:
        """Apply heartbeats of all for a while."""
        for _ in range(self.mailboxes + 3):
            for id in chance.sample(sorted(self.alive), len(self.alive)):
                self.beat(id)

    def loads(self) -> list[int]:
        """Return the number of mailboxes of each."""
        return [sum(owner == id for owner in self.owner.values()) for id in self.alive]


@given(
    mailboxes=st.integers(1, 30),
    events=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_mailboxes_are_owned_and_evenly_spread(mailboxes: int, events: list[tuple[bool, int]], seed: int) -> None:
    """After any joins and leaves; and a balanced set is stable."""
    world, chance = World(mailboxes), random.Random(seed)
    world.born(99)
    for comes, number in events:
        if comes:
            world.born(number)
        elif len(world.alive) > 1:
            world.alive.pop(UUID(int=number), None)
        world.settle(chance)
        assert all(owner in world.alive for owner in world.owner.values())
        assert max(world.loads()) - min(world.loads()) <= 1
        moves = world.moves
        world.settle(chance)
        assert world.moves == moves


def test_a_new_replica_waits_for_released_mailboxes() -> None:
    one, two = replica(1, 4), replica(2, 4)
    roll = ClusterView({one.id: "all", two.id: "all"}, tuple(MailboxOwner(name, one.id, 1) for name in NAMES[:4]))
    assert rebalance(two, roll) == Rebalance()
    assert rebalance(one, roll) == Rebalance(release=("m02", "m03"))
    assert rebalance(one, roll, {"m02", "m03"}) == Rebalance(), "when these are gone it looks again"


def test_the_first_replica_releases_its_surplus_within_two_heartbeats() -> None:
    """One at a time, a thousand mailboxes would take half an hour."""
    world, chance = World(30), random.Random(7)
    world.born(0)
    world.settle(chance)
    for number in range(1, 10):
        world.born(number)
    for _ in range(2):
        for id in sorted(world.alive):
            world.beat(id)
    assert world.loads() == [3] * 10


def test_a_replica_with_a_failed_heartbeat_takes_only_released_mailboxes() -> None:
    """Silent ones may be about to succeed."""
    me, dead = replica(1, 2), UUID(int=9)
    roll = ClusterView({me.id: "all"}, (MailboxOwner("m00", dead, 4), MailboxOwner("m01", None, 2)))
    assert rebalance(me, roll, may_evict=False) == Rebalance(("m01",))
    assert rebalance(me, roll) == Rebalance(("m00", "m01"))


@pytest.mark.parametrize("number", [1, 2])
def test_mailboxes_are_owned_with_different_settings(number: int) -> None:
    """During a rollout, a mailbox of one configuration only gets an owner, too."""
    old, new = replica(number, 2, "old"), replica(3 - number, 4, "new")
    living = {old.id: "old", new.id: "new"}
    roll = ClusterView(
        living,
        (*(MailboxOwner(name, old.id, 1) for name in NAMES[:2]), *(MailboxOwner(n, None, 0) for n in NAMES[2:4])),
    )
    assert rebalance(new, roll) == Rebalance(NAMES[2:4])
    assert rebalance(old, roll) == Rebalance()
