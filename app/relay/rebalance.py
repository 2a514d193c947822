"""Which mailboxes a replica takes and gives back, so that all have alike. Pure: everybody works it out by himself.

What is free goes to whoever has fewest, one after the other. When somebody has two fewer, a replica gives back what it
has more than its part, all at once: each of them rests for some seconds, and it does not matter when. A difference of
one is left as it is, so nothing is passed to and fro.
"""

from collections.abc import Set
from dataclasses import dataclass

from app.store.mailboxes.records import ClusterView, Replica


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What to take now, and what to give back."""

    acquire: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def rebalance(me: Replica, view: ClusterView, leaving: Set[str] = frozenset(), *, may_evict: bool = True) -> Rebalance:
    """For this replica. `leaving` are those that it is giving back already.

    Without `judges` only what was given back is taken, and nothing of those who are not heard of.
    """
    peers = {id for id, serves in view.replicas.items() if serves == me.serves}
    mine = {*me.mailboxes}
    known = [holding for holding in view.owners if holding.mailbox in mine]
    has = {peer: sum(holding.replica == peer for holding in known) for peer in peers}
    has[me.id] = has.get(me.id, 0) - len(leaving)
    take = []
    for holding in known:
        if holding.replica in view.replicas or (holding.replica is not None and not may_evict):
            continue
        poorest = min(has, key=lambda peer: (has[peer], peer))
        has[poorest] += 1
        if poorest == me.id:
            take.append(holding.mailbox)
    if take or leaving or has[me.id] - min(has.values()) < 2:
        return Rebalance(tuple(take))
    own = sorted(holding.mailbox for holding in known if holding.replica == me.id)
    part = -(-len(known) // len(has))
    return Rebalance(release=tuple(own[-max(1, has[me.id] - part) :]))
