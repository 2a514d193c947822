"""The seam where aiosmtplib's transport becomes ours, on asyncio's and on uvloop's TLS transports.

If a new aiosmtplib breaks one of these, it must not be taken in.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from app.mail.outcome.attempt import FailureKind, Phase
from app.smtp.handshake import ServerInfo, Session, SessionError, greet
from tests.smtp.conftest import CONTENT, ENVELOPE, HEADER, Ways, go, impatient
from tests.smtp.scripted_server import GO_AHEAD, PLAIN, SECURE, Peer, Talk

OK = b"250 ok\r\n250 ok\r\n"
LARGE = HEADER + (b"x" * 76 + b"\r\n") * 60_000
Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Run a scenario on a loop of its own."""
    runner: Runner = request.param
    return runner


async def opened(stack: AsyncExitStack, folder: Path, script: Callable[[Talk], Any], **options: Any) -> Session:
    """A session with a peer that plays `script` after the login."""

    async def whole(talk: Talk) -> None:
        await talk.open()
        await script(talk)

    ways = Ways(folder, stack)
    timeouts = options.pop("timeouts", None)
    return await ways.session(await ways.peer(whole, **options), timeouts)


async def until_dead(session: Session) -> None:
    """Until the session has noticed its end."""
    async with asyncio.timeout(5):
        while session.alive:
            await asyncio.sleep(0)


def test_the_transport_is_ours_alone(run: Runner, tmp_path: Path) -> None:
    """aiosmtplib's objects are gone, garbage collected, and the session works on."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.take()
            await talk.take()
            await talk.ask(b"221 bye\r\n")

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script)
            channel = session._channel
            assert channel._transport.get_protocol() is channel
            assert channel.listener is None
            gc.collect()
            for _ in range(2):
                attempt = await session.send(ENVELOPE, CONTENT, go)
                assert attempt.reply is not None
                assert attempt.reply.positive
            await session.quit()

    run(scenario())


@pytest.mark.parametrize("end", ["close", "reset", "421"])
def test_the_end_of_the_connection_reaches_us(run: Runner, tmp_path: Path, end: str) -> None:
    """FIN, RST and an unsolicited 421 make an idle session dead; nothing is logged or warned."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.take()
            if end == "421":
                await talk.say(b"421 4.4.1 Connection timed out\r\n")
            getattr(talk, "close" if end == "421" else end)()

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script)
            await session.send(ENVELOPE, CONTENT, go)
            await until_dead(session)
            if end == "421":
                attempt = await session.send(ENVELOPE, CONTENT, go)
                assert attempt.reply is not None
                assert (attempt.phase, attempt.reply.code) == (Phase.MAIL, 421)
            else:
                with pytest.raises(SessionError) as caught:
                    await session.send(ENVELOPE, CONTENT, go)
                assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CLOSED)

    run(scenario())


def test_last_words_and_the_end_in_one_segment(run: Runner, tmp_path: Path) -> None:
    """Who has said all there is to say before a login has answered a greeting."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.say(b"220 peer ready\r\n")
            await talk.ask(PLAIN)
            await talk.tls()
            await talk.ask(SECURE)
            talk.hang_up()

        async with AsyncExitStack() as stack:
            ways = Ways(tmp_path, stack)
            greeted = await greet(ways.to(await ways.peer(script)))
            assert isinstance(greeted, ServerInfo)
            assert greeted.tls.certificate
            assert greeted.extensions["AUTH"] == "LOGIN XOAUTH2"

    run(scenario())


@pytest.mark.parametrize("leftover", [b"421 4.3.2 Service not active\r\n", b"421 4.3.2 Serv", b"421-4.3.2 wait\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_what_came_with_the_login_is_not_lost(run: Runner, tmp_path: Path, leftover: bytes, together: bool) -> None:
    """Bytes behind the 235 lie with us, whole replies and parts, in one segment or in the next."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.say(b"220 peer ready\r\n")
            await talk.ask(PLAIN)
            await talk.tls()
            await talk.ask(SECURE)
            await talk.ask(b"334 UGFzc3dvcmQ6\r\n")
            await talk.ask(b"235 2.7.0 ok\r\n" + (leftover if together else b""))
            if not together:
                await talk.say(leftover)
            await talk.rest()

        async with AsyncExitStack() as stack:
            ways = Ways(tmp_path, stack)
            session = await ways.session(await ways.peer(script))
            await until_dead(session)

    run(scenario())


def test_flow_control_reaches_us(run: Runner, tmp_path: Path) -> None:
    """Writing pauses on our protocol while the server takes nothing, and resumes when it does."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.hear(b"DATA\r\n")
            talk.say_and_stall(OK + GO_AHEAD)
            async with asyncio.timeout(5):
                while not session._channel._paused:
                    await asyncio.sleep(0)
            talk.go_on()
            await talk.ask(b"250 2.0.0 OK\r\n", b"\r\n.\r\n")

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script, receive_buffer=16_384)
            attempt = await session.send(ENVELOPE, LARGE, go)
            assert attempt.reply is not None
            assert attempt.reply.positive
            assert session.alive

    run(scenario())


def test_nothing_leaves_after_an_abort(run: Runner, tmp_path: Path) -> None:
    """Neither loop's buffers nor the kernel's deliver a final dot that was given up."""

    async def scenario() -> None:
        over = asyncio.Event()

        async def script(talk: Talk) -> None:
            await talk.hear(b"DATA\r\n")
            talk.say_and_stall(OK + GO_AHEAD)
            await over.wait()
            talk.go_on()
            assert b"\r\n.\r\n" not in await talk.rest()

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script, receive_buffer=4096, timeouts=impatient(Phase.DOT))
            with pytest.raises(SessionError) as caught:
                await session.send(ENVELOPE, LARGE[:200_000], go)
            assert caught.value.failure.phase is Phase.DOT
            over.set()

    run(scenario())


def test_a_failed_handshake_leaves_nothing_open(run: Runner, tmp_path: Path) -> None:
    """A certificate of another authority; the peer sees the end of the connection."""

    async def scenario() -> None:
        async def script(talk: Talk) -> None:
            await talk.say(b"220 peer ready\r\n")
            await talk.ask(PLAIN)
            with pytest.raises(OSError):
                await talk.tls()

        async with AsyncExitStack() as stack:
            ways = Ways(tmp_path, stack)
            peer = await ways.peer(script)
            Peer(script, tmp_path)  # another authority takes the place of the file
            with pytest.raises(SessionError) as caught:
                await ways.session(peer)
            assert caught.value.failure.kind is FailureKind.CERTIFICATE
            async with asyncio.timeout(5):
                await peer.done()

    run(scenario())
