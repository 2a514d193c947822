"""Rate limits are exact: the commit that stores a message counts it, and only it, with concurrent accepts."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.mail.key_policy import Amount, RateLimit, Unit, Usage
from app.mail.lifecycle import MessageState
from app.mail.times import DAY, MINUTE
from app.store import Store
from app.store.queue.accept import Acceptance, Accepted, IdempotencyConflict, RateLimited
from tests.contract.store.build import CONTENT, KEY, NOW, acceptance, claim, once
from tests.states import count_states

MIDNIGHT = int(NOW // DAY) * DAY
FIVE = RateLimit(5, None)


def some(count: int, **changes: object) -> list[Acceptance]:
    """Return this many messages."""
    return [acceptance(**changes) for _ in range(count)]


async def test_a_stored_message_is_counted(store: Store) -> None:
    """A batch counts as a whole; one over the limit stores nothing."""
    first = await store.accept(some(3), None, FIVE)
    assert isinstance(first, Accepted)
    used = Amount(3, 3, 3 * len(CONTENT))
    assert first.usage == Usage(int(NOW), used, MIDNIGHT, used)
    over = await store.accept(some(3), None, FIVE)
    assert isinstance(over, RateLimited)
    assert (over.window.seconds, over.window.remaining, over.window.end) == (MINUTE, 2, NOW + MINUTE)
    assert isinstance(await store.accept(some(2), None, FIVE), Accepted)
    assert isinstance(await store.accept(some(1), None, FIVE), RateLimited)
    assert (await count_states(store))[MessageState.QUEUED] == 5


async def test_an_elapsed_window_does_not_count(store: Store) -> None:
    """The next minute begins at 0, the day at midnight."""
    budget = RateLimit(2, 3)
    for at, answers in (
        (NOW, [Accepted, Accepted, RateLimited]),
        (NOW + MINUTE, [Accepted, RateLimited]),
        (MIDNIGHT + DAY, [Accepted, Accepted, RateLimited]),
    ):
        assert [type(await store.accept(some(1, created_at=at), None, budget)) for _ in answers] == answers


async def test_a_key_without_a_limit_is_not_counted(store: Store) -> None:
    """Other keys have their own counters."""
    stored = await store.accept(some(9))
    assert isinstance(stored, Accepted)
    assert stored.usage is None
    assert isinstance(await store.accept(some(5), None, FIVE), Accepted)
    assert isinstance(await store.accept(some(5, key_id=UUID(int=8)), None, FIVE), Accepted)


async def test_an_idempotent_repetition_is_not_counted(store: Store) -> None:
    """It is answered with no quota left."""
    asked = some(5)
    assert isinstance(await store.accept(asked, once(), FIVE), Accepted)
    again = await store.accept(some(5), once(), FIVE)
    assert again == Accepted(tuple(one.id for one in asked), replayed=True)
    assert await store.accept(some(1), once(fingerprint=b"other"), FIVE) == IdempotencyConflict()


async def test_a_refusal_does_not_use_the_idempotency_key(store: Store) -> None:
    """The same request is stored once there is quota."""
    await store.accept(some(5), None, FIVE)
    assert isinstance(await store.accept(some(1), once(), FIVE), RateLimited)
    later = some(1, created_at=NOW + MINUTE)
    stored = await store.accept(later, once(), FIVE)
    assert isinstance(stored, Accepted)
    assert (stored.ids, stored.replayed) == ((later[0].id,), False)


async def test_a_repetition_of_a_refused_request_is_refused(store: Store) -> None:
    """In one group of the writer, after the request with the key."""
    await store.accept(some(5), None, FIVE)
    answers = await asyncio.gather(*(store.accept(some(1), once(), FIVE) for _ in range(10)))
    assert {type(answer) for answer in answers} == {RateLimited}
    assert (await count_states(store))[MessageState.QUEUED] == 5


async def test_message_limits_are_exact_over_processes(store: Store, store_url: str) -> None:
    """Two stores on one database, two keys, with and without Idempotency-Keys."""
    other, budget = await Store.open(store_url), RateLimit(40, 30)
    asked = [
        (store, other)[n % 2].accept(
            some(1 + n % 3, key_id=key), once(f"k{n}", key_id=key) if n % 4 == 0 else None, budget
        )
        for key in (KEY, UUID(int=8))
        for n in range(40)
    ]
    answers = await asyncio.gather(*asked)
    await other.close()
    stored = [answer for answer in answers if isinstance(answer, Accepted)]
    assert sum(len(answer.ids) for answer in stored) == 60
    assert (await count_states(store))[MessageState.QUEUED] == 60


LETTER = ("a@example.com", "b@example.com", "c@example.com")


@pytest.mark.parametrize(
    ("budget", "unit", "left"),
    [
        (RateLimit(None, None, recipients_per_minute=7), Unit.RECIPIENTS, 1),
        (RateLimit(None, None, recipients_per_day=8), Unit.RECIPIENTS, 2),
        (RateLimit(None, None, bytes_per_minute=3 * len(CONTENT) - 1), Unit.BYTES, len(CONTENT) - 1),
        (RateLimit(90, 90, 90, 90, 10_000, 2 * len(CONTENT)), Unit.BYTES, 0),
    ],
)
async def test_recipients_and_bytes_have_their_own_limits(
    store: Store, budget: RateLimit, unit: Unit, left: int
) -> None:
    """Two messages of three recipients fit; the third is refused and counts in no unit."""
    for _ in range(2):
        assert isinstance(await store.accept([acceptance(*LETTER)], None, budget), Accepted)
    over = await store.accept([acceptance(*LETTER)], once(), budget)
    assert isinstance(over, RateLimited)
    assert (over.window.unit, over.window.remaining) == (unit, left)
    assert over.usage.in_day == over.usage.in_minute == Amount(2, 6, 2 * len(CONTENT))
    later = await store.accept([acceptance(*LETTER, created_at=NOW + DAY)], once(), budget)
    assert isinstance(later, Accepted)
    assert later.usage is not None
    assert later.usage.in_day == Amount(1, 3, len(CONTENT))


async def test_a_limit_added_later_includes_the_day_so_far(store: Store) -> None:
    """Any limit makes all units count."""
    assert isinstance(await store.accept([acceptance(*LETTER)], None, RateLimit(90, None)), Accepted)
    over = await store.accept([acceptance(*LETTER)], None, RateLimit(None, None, recipients_per_day=5))
    assert isinstance(over, RateLimited)
    assert (over.window.unit, over.window.remaining) == (Unit.RECIPIENTS, 2)


async def test_recipients_and_bytes_are_exact_over_processes(store: Store, store_url: str) -> None:
    """Two stores on one database with concurrent accepts."""
    other = await Store.open(store_url)
    budget = RateLimit(None, None, recipients_per_minute=20, bytes_per_day=15 * len(CONTENT))
    messages = [acceptance(*LETTER[: 1 + n % 3]) for n in range(40)]
    asked = [(store, other)[n % 2].accept([one], None, budget) for n, one in enumerate(messages)]
    answers = await asyncio.gather(*asked)
    await other.close()
    stored = [one for one, answer in zip(messages, answers, strict=True) if isinstance(answer, Accepted)]
    recipients = sum(len(one.message.envelope.rcpt_to) for one in stored)
    assert 18 <= recipients <= 20 or len(stored) == 15
    assert recipients <= 20
    assert len(stored) <= 15
    [usage] = {
        answer.usage
        for answer in [await store.accept([acceptance(created_at=NOW)], None, RateLimit(1, 1))]
        if isinstance(answer, RateLimited)
    }
    assert usage.in_minute == Amount(len(stored), recipients, len(stored) * len(CONTENT))


async def test_a_slow_clock_continues_the_window_of_another_process(store: Store) -> None:
    budget = RateLimit(2, None)
    assert isinstance(await store.accept(some(2, created_at=NOW + MINUTE), None, budget), Accepted)
    assert isinstance(await store.accept(some(1, created_at=NOW + MINUTE - 1), None, budget), RateLimited)
    assert isinstance(await store.accept(some(1, created_at=NOW + 2 * MINUTE), None, budget), Accepted)
    assert isinstance(await store.accept(some(1, created_at=NOW - DAY), None, budget), Accepted), "set back for good"


requests = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from((0, 1, 30, 59, 60, 61, 3600, DAY - 1, DAY))), min_size=1, max_size=12
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(requests=requests, minute=st.none() | st.integers(1, 6), day=st.integers(1, 9))
async def test_no_window_exceeds_its_limit(
    store: Store, requests: Sequence[tuple[int, int]], minute: int | None, day: int
) -> None:
    """And no message that fits is refused, compared with a count of the stored ones."""
    key, budget, now = uuid4(), RateLimit(minute, day), NOW
    stored: list[float] = []
    for count, later in requests:
        now += later
        answer = await store.accept(some(count, key_id=key, created_at=now), None, budget)
        used = {seconds: sum(at // seconds == now // seconds for at in stored) + count for seconds in (MINUTE, DAY)}
        room = used[DAY] <= day and (minute is None or used[MINUTE] <= minute)
        assert isinstance(answer, Accepted if room else RateLimited)
        stored += [now] * count if room else []


@pytest.mark.parametrize("coalesce", [None, "code"])
async def test_a_sunk_message_is_stored_cancelled_and_never_claimed(store: Store, coalesce: str | None) -> None:
    """With the reason, and without a turn."""
    waiting = acceptance(coalesce=coalesce)
    discarded = acceptance(coalesce=coalesce, to_sink=True, content=b"x")
    await store.accept([waiting])
    assert await store.accept([discarded], once()) == Accepted((discarded.id,))
    email = await store.get(discarded.id)
    assert email is not None
    assert (email.state, email.ended_at, email.due_at, email.attempts) == ("cancelled", NOW, None, ())
    assert email.explanation is not None
    assert "sink" in email.explanation.summary
    assert await store.content(discarded.id) == b"x"
    claimed = await claim(store, 9)
    assert [one.id for one in claimed] == [waiting.id]
    change = await store.retry(discarded.id, NOW)
    assert change is not None
    assert not change.applied
