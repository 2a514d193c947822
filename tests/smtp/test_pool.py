"""Session pool: lending, lifetime, and the limit of `size` sessions."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt, FailureKind, Phase
from app.simulator import Call, Drop, ExchangeLimits, Fault, Point, Reset, Say, Silence, Simulator
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, Upstream, open_session
from app.smtp.pool import SessionPool
from app.smtp.protocol import Timeouts
from tests.smtp.conftest import (
    CONTENT,
    CREDENTIALS,
    ENVELOPE,
    MAILBOX,
    Connections,
    ManualClock,
    allow_dot,
    short_timeout,
)
from tests.waiting import WAIT_TIMEOUT, until

STRICT = ExchangeLimits(connections_sending=3, messages_per_minute=10**9, tarpit=0)


class CountingOpener:
    """Opener that counts open sessions, including those in their handshake."""

    def __init__(self, upstream: Upstream) -> None:
        self.opened: list[Session] = []
        self.opening = 0
        self.most = 0
        self._upstream = upstream

    async def __call__(self) -> Session | Refusal:
        self.opening += 1
        self.most = max(self.most, self.opening + sum(session.open for session in self.opened))
        try:
            session = await open_session(self._upstream, CREDENTIALS)
        finally:
            self.opening -= 1
        if isinstance(session, Session):
            self.opened.append(session)
        return session

    def forget_failure(self) -> None:
        """Do nothing: it stores no failure."""


@pytest.fixture
async def pools() -> AsyncIterator[list[SessionPool]]:
    """Pools in this list are closed after the test."""
    made: list[SessionPool] = []
    yield made
    for pool in made:
        await pool.close(0.5)


async def relayed(pool: SessionPool, count: int = 1) -> list[Attempt]:
    """Send `count` messages concurrently; all must be accepted."""
    attempts = await asyncio.gather(*(pool.deliver(ENVELOPE, CONTENT, allow_dot) for _ in range(count)))
    for attempt in attempts:
        assert attempt.phase is Phase.DOT
        assert attempt.reply is not None
        assert attempt.reply.positive
    return attempts


async def closed(simulator: Simulator, count: int) -> None:
    """Wait until the server has seen `count` connections end."""
    await until(lambda: sum(session.closed_at is not None for session in simulator.sessions) >= count)


async def test_successive_messages_share_a_session(connections: Connections, pools: list[SessionPool]) -> None:
    """Two round trips for each message after the first."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 3))
    for _ in range(5):
        await relayed(pool)
    assert len(simulator.sessions) == 1
    assert [message.turns for message in simulator.messages] == [2] * 5
    assert pool.counts() == (1, 0, 0)


async def test_many_concurrent_senders_share_three_sessions(connections: Connections, pools: list[SessionPool]) -> None:
    """Concurrent senders wait for a session."""
    simulator = await connections.simulator(limits=STRICT)
    profile = CountingOpener(connections.upstream_to(simulator))
    pools.append(pool := SessionPool(profile, 3))
    await relayed(pool, 60)
    assert profile.most == len(simulator.sessions) == 3
    assert simulator.violations == []
    assert pool.counts() == (3, 0, 0)


async def test_idle_sessions_are_used_last_in_first_out(connections: Connections, pools: list[SessionPool]) -> None:
    """Unused sessions expire."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 3))
    await relayed(pool, 3)
    for _ in range(4):
        await relayed(pool)
    assert sorted(session.messages for session in simulator.sessions) == [1, 1, 5]


@pytest.mark.parametrize(
    "fault", [Say("451 4.3.2 Later"), Say("554 5.2.0 Never"), Say("421 4.3.2 Closing", close=True)]
)
@pytest.mark.parametrize("point", [Point.MAIL, Point.RCPT, Point.DATA, Point.DOT])
async def test_a_refusal_ends_the_session(
    connections: Connections, pools: list[SessionPool], point: Point, fault: Say
) -> None:
    simulator = await connections.simulator()
    simulator.faults.add(Fault(point, fault, nth=1))
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1))
    attempt = await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert str(attempt.reply) == fault.text
    await relayed(pool)
    assert [session.messages for session in simulator.sessions] == [0, 1]


@pytest.mark.parametrize("action", [Drop(), Reset(), Silence(), Say("421 4.4.1 Connection timed out", close=True)])
async def test_a_stale_session_is_replaced_within_the_attempt(
    connections: Connections, pools: list[SessionPool], action: Drop | Reset | Silence | Say
) -> None:
    """A disconnect at MAIL, before the message was sent, is not an attempt."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator, short_timeout(Phase.MAIL))), 1))
    await relayed(pool)
    simulator.faults.add(Fault(Point.MAIL, action, times=1))
    await relayed(pool)
    assert [session.messages for session in simulator.sessions] == [1, 1]
    assert pool.counts() == (1, 0, 0)


