"""Writes of a worker on a claimed message, refused without its lease."""

import asyncio
from dataclasses import replace

import pytest

from app.mail.lifecycle import UNKNOWN_TWICE, MessageState, RecipientState
from app.mail.outcome.attempt import Attempt, FailureKind, Line, Phase, Reply
from app.mail.policy import IN_DOUBT
from app.store import Store
from app.store.records import AttemptRecord, Email
from tests.contract.store.build import (
    DEFERRED,
    LOST,
    MAILBOX,
    NOW,
    PAUSED,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    evaluated,
    settle,
    stored_emails,
)
from tests.states import count_states


async def read(store: Store) -> Email:
    """Return the only message with everything."""
    (email,) = await stored_emails(store)
    whole = await store.get(email.id)
    assert whole is not None
    return whole


@pytest.mark.parametrize(
    ("attempt", "state", "recipient", "due_at", "ended_at"),
    [
        (RELAYED, MessageState.DONE, RecipientState.RELAYED, None, NOW),
        (REFUSED, MessageState.DONE, RecipientState.FAILED, None, NOW),
        (DEFERRED, MessageState.DEFERRED, RecipientState.PENDING, NOW + 30, None),
        (PAUSED, MessageState.QUEUED, RecipientState.PENDING, NOW, None),
        (LOST, MessageState.DEFERRED, RecipientState.PENDING, NOW + 60, None),
    ],
    ids=["relayed", "refused", "deferred", "mailbox paused", "in doubt"],
)
async def test_a_settlement_is_one_commit(
    store: Store,
    attempt: Attempt,
    state: MessageState,
    recipient: RecipientState,
    due_at: float | None,
    ended_at: float | None,
) -> None:
    """State, due time, recipients, explanation and the end of the attempt."""
    await accept(store)
    claimed = await claim_one(store)
    settlement, record = evaluated(claimed, attempt)
    assert await store.settle(claimed, settlement, record)
    email = await read(store)
    assert (email.state, email.due_at, email.ended_at) == (state, due_at, ended_at)
    assert email.explanation == settlement.explanation
    assert email.possible_duplicate is record.in_doubt
    (one,) = email.recipients
    assert (one.state, one.reply) == (recipient, settlement.recipients["b@example.com"].reply)
    assert email.attempts == (
        AttemptRecord(
            number=1,
            mailbox=MAILBOX,
            started_at=NOW,
            ended_at=NOW,
            phase=attempt.phase,
            failure=FailureKind.CLOSED if attempt is LOST else None,
            detail="The connection was closed." if attempt is LOST else None,
            replies=record.replies,
            verdicts=record.verdicts,
            dialogue=(Line("C", "MAIL FROM:<a@contoso.com>"), Line("S", "250 2.1.0 Sender OK")),
            in_doubt=record.in_doubt,
        ),
    )


async def test_the_second_doubt_is_known_as_such(store: Store) -> None:
    """Also with an answered attempt between the two."""
    await accept(store)
    await settle(store, await claim_one(store), LOST)
    assert (await read(store)).explanation == IN_DOUBT
    await settle(store, await claim_one(store, NOW + 60), DEFERRED, NOW + 60)
    third = await claim_one(store, NOW + 600)
    assert (third.number, third.delivery_state.unknown_before) == (3, 1)
    await settle(store, third, LOST, NOW + 600)
    email = await read(store)
    assert (email.state, email.explanation, email.ended_at) == (MessageState.HELD, UNKNOWN_TWICE, None)


async def test_a_possible_duplicate_stays_one(store: Store) -> None:
    """Also after an answered attempt."""
    await accept(store)
    await settle(store, await claim_one(store), LOST)
    await settle(store, await claim_one(store, NOW + 60), RELAYED, NOW + 61)
    email = await read(store)
    assert (email.state, email.possible_duplicate, email.explanation) == (MessageState.DONE, True, None)
    assert [attempt.in_doubt for attempt in email.attempts] == [True, False]


async def test_any_reply_text_can_be_settled(store: Store) -> None:
    await accept(store)
    odd = Attempt(Phase.DOT, Reply.of(550, ["5.7.1 \udcff\0 \U0001f600 no"]))
    assert await settle(store, await claim_one(store), odd)
    (recipient,) = (await read(store)).recipients
    assert recipient.reply == "550 5.7.1 ? \U0001f600 no"


async def test_the_dot_is_marked_while_the_lease_is_held(store: Store) -> None:
    """It is durable at once, and a second mark changes nothing."""
    await accept(store)
    claimed = await claim_one(store)
    assert await store.mark_dot(claimed)
    assert await store.mark_dot(claimed)
    (attempt,) = (await read(store)).attempts
    assert (attempt.phase, attempt.ended_at) == (Phase.DOT, None)


