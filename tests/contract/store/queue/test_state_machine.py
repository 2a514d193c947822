"""Store against a model of it, with every order of verbs."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from app.mail.lifecycle import Event, MessageState, RecipientState, next_state, sources
from app.mail.message.message import Lane, OnUnknown
from app.mail.outcome.attempt import Attempt
from app.mail.retry_schedule import MESSAGE_LIFETIME
from app.store import Store
from app.store.records import Change, Claimed
from tests.contract.store.build import (
    DEFERRED,
    LOST,
    NOW,
    PAUSED,
    POOL,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    evaluated,
    stored_emails,
)

ATTEMPTS = (RELAYED, REFUSED, DEFERRED, PAUSED, LOST)
LEASE = 60.0  # seconds
KEYS = (UUID(int=7), UUID(int=8))


@dataclass(slots=True)
class Model:
    """Expected state of one message."""

    state: MessageState
    due_at: float | None
    expires_at: float
    lane: Lane
    key: UUID
    turn: int | None
    scheduled_at: float | None = None
    lease: UUID | None = None
    lease_until: float = 0.0
    dot: bool = False
    attempts: int = 0
    doubts: int = 0

    def waits(self) -> bool:
        """Return whether it could be claimed at its time."""
        return self.state in (MessageState.QUEUED, MessageState.DEFERRED)


class StoreMachine(RuleBasedStateMachine):
    """Accepts, claims, settlements, crashes, waits and operator commands in any order; stale claims are used again."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.now = NOW
        self.model: dict[UUID, Model] = {}
        self.lasts: dict[tuple[Lane, UUID], int] = {}
        self.store: Store = self.run(Store.open(f"sqlite:///{Path(self._folder.name)}/postern.db"))

    def run(self, coroutine: Any) -> Any:
        """Run on one event loop for the life of the machine."""
        return self._runner.run(coroutine)

    def teardown(self) -> None:
        """Close all that was opened."""
        self.run(self.store.close())
        self._runner.close()
        self._folder.cleanup()

    def serving(self, lane: Lane) -> int:
        """Return the current turn of a lane."""
        ready = [m.turn for m in self.model.values() if m.waits() and m.lane is lane and m.turn is not None]
        return min(ready) if ready else max((last for (of, _), last in self.lasts.items() if of is lane), default=0)

    def take(self, lane: Lane, key: UUID, serving: int) -> int:
        """Assign a key's next turn."""
        self.lasts[lane, key] = max(self.lasts.get((lane, key), -1) + 1, serving)
        return self.lasts[lane, key]

    @rule(
        delay=st.sampled_from([0.0, 0.0, 30.0]),
        scheduled=st.booleans(),
        life=st.sampled_from([50.0, 5_000.0]),
        on_unknown=st.sampled_from(list(OnUnknown)),
        lane=st.sampled_from(list(Lane)),
        key=st.sampled_from(KEYS),
    )
    def accepts(self, delay: float, scheduled: bool, life: float, on_unknown: OnUnknown, lane: Lane, key: UUID) -> None:
        """Accept one more; it gets its turn when due."""
        due, end = self.now + delay, self.now + life
        facts = {"due_at": due, "expires_at": end, "on_unknown": on_unknown, "lane": lane, "key_id": key}
        one = acceptance(created_at=self.now, scheduled_at=due if scheduled else None, **facts)
        self.run(accept(self.store, one))
        turn = None if delay else self.take(lane, key, self.serving(lane))
        self.model[one.id] = Model(MessageState.QUEUED, due, end, lane, key, turn, due if scheduled else None)

    @rule(which=st.integers(0, 99), delay=st.sampled_from([-50.0, 0.0, 20.0, 100.0]))
    def is_rescheduled(self, which: int, delay: float) -> None:
        """Reschedule before its time, never into the past. Its expiry moves with it."""
        if not self.model:
            return
        id, m = [*self.model.items()][which % len(self.model)]
        may = m.state is MessageState.QUEUED and m.scheduled_at is not None and m.scheduled_at > self.now
        if may and m.scheduled_at is not None:
            due = max(self.now, self.now + delay)
            m.expires_at += due - m.scheduled_at
            m.scheduled_at, m.due_at, m.turn = due, due, None
        assert self.run(self.store.reschedule(id, self.now + delay, self.now)) == Change(may, m.state)

    @rule(target=claims, limit=st.integers(1, 3), others=st.integers(0, 3))
    def claims_what_is_next(self, limit: int, others: int) -> Any:
        """Claim by lane, turn and age, within the limit of lower lanes."""
        self.wake()
        ready = sorted(
            (m.lane.rank, m.turn, id)
            for id, m in self.model.items()
            if m.waits() and m.turn is not None and self.now < m.expires_at
        )
        urgent = [id for rank, _, id in ready if rank == 0][:limit]
        rest = [id for rank, _, id in ready if rank > 0][: min(others, limit - len(urgent))]
        claimed: list[Claimed] = self.run(claim(self.store, limit, self.now, until=self.now + LEASE, others=others))
        assert [one.id for one in claimed] == urgent + rest
        for one in claimed:
            m = self.model[one.id]
            m.state, m.lease, m.lease_until, m.dot = (
                next_state(m.state, Event.CLAIM),
                one.lease,
                self.now + LEASE,
                False,
            )
            m.attempts += 1
            assert (one.number, one.delivery_state.unknown_before, one.lane) == (m.attempts, m.doubts, m.lane)
        return multiple(*claimed)

    def wake(self) -> None:
        """Assign turns to due messages: a new turn, or the current one after a deferral."""
        serving = {lane: self.serving(lane) for lane in Lane}
        for _, id in sorted((m.due_at or 0.0, id) for id, m in self.model.items() if m.waits()):
            m = self.model[id]
            if m.turn is None and m.due_at is not None and m.due_at <= self.now and m.attempts == 0:
                m.turn = self.take(m.lane, m.key, serving[m.lane])
        for m in self.model.values():
            if m.waits() and m.turn is None and m.due_at is not None and m.due_at <= self.now:
                m.turn = serving[m.lane]

    @rule(claimed=claims)
    def marks_the_dot(self, claimed: Claimed) -> None:
        """Mark with a valid lease."""
        m = self.model[claimed.id]
        held = m.lease == claimed.lease
        assert self.run(self.store.mark_dot(claimed)) is held
        m.dot = m.dot or held

    @rule(claimed=claims, attempt=st.sampled_from(ATTEMPTS))
    def settles(self, claimed: Claimed, attempt: Attempt) -> None:
        """Settle with a valid lease."""
        m = self.model[claimed.id]
        settlement, record = evaluated(claimed, attempt, self.now)
        held = m.lease == claimed.lease
        assert self.run(self.store.settle(claimed, settlement, record)) is held
        if held:
            m.state, m.due_at, m.lease = settlement.state, settlement.due_at, None
            m.turn = m.turn if settlement.event is Event.GIVE_BACK else None
            m.doubts += settlement.in_doubt

    @rule(claimed=claims)
    def gives_back(self, claimed: Claimed) -> None:
        """Give back with a valid lease, without an attempt."""
        m = self.model[claimed.id]
        self.run(self.store.give_back([claimed]))
        if m.lease == claimed.lease:
            m.state, m.lease = next_state(m.state, Event.GIVE_BACK), None
            m.attempts -= 1

    @rule(claimed=claims)
    def renews(self, claimed: Claimed) -> None:
        """Renew a valid lease."""
        m = self.model[claimed.id]
        held = m.lease == claimed.lease
        assert self.run(self.store.renew([claimed.lease], self.now + LEASE)) == ({claimed.lease} if held else set())
        if held:
            m.lease_until = self.now + LEASE

    @rule(everything=st.booleans())
    def recovers(self, everything: bool) -> None:
        """Recover expired leases; in doubt exactly if the dot was marked."""
        lost = {id: m for id, m in self.model.items() if m.lease and (everything or m.lease_until <= self.now)}
        found = dict(self.run(self.store.recover(self.now, everything=everything)))
        assert found == {id: m.dot for id, m in lost.items()}
        for id, m in lost.items():
            m.lease = None
            m.doubts += m.dot
            email = self.run(self.store.get(id))
            m.state, m.due_at = email.state, email.due_at
            m.turn = m.turn if m.state is MessageState.QUEUED else None
            assert m.dot or m.state is (MessageState.DONE if self.now >= m.expires_at else MessageState.QUEUED)

    @rule(claimed=claims)
    def is_retried(self, claimed: Claimed) -> None:
        """Retry a held message or failed recipients; otherwise nothing changes."""
        m = self.model[claimed.id]
        failed = RecipientState.FAILED in {one.state for one in self.run(self.store.get(claimed.id)).recipients}
        may = m.state is MessageState.HELD or (m.state is MessageState.DONE and failed)
        if may:
            m.state, m.due_at, m.expires_at, m.turn = MessageState.QUEUED, self.now, self.now + MESSAGE_LIFETIME, None
        assert self.run(self.store.retry(claimed.id, self.now)) == Change(may, m.state)

    @rule(claimed=claims, event=st.sampled_from([Event.CANCEL, Event.CONFIRM]))
    def is_cancelled_or_confirmed(self, claimed: Claimed, event: Event) -> None:
        """Apply a command where the table allows it."""
        m = self.model[claimed.id]
        verb = self.store.cancel if event is Event.CANCEL else self.store.confirm
        may = m.state in sources(event)
        if may:
            m.state, m.due_at, m.turn = next_state(m.state, event), None, None
        assert self.run(verb(claimed.id, self.now)) == Change(may, m.state)

    @rule(seconds=st.sampled_from([1.0, 40.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """Advance the clock and expire old messages."""
        self.now += seconds
        old = {id for id, m in self.model.items() if m.waits() and m.expires_at <= self.now}
        assert set(self.run(self.store.expire(self.now))) == old
        for id in old:
            self.model[id].state, self.model[id].due_at = MessageState.DONE, None

    @invariant()
    def matches_the_model(self) -> None:
        """Compare every message and the totals."""
        emails = self.run(stored_emails(self.store, limit=1_000))
        assert {e.id: (e.state, e.due_at, e.possible_duplicate) for e in emails} == {
            id: (m.state, m.due_at, m.doubts > 0) for id, m in self.model.items()
        }
        waiting = [m for m in self.model.values() if m.waits()]
        due = self.run(self.store.next_due_times([POOL])).get(POOL)
        if any(m.turn is not None for m in waiting):
            assert due <= self.now
        else:
            assert due == min((m.due_at for m in waiting if m.due_at), default=None)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=15, stateful_step_count=25)