async def test_a_stale_session_is_replaced_once(connections: Connections, pools: list[SessionPool]) -> None:
    """A server that drops every MAIL gets two."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1))
    await relayed(pool)
    simulator.faults.add(Fault(Point.MAIL, Drop()))
    with pytest.raises(SessionError) as caught:
        await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CLOSED)
    assert len(simulator.sessions) == 2
    assert pool.counts() == (0, 0, 0)


@pytest.mark.parametrize("point", [Point.RCPT, Point.DATA, Point.DOT])
async def test_a_session_lost_after_mail_is_not_replaced(
    connections: Connections, pools: list[SessionPool], point: Point
) -> None:
    """The pool does not send a message twice."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1))
    await relayed(pool)
    simulator.faults.add(Fault(point, Drop(), times=1))
    with pytest.raises(SessionError):
        await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert len(simulator.sessions) == 1


async def test_a_dead_idle_session_is_not_lent(connections: Connections, pools: list[SessionPool]) -> None:
    """After a disconnect or an unsolicited reply."""
    simulator = await connections.simulator()
    profile = CountingOpener(connections.upstream_to(simulator))
    pools.append(pool := SessionPool(profile, 1))
    await relayed(pool)
    await simulator.stop()
    await until(lambda: not profile.opened[0].reusable)
    await simulator.start(port=simulator.port)
    await relayed(pool)
    assert profile.opened[0].transaction_count == 1


@pytest.mark.parametrize(("limit", "sessions"), [({"max_messages": 2}, [2, 2, 1]), ({"max_age": 25.0}, [3, 2])])
async def test_a_session_ends_by_count_and_by_age(
    connections: Connections, pools: list[SessionPool], limit: dict[str, float], sessions: list[int]
) -> None:
    """Five messages, ten seconds apart."""
    simulator = await connections.simulator()
    clock = ManualClock()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1, monotonic=clock, **limit))  # type: ignore[arg-type]  # count is an int
    for _ in range(5):
        await relayed(pool)
        clock.now += 10
    assert [session.messages for session in simulator.sessions] == sessions
    assert all(session.commands[-1] == "QUIT" for session in simulator.sessions[:-1])


async def test_an_idle_session_expires(connections: Connections, pools: list[SessionPool]) -> None:
    """The pool sends QUIT without other traffic, so that the server frees the slot."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 3, max_idle=0.05))
    await relayed(pool, 3)
    await closed(simulator, 3)
    assert [session.commands[-1] for session in simulator.sessions] == ["QUIT"] * 3
    assert pool.counts() == (0, 0, 0)


async def test_a_closing_session_has_its_slot(connections: Connections, pools: list[SessionPool]) -> None:
    """At most `size` connections, with those that wait for the reply to QUIT."""
    simulator = await connections.simulator()
    goodbye, leave = asyncio.Event(), asyncio.Event()

    async def linger(_: object) -> None:
        goodbye.set()
        await leave.wait()

    simulator.faults.add(Fault(Point.QUIT, Call(linger)))
    profile = CountingOpener(connections.upstream_to(simulator))
    pools.append(pool := SessionPool(profile, 1, max_messages=1))
    await relayed(pool)
    await goodbye.wait()
    second = asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, allow_dot))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(simulator.sessions) == 1
    leave.set()
    await second
    assert len(simulator.sessions) == 2


async def test_ensure_open_opens_one_session(connections: Connections, pools: list[SessionPool]) -> None:
    """A refusal is an attempt, a failure raises."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 2))
    assert await pool.ensure_open() is None
    assert await pool.ensure_open() is None
    assert pool.counts() == (1, 0, 0)
    assert len(simulator.logins) == 1
    await relayed(pool)
    simulator.faults.add(Fault(Point.AUTH, Say("535 5.7.3 Authentication unsuccessful"), nth=1))
    simulator.faults.add(Fault(Point.AUTH, Drop(), nth=2))
    pools.append(cold := SessionPool(CountingOpener(connections.upstream_to(simulator)), 2))
    refused = await cold.ensure_open()
    assert refused is not None
    assert refused.reply is not None
    assert (refused.phase, refused.reply.code) == (Phase.AUTH, 535)
    with pytest.raises(SessionError):
        await cold.ensure_open()
    assert cold.counts() == (0, 0, 0)


