"""Operator commands on messages: refused while a worker has the message."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from app.mail.lifecycle import CONFIRMED, MessageState, RecipientState
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.retry_schedule import MESSAGE_LIFETIME
from app.store import Store
from app.store.records import Change, Email
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    LOST,
    NOW,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    settle,
)
from tests.waiting import WAIT_TIMEOUT

LATER = NOW + 3600
S, R = MessageState, RecipientState
STRANGER = UUID(int=99)
NO_SUCH = Reply.of(550, ["5.1.1 No such user"])

Verb = Callable[[Store, UUID], Awaitable[Change | None]]
VERBS: dict[str, Verb] = {
    "retry": lambda store, id: store.retry(id, LATER),
    "cancel": lambda store, id: store.cancel(id, LATER),
    "confirm": lambda store, id: store.confirm(id, LATER),
}
POSSIBLE = {
    "retry": {"held": S.QUEUED, "failed": S.QUEUED},
    "cancel": {"queued": S.CANCELLED, "deferred": S.CANCELLED, "held": S.CANCELLED},
    "confirm": {"held": S.DONE},
}


async def read(store: Store, id: UUID) -> Email:
    """Return one message with everything."""
    email = await store.get(id)
    assert email is not None
    return email


async def create_in_state(store: Store, to: str, *addresses: str) -> UUID:
    """Create a message in this state; `failed` is one that is done and failed."""
    attempt = {"deferred": DEFERRED, "held": LOST, "done": RELAYED, "failed": REFUSED}.get(to)
    (id,) = await accept(store, acceptance(*addresses, on_unknown=OnUnknown.HOLD))
    if to == "cancelled":
        await store.cancel(id, NOW)
    elif to != "queued":
        claimed = await claim_one(store)
        if attempt:
            await settle(store, claimed, attempt)
    assert (await read(store, id)).state == ("done" if to == "failed" else to)
    return id


@pytest.mark.parametrize("stands", ["queued", "active", "deferred", "held", "done", "failed", "cancelled"])
@pytest.mark.parametrize("verb", list(VERBS))
async def test_commands_follow_the_lifecycle_table(store: Store, verb: str, stands: str) -> None:
    """Elsewhere they change nothing and return the state."""
    id = await create_in_state(store, stands)
    before = await read(store, id)
    after = POSSIBLE[verb].get(stands)
    assert await VERBS[verb](store, id) == Change(after is not None, after or before.state)
    if after is None:
        assert await read(store, id) == before
    else:
        assert (await read(store, id)).state is after


@pytest.mark.parametrize("verb", list(VERBS))
async def test_a_command_on_an_unknown_message_returns_none(store: Store, verb: str) -> None:
    assert await VERBS[verb](store, STRANGER) is None


async def test_a_lease_survives_every_command(store: Store) -> None:
    id = await create_in_state(store, "queued")
    claimed = await claim_one(store)
    for verb in VERBS.values():
        assert await verb(store, id) == Change(False, S.ACTIVE)
    assert await store.mark_dot(claimed)
    assert await settle(store, claimed, RELAYED)


@pytest.mark.parametrize("stands", ["held", "failed"])
async def test_a_retry_restarts_age_and_lifetime(store: Store, stands: str) -> None:
    """Due now and without a reason. Its attempts stay readable."""
    id = await create_in_state(store, stands)
    before = await read(store, id)
    assert (await store.next_due_times(["default"])).get("default") is None
    await store.retry(id, LATER)
    email = await read(store, id)
    assert (email.due_at, email.expires_at, email.ended_at, email.explanation) == (
        LATER,
        LATER + MESSAGE_LIFETIME,
        None,
        None,
    )
    assert (email.attempts, email.possible_duplicate) == (before.attempts, before.possible_duplicate)
    claimed = await claim_one(store, LATER)
    assert (claimed.number, claimed.delivery_state.due_since) == (2, LATER)
    await settle(store, claimed, RELAYED, LATER + 1)
    email = await read(store, id)
    assert (email.state, email.ended_at) == (S.DONE, LATER + 1)
    assert {one.state for one in email.recipients} == {R.RELAYED}


async def test_a_retry_of_an_expired_message_has_its_whole_lifetime(store: Store) -> None:
    (id,) = await accept(store, acceptance(expires_at=NOW + 10))
    assert await store.expire(NOW + DAY) == [id]
    assert await store.retry(id, NOW + 30 * DAY) == Change(True, S.QUEUED)
    assert await store.expire(NOW + 31 * DAY) == []
    assert (await claim_one(store, NOW + 31 * DAY)).id == id


async def test_a_retry_is_for_failed_recipients_only(store: Store) -> None:
    """Their replies stay until the next attempt."""
    (id,) = await accept(store, acceptance("a@example.com", "b@example.com", "c@example.com"))
    partly = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused={"b@example.com": NO_SUCH})
    await settle(store, await claim_one(store), partly)
    assert await store.retry(id, LATER) == Change(True, S.QUEUED)
    email = await read(store, id)
    assert [one.state for one in email.recipients] == [R.RELAYED, R.PENDING, R.RELAYED]
    assert email.recipients[1].reply == str(NO_SUCH)
    assert (await claim_one(store, LATER)).envelope.rcpt_to == ("b@example.com",)


async def test_a_retry_of_a_held_message_includes_doubtful_and_failed_recipients(store: Store) -> None:
    (id,) = await accept(store, acceptance("a@example.com", "b@example.com", on_unknown=OnUnknown.HOLD))
    await settle(
        store, await claim_one(store), Attempt(Phase.DOT, failure=LOST.failure, refused={"b@example.com": NO_SUCH})
    )
    await store.retry(id, LATER)
    claimed = await claim_one(store, LATER)
    assert claimed.envelope.rcpt_to == ("a@example.com", "b@example.com")
    assert claimed.delivery_state.unknown_before == 1
    assert (await read(store, id)).possible_duplicate


async def test_a_confirmation_relays_pending_recipients(store: Store) -> None:
    """Failed ones stay failed and can be retried."""
    (id,) = await accept(store, acceptance("a@example.com", "b@example.com", on_unknown=OnUnknown.HOLD))
    await settle(
        store, await claim_one(store), Attempt(Phase.DOT, failure=LOST.failure, refused={"b@example.com": NO_SUCH})
    )
    assert await store.confirm(id, LATER) == Change(True, S.DONE)
    email = await read(store, id)
    assert (email.ended_at, email.explanation, email.possible_duplicate) == (LATER, CONFIRMED, True)
    assert [one.state for one in email.recipients] == [R.RELAYED, R.FAILED]
    assert await claim(store, now=LATER) == []
    await store.retry(id, LATER)
    assert (await claim_one(store, LATER)).envelope.rcpt_to == ("b@example.com",)


@pytest.mark.parametrize("stands", ["queued", "deferred", "held"])
async def test_a_cancelled_message_is_final(store: Store, stands: str) -> None:
    """It is not due, claimed, expired or resumed."""
    id = await create_in_state(store, stands)
    await store.cancel(id, LATER)
    email = await read(store, id)
    assert (email.state, email.due_at, email.ended_at, email.explanation) == (S.CANCELLED, None, LATER, None)
    assert {one.state for one in email.recipients} == {R.PENDING}
    assert await claim(store, now=NOW + DAY) == []
    assert await store.expire(NOW + 9 * DAY) == []
    assert await store.retry(id, LATER) == Change(False, S.CANCELLED)


@pytest.mark.parametrize(("verb", "stands"), [("retry", "failed"), ("cancel", "queued"), ("confirm", "held")])
async def test_a_repeated_command_changes_nothing(store: Store, verb: str, stands: str) -> None:
    """Also in one group at the same time."""
    id = await create_in_state(store, stands)
    first, second, missing = await asyncio.gather(
        VERBS[verb](store, id), VERBS[verb](store, id), VERBS[verb](store, STRANGER)
    )
    after = POSSIBLE[verb][stands]
    assert (first, second, missing) == (Change(True, after), Change(False, after), None)
    once = await read(store, id)
    assert await VERBS[verb](store, id) == Change(False, after)
    assert await read(store, id) == once


async def test_of_two_contradictory_commands_one_succeeds(store: Store) -> None:
    """In one group and in one database."""
    id = await create_in_state(store, "held")
    changes = await asyncio.gather(store.retry(id, LATER), store.confirm(id, LATER))
    assert [change.applied for change in changes if change].count(True) == 1
    assert {change.state for change in changes if change and change.applied} == {(await read(store, id)).state}


async def test_commands_on_many_messages_are_independent(store: Store) -> None:
    held = [await create_in_state(store, "held") for _ in range(20)]
    relayed = [await create_in_state(store, "done") for _ in range(20)]
    changes = await asyncio.gather(*(store.retry(id, LATER) for id in [*held, *relayed]))
    assert changes == [Change(True, S.QUEUED)] * 20 + [Change(False, S.DONE)] * 20
    assert {one.id for one in await claim(store, now=LATER)} == set(held)


async def test_a_key_decides_about_its_own_mail_only(store: Store) -> None:
    """Another key's message is unknown."""
    held, queued = await create_in_state(store, "held"), await create_in_state(store, "queued")
    assert await store.retry(held, LATER, STRANGER) is None
    assert await store.cancel(queued, LATER, STRANGER) is None
    assert [(await read(store, id)).state for id in (held, queued)] == [S.HELD, S.QUEUED]
    assert await store.retry(held, LATER, KEY) == Change(True, S.QUEUED)
    assert await store.cancel(queued, LATER, KEY) == Change(True, S.CANCELLED)


async def test_a_retry_wakes_the_relay(store_url: str) -> None:
    """In this process at once; in another at its next poll."""
    woken = asyncio.Event()
    store = await Store.open(store_url)
    store.listen(on_due=lambda _: woken.set(), on_mailbox_free=lambda: None)
    id = await create_in_state(store, "failed")
    woken.clear()
    await store.retry(id, LATER)
    async with asyncio.timeout(WAIT_TIMEOUT):
        await woken.wait()
    await store.close()
