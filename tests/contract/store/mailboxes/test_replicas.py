"""Ownership of mailboxes by replicas: one at a time, by the database's clock, enforced by the fence."""

import asyncio
import time
from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState
from app.mail.outcome.attempt import Phase
from app.store import Store
from app.store.mailboxes.records import Acquired, ClockSkew, MailboxOwner, Replica, SendRecord
from app.store.records import Claimed
from tests.contract.store.build import MAILBOX, NOW, POOL, RELAYED, accept, acceptance, settle

ONE, OTHER = UUID(int=1), UUID(int=2)
LONG, OVER = 3600.0, 0.0  # seconds: a replica that lives, and one that is dead by now
TWO = ("a@contoso.com", "b@contoso.com")


def replica(id: UUID, *mailboxes: str, lease: float = LONG) -> Replica:
    """Return a replica that may own these."""
    return Replica(id, f"host-{id.int}", "all", mailboxes or (MAILBOX,), lease)


async def own(store: Store, who: UUID, *, lease: float = LONG, now: float = NOW) -> Acquired:
    """Heartbeat, and acquire the mailbox."""
    await store.replicas.heartbeat(replica(who, lease=lease))
    [taken] = await store.replicas.acquire(who, [MAILBOX], now)
    return taken


async def claim(store: Store, taken: Acquired) -> list[Claimed]:
    """Claim as its relay does."""
    return await store.claim(POOL, taken.mailbox, 100, NOW, NOW + 60, fence=taken.token) or []


async def test_a_heartbeat_returns_live_replicas_and_owners(store: Store) -> None:
    """A mailbox is listed once a replica may own it."""
    await store.replicas.heartbeat(replica(ONE, *TWO))
    await store.replicas.acquire(ONE, TWO[:1], NOW)
    roll = await store.replicas.heartbeat(replica(OTHER, *TWO))
    assert roll.replicas == {ONE: "all", OTHER: "all"}
    assert roll.owners == (MailboxOwner(TWO[0], ONE, 1), MailboxOwner(TWO[1], None, 0))


async def test_a_live_replica_keeps_its_mailboxes(store: Store) -> None:
    """Until it releases them or ends."""
    first = await own(store, ONE)
    await store.replicas.heartbeat(replica(OTHER))
    assert await store.replicas.acquire(OTHER, [MAILBOX], NOW) == []
    await accept(store)
    assert await store.replicas.release(MAILBOX, first.token)
    assert not await store.replicas.release(MAILBOX, first.token)
    assert await claim(store, first) == [], "given back is given back"
    second = await own(store, OTHER)
    assert second.token > first.token
    await store.replicas.leave(OTHER)
    assert (await own(store, ONE)).token > second.token


async def test_an_expired_lease_ends_ownership_by_the_databases_clock(store: Store) -> None:
    """The hosts' clocks here are wrong by more than any lease."""
    await own(store, ONE, now=NOW + 1e6)
    await store.replicas.heartbeat(replica(OTHER))
    assert await store.replicas.acquire(OTHER, [MAILBOX], NOW + 1e8) == []
    await store.replicas.heartbeat(replica(ONE, lease=OVER))
    [taken] = await store.replicas.acquire(OTHER, [MAILBOX], NOW - 1e8)
    assert taken.token == 2


async def test_a_late_heartbeat_keeps_unclaimed_mailboxes(store: Store) -> None:
    """With the same token."""
    taken = await own(store, ONE, lease=OVER)
    roll = await store.replicas.heartbeat(replica(ONE))
    assert roll.owners == (MailboxOwner(MAILBOX, ONE, taken.token),)
    assert await store.replicas.acquire(OTHER, [MAILBOX], NOW) == []
    await accept(store)
    assert len(await claim(store, taken)) == 1


async def test_a_forced_acquisition_does_not_wait_for_the_lease(store: Store) -> None:
    """The holder of an embedded database's lock is known to be alone."""
    await own(store, ONE)
    await store.replicas.heartbeat(replica(OTHER))
    [taken] = await store.replicas.acquire(OTHER, [MAILBOX], NOW, by_force=True)
    assert taken.token == 2