async def test_a_refused_opening_is_an_attempt(connections: Connections, pools: list[SessionPool]) -> None:
    """The attempt has phase, reply and dialogue; the slot is free again."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.AUTH, Say("535 5.7.139 Authentication unsuccessful"), times=1))
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1))
    attempt = await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert attempt.reply is not None
    assert (attempt.phase, attempt.reply.code) == (Phase.AUTH, 535)
    assert "AUTH LOGIN ****" in [line.text for line in attempt.dialogue]
    await relayed(pool)


async def test_a_smaller_size_ends_idle_sessions(connections: Connections, pools: list[SessionPool]) -> None:
    """A larger one serves waiting tasks."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 3))
    await relayed(pool, 3)
    pool.resize(1)
    await closed(simulator, 2)
    assert pool.counts() == (1, 0, 0)
    pool.resize(0)
    waiting = asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, allow_dot))
    await closed(simulator, 3)
    assert not waiting.done()
    pool.resize(1)
    assert (await waiting).phase is Phase.DOT


async def test_closing_waits_for_lent_sessions(connections: Connections) -> None:
    """Idle ones get QUIT; nothing new begins."""
    simulator = await connections.simulator()
    reached, on = asyncio.Event(), asyncio.Event()

    async def held() -> bool:
        reached.set()
        await on.wait()
        return True

    pool = SessionPool(CountingOpener(connections.upstream_to(simulator)), 2)
    await relayed(pool, 2)
    sending = asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, held))
    await reached.wait()
    closing = asyncio.create_task(pool.close(10))
    await closed(simulator, 1)
    with pytest.raises(SessionError) as caught:
        await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert caught.value.failure.kind is FailureKind.STOPPED
    on.set()
    assert (await sending).phase is Phase.DOT
    await closing
    assert pool.counts() == (0, 0, 0)
    assert [session.commands[-1] for session in simulator.sessions] == ["QUIT"] * 2


async def test_closing_aborts_lent_sessions_at_its_timeout(connections: Connections) -> None:
    """With their phase; waiting tasks get an error."""
    simulator = await connections.simulator()
    struck = simulator.faults.add(Fault(Point.DOT, Silence()))
    pool = SessionPool(CountingOpener(connections.upstream_to(simulator)), 1)
    sending = asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, allow_dot))
    waiting = asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, allow_dot))
    await struck.wait(WAIT_TIMEOUT)
    await pool.close(0.01)
    with pytest.raises(SessionError) as caught:
        await sending
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.DOT, FailureKind.STOPPED)
    with pytest.raises(SessionError) as caught:
        await waiting
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONNECT, FailureKind.STOPPED)
    assert pool.counts() == (0, 0, 0)


class Stuck:
    """Opener that never returns."""

    async def __call__(self) -> Session | Refusal:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    def forget_failure(self) -> None:
        """Do nothing: it stores no failure."""


async def test_closing_ends_every_opening_and_every_wait_for_one() -> None:
    """No message was sent on it. Later requests get the same error."""
    pool = SessionPool(Stuck(), 2)
    asking = [asyncio.create_task(pool.deliver(ENVELOPE, CONTENT, allow_dot)) for _ in range(4)]
    warming = asyncio.create_task(pool.ensure_open())
    await asyncio.sleep(0)
    assert pool.counts() == (0, 0, 2)
    pool.stop_opening()
    async with asyncio.timeout(WAIT_TIMEOUT):
        ends = await asyncio.gather(*asking, pool.deliver(ENVELOPE, CONTENT, allow_dot), return_exceptions=True)
        await pool.close(3600.0)
    assert [end.failure.kind for end in ends if isinstance(end, SessionError)] == [FailureKind.STOPPED] * 5
    assert await warming is None  # there was no room for one more
    assert pool.counts() == (0, 0, 0)


