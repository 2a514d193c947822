"""Recovery of expired leases, and expiry by age."""

from app.mail.lifecycle import EXPIRED, MessageState, RecipientState
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import FailureKind, Phase
from app.mail.policy import IN_DOUBT
from app.store import Store
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    NOW,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    settle,
)
from tests.states import count_states


async def test_before_the_dot_a_message_is_queued_and_due_now(store: Store) -> None:
    """Without the final dot the upstream has no message, so there is no doubt."""
    (id,) = await accept(store)
    await claim_one(store)
    assert await store.recover(NOW + 60) == [(id, False)]
    email = await store.get(id)
    assert email is not None
    assert (email.state, email.due_at, email.possible_duplicate) == (MessageState.QUEUED, NOW + 60, False)
    (attempt,) = email.attempts
    assert (attempt.phase, attempt.failure, attempt.in_doubt) == (Phase.CONNECT, FailureKind.CRASHED, False)
    assert attempt.ended_at == NOW + 60
    assert (await claim_one(store, NOW + 60)).number == 2


async def test_at_the_dot_a_message_is_in_doubt(store: Store) -> None:
    """It waits, is a possible duplicate, and the next worker sees the doubt."""
    (id,) = await accept(store)
    await store.mark_dot(await claim_one(store))
    assert await store.recover(NOW + 60) == [(id, True)]
    email = await store.get(id)
    assert email is not None
    assert (email.state, email.possible_duplicate, email.explanation) == (MessageState.DEFERRED, True, IN_DOUBT)
    (attempt,) = email.attempts
    assert (attempt.phase, attempt.failure, attempt.in_doubt) == (Phase.DOT, FailureKind.CRASHED, True)
    assert (await claim_one(store, NOW + 200)).delivery_state.unknown_before == 1


async def test_repeated_doubt_follows_on_unknown(store: Store) -> None:
    """hold: an operator decides. assume_sent: done."""
    hold, sent = acceptance(on_unknown=OnUnknown.HOLD), acceptance(on_unknown=OnUnknown.ASSUME_SENT)
    await accept(store, hold, sent)
    for claimed in await claim(store):
        await store.mark_dot(claimed)
    await store.recover(NOW + 60)
    states = [email.state for id in (hold.id, sent.id) if (email := await store.get(id))]
    assert states == [MessageState.HELD, MessageState.DONE]


async def test_a_valid_lease_is_not_recovered(store: Store) -> None:
    """Unless the store has one owner and recovers everything; the attempt then ends now."""
    (id,) = await accept(store)
    claimed = await claim_one(store)
    assert await store.recover(NOW + 59.9) == []
    assert await store.recover(NOW + 5, everything=True) == [(id, False)]
    assert await store.mark_dot(claimed) is False
    email = await store.get(id)
    assert email is not None
    assert [attempt.ended_at for attempt in email.attempts] == [NOW + 5]


async def test_a_late_recovery_ends_the_attempt_with_its_lease(store: Store) -> None:
    """A worker sends nothing without its lease."""
    (id,) = await accept(store)
    await claim_one(store)
    await store.recover(NOW + DAY)
    email = await store.get(id)
    assert email is not None
    assert [attempt.ended_at for attempt in email.attempts] == [NOW + 60]
    assert email.due_at == NOW + DAY


async def test_a_recovered_message_can_expire(store: Store) -> None:
    (id,) = await accept(store, acceptance(expires_at=NOW + 30))
    await claim_one(store)
    assert await store.recover(NOW + 60) == [(id, False)]
    email = await store.get(id)
    assert email is not None
    assert (email.state, email.explanation) == (MessageState.DONE, EXPIRED)
    assert email.ended_at is not None


async def test_more_than_one_batch_is_recovered(store: Store) -> None:
    stored = await accept(store, *(acceptance() for _ in range(1200)))
    await claim(store, 1200)
    found = await store.recover(NOW, everything=True)
    assert sorted(found) == sorted((id, False) for id in stored)


async def test_a_waiting_message_expires(store: Store) -> None:
    """QUEUED or DEFERRED: pending recipients fail, and the last reply stays readable."""
    queued, deferred = acceptance(), acceptance(expires_at=NOW + 100)
    await accept(store, deferred)
    await settle(store, await claim_one(store), DEFERRED)
    await accept(store, queued)
    assert await store.expire(NOW + 99) == []
    assert await store.expire(NOW + 100) == [deferred.id]
    assert await store.expire(NOW + 6 * DAY) == [queued.id]
    for id, reply in ((queued.id, "expired"), (deferred.id, "451 4.3.0 Not now")):
        email = await store.get(id)
        assert email is not None
        assert (email.state, email.due_at, email.explanation) == (MessageState.DONE, None, EXPIRED)
        assert email.ended_at in (NOW + 100, NOW + 6 * DAY)
        assert [(one.state, one.reply) for one in email.recipients] == [(RecipientState.FAILED, reply)]


async def test_only_waiting_messages_expire(store: Store) -> None:
    """Not active or ended ones, nor relayed recipients."""
    (active,) = await accept(store)
    await claim_one(store)
    (done,) = await accept(store)
    await settle(store, await claim_one(store), RELAYED)
    assert await store.expire(NOW + 6 * DAY) == []
    states = [email.state for id in (active, done) if (email := await store.get(id))]
    assert states == [MessageState.ACTIVE, MessageState.DONE]


async def test_more_than_one_batch_expires(store: Store) -> None:
    stored = await accept(store, *(acceptance() for _ in range(1200)))
    assert sorted(await store.expire(NOW + 6 * DAY)) == sorted(stored)
    assert (await count_states(store))[MessageState.DONE] == 1200
