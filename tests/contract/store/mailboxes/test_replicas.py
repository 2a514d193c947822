"""One replica at a time owns a mailbox. By the database's clock, and held by the fence and not by good manners."""

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
    """It may own these."""
    return Replica(id, f"host-{id.int}", "all", mailboxes or (MAILBOX,), lease)


async def own(store: Store, who: UUID, *, lease: float = LONG, now: float = NOW) -> Acquired:
    """Live, and take the mailbox."""
    await store.replicas.heartbeat(replica(who, lease=lease))
    [taken] = await store.replicas.acquire(who, [MAILBOX], now)
    return taken


async def claim(store: Store, taken: Acquired) -> list[Claimed]:
    """As its relay does."""
    return await store.claim(POOL, taken.mailbox, 100, NOW, NOW + 60, fence=taken.token) or []


async def test_a_beat_tells_who_lives_and_whose_each_mailbox_is(store: Store) -> None:
    """A mailbox is known from the first replica on that may own it."""
    await store.replicas.heartbeat(replica(ONE, *TWO))
    await store.replicas.acquire(ONE, TWO[:1], NOW)
    roll = await store.replicas.heartbeat(replica(OTHER, *TWO))
    assert roll.replicas == {ONE: "all", OTHER: "all"}
    assert roll.owners == (MailboxOwner(TWO[0], ONE, 1), MailboxOwner(TWO[1], None, 0))


async def test_who_lives_keeps_what_it_owns(store: Store) -> None:
    """Until it gives it back or ends."""
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


async def test_who_is_not_heard_of_loses_it_by_the_clock_of_the_database(store: Store) -> None:
    """Whatever the hosts' clocks say: both are wrong here by more than any lease."""
    await own(store, ONE, now=NOW + 1e6)
    await store.replicas.heartbeat(replica(OTHER))
    assert await store.replicas.acquire(OTHER, [MAILBOX], NOW + 1e8) == []
    await store.replicas.heartbeat(replica(ONE, lease=OVER))
    [taken] = await store.replicas.acquire(OTHER, [MAILBOX], NOW - 1e8)
    assert taken.token == 2


async def test_who_was_taken_for_dead_and_beats_again_keeps_what_nobody_took(store: Store) -> None:
    """And its token with it."""
    taken = await own(store, ONE, lease=OVER)
    roll = await store.replicas.heartbeat(replica(ONE))
    assert roll.owners == (MailboxOwner(MAILBOX, ONE, taken.token),)
    assert await store.replicas.acquire(OTHER, [MAILBOX], NOW) == []
    await accept(store)
    assert len(await claim(store, taken)) == 1


async def test_by_force_a_dead_process_is_not_waited_for(store: Store) -> None:
    """Who holds the lock of an embedded database knows that it is alone."""
    await own(store, ONE)
    await store.replicas.heartbeat(replica(OTHER))
    [taken] = await store.replicas.acquire(OTHER, [MAILBOX], NOW, by_force=True)
    assert taken.token == 2


async def test_without_the_mailbox_nothing_is_claimed(store: Store) -> None:
    """The fence, whether the old owner knows or not; what it would have claimed is the new owner's."""
    (id,) = await accept(store)
    old = await own(store, ONE, lease=OVER)
    new = await own(store, OTHER)
    assert await store.claim(POOL, MAILBOX, 100, NOW, NOW + 60, fence=old.token) is None
    email = await store.get(id)
    assert email is not None
    assert (email.state, email.attempts) == (MessageState.QUEUED, ())
    assert [one.id for one in await claim(store, new)] == [id]


async def test_what_was_under_way_is_nobodys_any_more(store: Store) -> None:
    """No final dot of the old owner leaves, nothing it settles is written, and only a marked dot is in doubt."""
    kept = await accept(store, acceptance(), acceptance())
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
    for id in kept:
        email = await store.get(id)
        assert email is not None
        assert email.state in (MessageState.QUEUED, MessageState.DEFERRED)
        assert email.possible_duplicate == (id == marked.id)
        assert [one.phase for one in email.attempts] == [Phase.DOT if id == marked.id else Phase.CONNECT]


async def test_the_new_owner_knows_how_far_its_clock_is_ahead_of_the_old_ones(store: Store) -> None:
    """If both were read against the same one."""
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


async def test_only_a_server_has_a_clock_of_its_own(store: Store, store_url: str) -> None:
    """An embedded database's is the host's."""
    roll = await store.replicas.heartbeat(replica(ONE))
    assert (roll.database_time is None) == store_url.startswith("sqlite")
    assert roll.database_time is None or abs(roll.database_time - time.time()) < 60.0


async def test_the_new_owner_counts_what_the_old_one_may_have_sent(store: Store) -> None:
    """As of the take-over: until then a dot could leave."""
    await accept(store, acceptance(), acceptance("b@example.com", "c@example.com"))
    old = await own(store, ONE, lease=OVER)
    first, _ = await claim(store, old)
    await settle(store, first, RELAYED, NOW + 1)
    await own(store, OTHER, now=NOW + 12)
    assert await store.sent_since(MAILBOX, NOW) == [SendRecord(NOW + 1, 1), SendRecord(NOW + 12, 2, confirmed=False)]


async def test_an_expired_lease_is_swept_by_the_owner(store: Store) -> None:
    """By whose clock it runs; by others only when it is long over."""
    await accept(store)
    taken = await own(store, ONE)
    [claimed] = await claim(store, taken)
    assert await store.recover(NOW + 100, owner=OTHER) == []
    assert await store.recover(NOW + 100, grace=3600.0) == []
    assert await store.recover(NOW + 100, owner=ONE) == [(claimed.id, False)]


@pytest.mark.parametrize("rounds", [10])
async def test_two_who_take_at_the_same_moment(store: Store, store_url: str, rounds: int) -> None:
    """One gets it, under a token that no one had."""
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