async def test_closing_ends_a_login_without_a_message() -> None:
    """stop_opening ends the handshake with STOPPED; a cancelled task stays cancelled."""
    pool = SessionPool(Stuck(), 2)
    warming, cancelled = asyncio.create_task(pool.ensure_open()), asyncio.create_task(pool.ensure_open())
    await asyncio.sleep(0)
    cancelled.cancel()
    pool.stop_opening()
    with pytest.raises(SessionError):
        await warming
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_closing_replaces_no_stale_session(connections: Connections, pools: list[SessionPool]) -> None:
    """It is a failure."""
    simulator = await connections.simulator()
    pools.append(pool := SessionPool(CountingOpener(connections.upstream_to(simulator)), 1))
    await relayed(pool)
    closing: list[asyncio.Task[None]] = []

    async def close(_: object) -> None:
        closing.append(asyncio.create_task(pool.close(5)))
        await asyncio.sleep(0)

    simulator.faults.add(Fault(Point.MAIL, Call(close)))
    simulator.faults.add(Fault(Point.MAIL, Drop()))
    with pytest.raises(SessionError) as caught:
        await pool.deliver(ENVELOPE, CONTENT, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CLOSED)
    await closing[0]
    assert len(simulator.sessions) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_random_faults_keep_the_limit_and_every_session(connections: Connections, seed: int) -> None:
    """Cancelled tasks, disconnects and refusals: at most three sessions, none lost, none lent twice."""
    chance = random.Random(seed)
    simulator = await connections.simulator(limits=STRICT, seed=seed)
    for point in (Point.AUTH, Point.MAIL, Point.RCPT, Point.DOT):
        simulator.faults.add(Fault(point, Drop(), probability=0.05))
        simulator.faults.add(Fault(point, Say("421 4.3.2 Closing", close=True), probability=0.05))
        simulator.faults.add(Fault(point, Say("451 4.3.2 Later"), probability=0.05))
    profile = CountingOpener(connections.upstream_to(simulator, Timeouts(quit=0.5)))
    pool = SessionPool(profile, 3, max_messages=5)
    certain = 0

    async def one(number: int) -> None:
        nonlocal certain
        envelope = Envelope(MAILBOX, (f"person-{number}@example.net",))
        try:
            attempt = await pool.deliver(envelope, CONTENT, allow_dot)
        except SessionError:
            return
        certain += attempt.phase is Phase.DOT and attempt.reply is not None and attempt.reply.positive

    tasks = [asyncio.create_task(one(number)) for number in range(120)]
    while pending := [task for task in tasks if not task.done()]:
        idle, lent, opening = pool.counts()
        assert idle + lent + opening <= 3
        if chance.random() < 0.02:
            chance.choice(pending).cancel()
        await asyncio.sleep(0)
    assert profile.most <= 3
    assert pool.counts()[1:] == (0, 0)
    simulator.faults.clear()
    await relayed(pool, 3)
    await pool.close(5)
    assert pool.counts() == (0, 0, 0)
    assert certain + 3 <= len(simulator.accepted)
    assert not any(session.open for session in profile.opened)


async def test_a_reserved_slot_reduces_the_sessions(connections: Connections, pools: list[SessionPool]) -> None:
    """Waiting tasks continue when it is released."""
    profile = CountingOpener(connections.upstream_to(await connections.simulator()))
    pools.append(pool := SessionPool(profile, 1))
    with pool.reserve_slot() as free, pool.reserve_slot() as second:
        assert (free, second) == (True, False)
        waiting = asyncio.create_task(relayed(pool))
        await asyncio.sleep(0)
        assert (profile.most, pool.logged_in) == (0, False)
    await waiting
    with pool.reserve_slot() as free:
        assert not free
    assert (profile.most, pool.logged_in, pool.counts()) == (1, True, (1, 0, 0))
