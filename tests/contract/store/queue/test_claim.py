"""Eligibility and order of claims."""

import asyncio

import pytest

from app.mail.lifecycle import ActiveMessage, MessageState
from app.mail.message.message import Envelope, OnUnknown
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.store import Store
from tests.contract.store.build import (
    CONTENT,
    DAY,
    DEFERRED,
    MAILBOX,
    NOW,
    accept,
    acceptance,
    claim,
    claim_one,
    ids,
    new_id,
    settle,
)


async def test_a_claim_returns_envelope_size_number_and_state(store: Store) -> None:
    """And opens the attempt."""
    stored = acceptance("z@example.com", "a@example.com", on_unknown=OnUnknown.HOLD)
    await accept(store, stored)
    claimed = await claim_one(store, NOW + 5)
    assert claimed.id == stored.id
    assert claimed.envelope == Envelope("a@contoso.com", ("z@example.com", "a@example.com"))
    assert (claimed.number, claimed.started_at, claimed.mailbox) == (1, NOW + 5, MAILBOX)
    assert (claimed.message_id, claimed.size) == (stored.message.message_id, len(CONTENT))
    assert claimed.delivery_state == ActiveMessage(NOW, NOW + 5 * DAY, OnUnknown.HOLD, 0)
    email = await store.get(stored.id)
    assert email is not None
    assert (email.state, email.mailbox) == (MessageState.ACTIVE, MAILBOX)
    (attempt,) = email.attempts
    assert (attempt.number, attempt.started_at, attempt.ended_at) == (1, NOW + 5, None)
    assert attempt.phase is Phase.CONNECT


async def test_claims_are_ordered_by_due_time_and_id(store: Store) -> None:
    """At most the limit."""
    early, late = acceptance(due_at=NOW - 9), acceptance(due_at=NOW)
    twins = sorted([acceptance(due_at=NOW - 5) for _ in range(3)], key=lambda one: one.id)
    await accept(store, late, *reversed(twins), early)
    assert ids(await claim(store, 3)) == [early.id, twins[0].id, twins[1].id]
    assert ids(await claim(store)) == [twins[2].id, late.id]
    assert await claim(store) == []


@pytest.mark.parametrize(
    "changes",
    [{"due_at": NOW + 0.001}, {"expires_at": NOW}, {"pool": "newsletters"}],
    ids=["not due yet", "over its age", "another pool's"],
)
async def test_ineligible_messages_are_skipped(store: Store, changes: dict[str, float]) -> None:
    """They do not delay others."""
    due = acceptance()
    await accept(store, acceptance(**changes), due)
    assert ids(await claim(store)) == [due.id]


async def test_a_deferred_message_is_claimed_again_when_it_is_due(store: Store) -> None:
    """As the next attempt, with the same age."""
    await accept(store)
    first = await claim_one(store)
    await settle(store, first, DEFERRED)
    assert await claim(store, now=NOW + 29) == []
    second = await claim_one(store, NOW + 30)
    assert (second.number, second.delivery_state) == (2, first.delivery_state)
    assert second.lease != first.lease


async def test_only_pending_recipients_are_claimed_again(store: Store) -> None:
    """Rule 5 of the lifecycle: a relayed or failed recipient is never attempted again."""
    await accept(store, acceptance("a@example.com", "b@example.com", "c@example.com"))
    claimed = await claim_one(store)
    busy = Reply.of(452, ["4.2.2 Mailbox full"])
    relayed = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused={"b@example.com": busy})
    await settle(store, claimed, relayed)
    again = await claim_one(store, NOW + 60)
    assert again.envelope.rcpt_to == ("b@example.com",)


async def test_many_workers_never_share_a_message(store: Store, store_url: str) -> None:
    """In one process, and in two on the same database."""
    stored = await accept(store, *(acceptance(id=new_id()) for _ in range(120)))
    other = await Store.open(store_url)
    claims = await asyncio.gather(*(claim((store, other)[n % 2], 4, mailbox=f"m{n}") for n in range(40)))
    await other.close()
    taken = [one.id for part in claims for one in part]
    assert sorted(taken) == sorted(stored)
    assert len({one.lease for part in claims for one in part}) == len(stored)