async def test_without_its_lease_a_worker_writes_nothing(store: Store) -> None:
    """After a recovery and a new claim: mark, settle, renew and give back fail at the fence."""
    await accept(store)
    old = await claim_one(store)
    await store.recover(NOW + 61)
    new = await claim_one(store, NOW + 61)
    before = await read(store)
    assert await store.mark_dot(old) is False
    assert await settle(store, old, RELAYED) is False
    assert await store.renew([old.lease], NOW + 999) == set()
    await store.give_back([old])
    assert await read(store) == before
    assert await store.mark_dot(new)


async def test_only_the_first_of_two_settlements_counts(store: Store) -> None:
    """At the same time, in one group."""
    await accept(store)
    claimed = await claim_one(store)
    answers = await asyncio.gather(settle(store, claimed, RELAYED), settle(store, claimed, REFUSED))
    assert list(answers) == [True, False]
    assert [one.state for one in (await read(store)).recipients] == [RecipientState.RELAYED]


async def test_a_message_given_back_has_no_attempt(store: Store) -> None:
    """QUEUED, due as before; the next attempt has its number."""
    await accept(store)
    await settle(store, await claim_one(store), DEFERRED)
    before = await read(store)
    claimed = await claim_one(store, NOW + 40, mailbox="other@contoso.com")
    await asyncio.gather(store.give_back([claimed]), store.give_back([claimed]), store.give_back([]))
    after = await read(store)
    assert after.state is MessageState.QUEUED
    assert (after.due_at, after.mailbox, after.attempts) == (before.due_at, MAILBOX, before.attempts)
    assert (await claim_one(store, NOW + 40)).number == 2


async def test_a_renewal_extends_valid_leases_only(store: Store) -> None:
    await accept(store, acceptance(), acceptance(), acceptance())
    one, two, three = await claim(store)
    await settle(store, three, RELAYED)
    assert await store.renew([one.lease, three.lease], NOW + 120) == {one.lease}
    assert await store.recover(NOW + 100) == [(two.id, False)]
    assert await store.mark_dot(one)
    assert await store.renew([], NOW + 120) == set()


async def test_no_mark_overtakes_a_settlement(store: Store) -> None:
    """An outcome is durable before the next dot may leave: after a crash a session has one message in doubt."""
    await accept(store, acceptance(), acceptance())
    before, following = await claim(store)
    await store.mark_dot(before)
    settling = asyncio.create_task(settle(store, before, RELAYED))
    await asyncio.sleep(0)
    assert await store.mark_dot(following)
    assert await store.recover(NOW, everything=True) == [(following.id, True)]
    await settling
    counts = await count_states(store)
    assert (counts[MessageState.DONE], counts[MessageState.DEFERRED], counts[MessageState.ACTIVE]) == (1, 1, 0)


@pytest.mark.parametrize("how", [RELAYED, DEFERRED, REFUSED, PAUSED, LOST])
async def test_a_stored_outcome_is_settled_like_any_other(store: Store, how: Attempt) -> None:
    """After a crash between the next mark and the settlement: state, recipients and attempt, marked or not."""
    await accept(store, acceptance(), acceptance(), acceptance())
    usual, cut_off, following = await claim(store)
    for one in (usual, cut_off):
        if how.phase is Phase.DOT:
            await store.mark_dot(one)
    await settle(store, usual, how)
    settling = asyncio.create_task(settle(store, cut_off, how))
    await asyncio.sleep(0)
    await store.mark_dot(following)
    await store.recover(NOW + 5, everything=True)
    await settling
    expected, found = await store.get(usual.id), await store.get(cut_off.id)
    assert expected is not None
    assert found is not None
    same = replace(found, id=expected.id, message_id=expected.message_id)
    assert same == expected


async def test_a_refused_mark_loses_no_outcome(store: Store) -> None:
    """The mark of a lost lease stores the outcomes all the same."""
    await accept(store, acceptance(), acceptance())
    lost, before = await claim(store)
    await store.give_back([lost])
    await store.mark_dot(before)
    settling = asyncio.create_task(settle(store, before, RELAYED))
    await asyncio.sleep(0)
    assert not await store.mark_dot(lost)
    assert await store.recover(NOW, everything=True) == []
    await settling
    assert (await count_states(store))[MessageState.DONE] == 1


async def test_concurrent_settlements_share_commits(store: Store) -> None:
    await accept(store, *(acceptance() for _ in range(60)))
    claimed = await claim(store)
    attempts = [(RELAYED, DEFERRED, LOST)[n % 3] for n in range(60)]
    assert all(await asyncio.gather(*(store.mark_dot(one) for one in claimed)))
    assert all(await asyncio.gather(*(settle(store, one, how) for one, how in zip(claimed, attempts, strict=True))))
    counts = await count_states(store)
    assert (counts[MessageState.DONE], counts[MessageState.DEFERRED], counts[MessageState.ACTIVE]) == (20, 40, 0)
