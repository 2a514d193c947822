"""The turnstile: three workers at a shut door are one failed login, and whoever has mended it gets a real one."""

import asyncio

import pytest

from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import Drop, Fault, Point, Say, Simulator
from app.smtp.handshake import RefusedError, Session, SessionError, open_session
from app.smtp.login_gate import FAILURE_TTL, LoginGate
from app.smtp.pool import SessionPool
from tests.smtp.conftest import CONTENT, CREDENTIALS, ENVELOPE, Hand, Ways, go
from tests.smtp.scripted_server import PLAIN, SECURE, Peer, Talk

REFUSAL = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
async def simulator(ways: Ways) -> Simulator:
    """An upstream that refuses one login, and takes the next one."""
    simulator = await ways.simulator()
    simulator.faults.add(Fault(Point.AUTH, Say(REFUSAL), times=1))
    return simulator


def turnstile(ways: Ways, server: Simulator | Peer, hand: Hand) -> LoginGate:
    """One before this upstream."""
    there = ways.to(server)

    async def enter() -> Session | RefusedError:
        return await open_session(there, CREDENTIALS)

    return LoginGate(enter, hand)


def is_refusal(answer: object) -> bool:
    """True if it is the refusal of the login."""
    return isinstance(answer, RefusedError) and answer.of_login


async def passes(turnstile: LoginGate) -> None:
    """There is a session; it is closed again."""
    session = await turnstile()
    assert isinstance(session, Session)
    await session.quit()


async def test_three_at_a_shut_door_are_one_failed_login(ways: Ways, simulator: Simulator) -> None:
    """Each gets the answer that the first one got."""
    shut = turnstile(ways, simulator, Hand())
    answers = await asyncio.gather(shut(), shut(), shut())
    assert all(is_refusal(answer) for answer in answers)
    assert len(simulator.logins) == 1


async def test_a_door_that_does_not_answer_is_asked_once(ways: Ways) -> None:
    """The silence is shared too, for each as an exception of his own."""
    simulator = await ways.simulator()
    simulator.faults.add(Fault(Point.GREETING, Drop(), times=1))
    shut = turnstile(ways, simulator, Hand())
    answers = await asyncio.gather(shut(), shut(), return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, SessionError)
        assert (answer.failure.phase, answer.failure.kind) == (Phase.GREETING, FailureKind.CLOSED)
    assert answers[0] is not answers[1]
    assert len(simulator.sessions) == 1


async def test_a_failure_is_soon_stale(ways: Ways, simulator: Simulator) -> None:
    """Whoever comes later than 2 seconds tries for himself."""
    hand = Hand()
    door = turnstile(ways, simulator, hand)
    assert is_refusal(await door())
    hand.now += FAILURE_TTL - 0.01
    assert is_refusal(await door())
    assert len(simulator.logins) == 1
    hand.now += 0.01
    await passes(door)


async def test_what_was_mended_is_tried_at_once(ways: Ways, simulator: Simulator) -> None:
    """A person's release within the 2 seconds is a real login, and its answer counts."""
    door = turnstile(ways, simulator, Hand())
    assert is_refusal(await door())
    door.forget()
    await passes(door)
    assert [login.ok for login in simulator.logins] == [False, True]


async def test_a_release_that_mended_nothing_is_one_more_failed_login(ways: Ways, simulator: Simulator) -> None:
    """And no more than one, however many come behind it."""
    simulator.faults.add(Fault(Point.AUTH, Say(REFUSAL)))
    door = turnstile(ways, simulator, Hand())
    assert is_refusal(await door())
    door.forget()
    assert all(is_refusal(answer) for answer in await asyncio.gather(door(), door(), door()))
    assert len(simulator.logins) == 2


async def test_a_login_that_began_before_the_mend_speaks_for_nobody(ways: Ways) -> None:
    """Its failure comes after the release, from before it."""
    reached, refuse = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk) -> None:
        if reached.is_set():
            await talk.open()
            await talk.ask(b"221 bye\r\n")
            return
        await talk.say(b"220 peer ready\r\n")
        await talk.ask(PLAIN)
        await talk.tls()
        await talk.ask(SECURE)
        await talk.hear()
        reached.set()
        await refuse.wait()
        await talk.say(f"{REFUSAL}\r\n".encode())
        talk.hang_up()

    door = turnstile(ways, await ways.peer(script), Hand())
    early = asyncio.create_task(door())
    await reached.wait()
    late = asyncio.create_task(door())
    door.forget()
    refuse.set()
    assert is_refusal(await early)
    session = await late
    assert isinstance(session, Session)
    await session.quit()


async def test_the_pool_forgets_with_it(ways: Ways, simulator: Simulator) -> None:
    """What the relay says when a mailbox is released."""
    pool = SessionPool(turnstile(ways, simulator, Hand()), 3)
    attempt = await pool.ensure_open()
    assert attempt is not None
    assert str(attempt.reply) == REFUSAL
    pool.forget()
    assert await pool.ensure_open() is None
    assert (await pool.deliver(ENVELOPE, CONTENT, go)).phase is Phase.DOT
    await pool.close(5)