async def test_the_fence_refuses_claims_of_a_former_owner(store: Store) -> None:
    """The messages go to the new owner."""
    (id,) = await accept(store)
    old = await own(store, ONE, lease=OVER)
    new = await own(store, OTHER)
    assert await store.claim(POOL, MAILBOX, 100, NOW, NOW + 60, fence=old.token) is None
    email = await store.get(id)
    assert email is not None
    assert (email.state, email.attempts) == (MessageState.QUEUED, ())
    assert [one.id for one in await claim(store, new)] == [id]


async def test_the_fence_refuses_marks_and_settlements_of_a_former_owner(store: Store) -> None:
    """Only attempts with a marked dot are in doubt."""
    stored = await accept(store, acceptance(), acceptance())
    old = await own(store, ONE, lease=OVER)
    marked, unmarked = await claim(store, old)
    assert await store.mark_dot(marked)
    new = await own(store, OTHER)
    assert set(new.unfinished) == {(marked.id, True), (unmarked.id, False)}
    assert not await store.mark_dot(unmarked)
    assert not await settle(store, marked, RELAYED)
    assert not await settle(store, unmarked, RELAYED)
    await store.give_back([unmarked])
    assert await store.renew([marked.lease, unmarked.lease], NOW + 90) == set()
    for id in stored:
        email = await store.get(id)
        assert email is not None
        assert email.state in (MessageState.QUEUED, MessageState.DEFERRED)
        assert email.possible_duplicate == (id == marked.id)
        assert [one.phase for one in email.attempts] == [Phase.DOT if id == marked.id else Phase.CONNECT]


async def test_a_takeover_returns_the_difference_of_clocks(store: Store) -> None:
    """If both were measured against the same database clock."""
    for who, reading, ahead in (
        (ONE, ClockSkew("server", 5.0), 0.0),
        (OTHER, ClockSkew("server", 605.0), 600.0),
        (ONE, ClockSkew("server", -5.0), -610.0),
        (OTHER, ClockSkew("boot", 605.0), 0.0),
        (ONE, ClockSkew(), 0.0),
        (OTHER, ClockSkew(), 0.0),
    ):
        await store.replicas.heartbeat(replica(who))
        [taken] = await store.replicas.acquire(who, [MAILBOX], NOW, reading)
        assert (taken.at, taken.ahead) == (NOW, ahead)
        await store.replicas.leave(who)


async def test_an_embedded_database_uses_the_hosts_clock(store: Store, store_url: str) -> None:
    roll = await store.replicas.heartbeat(replica(ONE))
    assert (roll.database_time is None) == store_url.startswith("sqlite")
    assert roll.database_time is None or abs(roll.database_time - time.time()) < 60.0


async def test_a_takeover_counts_messages_possibly_sent(store: Store) -> None:
    """As of the takeover: a dot could leave until then."""
    await accept(store, acceptance(), acceptance("b@example.com", "c@example.com"))
    old = await own(store, ONE, lease=OVER)
    first, _ = await claim(store, old)
    await settle(store, first, RELAYED, NOW + 1)
    await own(store, OTHER, now=NOW + 12)
    assert await store.sent_since(MAILBOX, NOW) == [SendRecord(NOW + 1, 1), SendRecord(NOW + 12, 2, confirmed=False)]


async def test_an_expired_message_lease_is_recovered_by_the_owner(store: Store) -> None:
    """By its clock; by others only long after."""
    await accept(store)
    taken = await own(store, ONE)
    [claimed] = await claim(store, taken)
    assert await store.recover(NOW + 100, owner=OTHER) == []
    assert await store.recover(NOW + 100, grace=3600.0) == []
    assert await store.recover(NOW + 100, owner=ONE) == [(claimed.id, False)]


@pytest.mark.parametrize("rounds", [10])
async def test_of_two_concurrent_acquisitions_one_succeeds(store: Store, store_url: str, rounds: int) -> None:
    """With a new token."""
    other = await Store.open(store_url)
    await asyncio.gather(store.replicas.heartbeat(replica(ONE)), other.replicas.heartbeat(replica(OTHER)))
    tokens = []
    for _ in range(rounds):
        taken = await asyncio.gather(
            store.replicas.acquire(ONE, [MAILBOX], NOW), other.replicas.acquire(OTHER, [MAILBOX], NOW)
        )
        [one] = [one for part in taken for one in part]
        tokens.append(one.token)
        assert await store.replicas.release(MAILBOX, one.token)
    await other.close()
    assert tokens == sorted({*tokens})
