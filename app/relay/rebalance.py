"""Balancing rule for mailboxes over replicas. Pure: each replica computes the same result from the same rows.

A free mailbox goes to the replica with the fewest. A replica that has at least two more than another gives back its
whole excess in one step: each mailbox pauses for some seconds, and it does not matter when. A difference of one is left
as it is, so that a balanced set does not change.
"""

from collections.abc import Set
from dataclasses import dataclass

from app.store.mailboxes.records import ClusterView, Replica


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Names of the mailboxes to acquire and to release."""

    acquire: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def rebalance(me: Replica, view: ClusterView, leaving: Set[str] = frozenset(), *, may_evict: bool = True) -> Rebalance:
    """Return the changes for this replica. `leaving` are mailboxes that it is already giving back.

    Without `may_evict` it acquires only mailboxes without an owner, and none of a replica without a heartbeat.
    """
    peers = {id for id, serves in view.replicas.items() if serves == me.serves}
    served = {*me.mailboxes}
    owners = [owner for owner in view.owners if owner.mailbox in served]
    owned = {peer: sum(owner.replica == peer for owner in owners) for peer in peers}
    owned[me.id] = owned.get(me.id, 0) - len(leaving)
    acquire = []
    for owner in owners:
        if owner.replica in view.replicas or (owner.replica is not None and not may_evict):
            continue
        smallest = min(owned, key=lambda peer: (owned[peer], peer))
        owned[smallest] += 1
        if smallest == me.id:
            acquire.append(owner.mailbox)
    if acquire or leaving or owned[me.id] - min(owned.values()) < 2:
        return Rebalance(tuple(acquire))
    own = sorted(owner.mailbox for owner in owners if owner.replica == me.id)
    fair_share = -(-len(owners) // len(owned))
    return Rebalance(release=tuple(own[-max(1, owned[me.id] - fair_share) :]))
