"""Login gate: concurrent workers share one failed login, and a release makes a real one."""

import asyncio

import pytest

from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import Drop, Fault, Point, Say, Simulator
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session
from app.smtp.login_gate import FAILURE_TTL, LoginGate
from app.smtp.pool import SessionPool
from tests.smtp.conftest import CONTENT, CREDENTIALS, ENVELOPE, Connections, ManualClock, allow_dot
from tests.smtp.scripted_server import PLAIN, SECURE, ScriptedConnection, ScriptedServer

REFUSAL = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
async def simulator(connections: Connections) -> Simulator:
    """Upstream that refuses one login and accepts the next."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.AUTH, Say(REFUSAL), times=1))
    return simulator


def login_gate(connections: Connections, server: Simulator | ScriptedServer, clock: ManualClock) -> LoginGate:
    """Login gate of this upstream."""
    there = connections.upstream_to(server)

    async def enter() -> Session | Refusal:
        return await open_session(there, CREDENTIALS)

    return LoginGate(enter, clock)


def is_refusal(answer: object) -> bool:
    """Return whether it is the refusal of the login."""
    return isinstance(answer, Refusal) and answer.login_rejected


async def passes(login_gate: LoginGate) -> None:
    """Open and close a session."""
    session = await login_gate()
    assert isinstance(session, Session)
    await session.quit()


async def test_three_concurrent_callers_cause_one_failed_login(connections: Connections, simulator: Simulator) -> None:
    """Each gets the result of the first."""
    shut = login_gate(connections, simulator, ManualClock())
    answers = await asyncio.gather(shut(), shut(), shut())
    assert all(is_refusal(answer) for answer in answers)
    assert len(simulator.logins) == 1


async def test_a_server_without_reply_is_connected_once(connections: Connections) -> None:
    """Each caller gets its own exception object."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.GREETING, Drop(), times=1))
    shut = login_gate(connections, simulator, ManualClock())
    answers = await asyncio.gather(shut(), shut(), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, SessionError)
        assert (answer.failure.phase, answer.failure.kind) == (Phase.GREETING, FailureKind.CLOSED)
    assert answers[0] is not answers[1]
    assert len(simulator.sessions) == 1


async def test_a_failure_is_shared_for_two_seconds(connections: Connections, simulator: Simulator) -> None:
    """A later caller logs in again."""
    clock = ManualClock()
    profile = login_gate(connections, simulator, clock)
    assert is_refusal(await profile())
    clock.now += FAILURE_TTL - 0.01
    assert is_refusal(await profile())
    assert len(simulator.logins) == 1
    clock.now += 0.01
    await passes(profile)


async def test_a_release_logs_in_within_the_two_seconds(connections: Connections, simulator: Simulator) -> None:
    """And its result counts."""
    profile = login_gate(connections, simulator, ManualClock())
    assert is_refusal(await profile())
    profile.forget_failure()
    await passes(profile)
    assert [login.ok for login in simulator.logins] == [False, True]


async def test_a_release_without_a_fix_causes_one_more_failed_login(
    connections: Connections, simulator: Simulator
) -> None:
    """However many callers follow it."""
    simulator.faults.add(Fault(Point.AUTH, Say(REFUSAL)))
    profile = login_gate(connections, simulator, ManualClock())
    assert is_refusal(await profile())
    profile.forget_failure()
    assert all(is_refusal(answer) for answer in await asyncio.gather(profile(), profile(), profile()))
    assert len(simulator.logins) == 2


async def test_a_login_that_started_before_a_release_is_not_shared(connections: Connections) -> None:
    reached, refuse = asyncio.Event(), asyncio.Event()

    async def script(connection: ScriptedConnection) -> None:
        if reached.is_set():
            await connection.accept_login()
            await connection.reply(b"221 bye\r\n")
            return
        await connection.write(b"220 server ready\r\n")
        await connection.reply(PLAIN)
        await connection.tls()
        await connection.reply(SECURE)
        await connection.read_until()
        reached.set()
        await refuse.wait()
        await connection.write(f"{REFUSAL}\r\n".encode())
        connection.close_tls()

    profile = login_gate(connections, await connections.scripted_server(script), ManualClock())
    early = asyncio.create_task(profile())
    await reached.wait()
    late = asyncio.create_task(profile())
    profile.forget_failure()
    refuse.set()
    assert is_refusal(await early)
    session = await late
    assert isinstance(session, Session)
    await session.quit()


async def test_the_pool_passes_a_release_on_to_the_gate(connections: Connections, simulator: Simulator) -> None:
    pool = SessionPool(login_gate(connections, simulator, ManualClock()), 3)
    attempt = await pool.ensure_open()
    assert attempt is not None
    assert str(attempt.reply) == REFUSAL
    pool.forget_failure()
    assert await pool.ensure_open() is None
    assert (await pool.deliver(ENVELOPE, CONTENT, allow_dot)).phase is Phase.DOT
    await pool.close(5)
