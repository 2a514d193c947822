"""Takeover of aiosmtplib's transport, on asyncio's and on uvloop's TLS transports.

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
from app.smtp.failure import SessionError
from app.smtp.handshake import ServerInfo, Session, greet
from tests.smtp.conftest import CONTENT, ENVELOPE, HEADER, Connections, allow_dot, short_timeout
from tests.smtp.scripted_server import GO_AHEAD, PLAIN, SECURE, ScriptedConnection, ScriptedServer
from tests.waiting import WAIT_TIMEOUT, until

OK = b"250 ok\r\n250 ok\r\n"
LARGE = HEADER + (b"x" * 76 + b"\r\n") * 60_000
Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Run a scenario on its own loop."""
    runner: Runner = request.param
    return runner


async def opened(
    stack: AsyncExitStack, folder: Path, script: Callable[[ScriptedConnection], Any], **options: Any
) -> Session:
    """Open a session with a server that runs `script` after the login."""

    async def whole(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await script(connection)

    connections = Connections(folder, stack)
    timeouts = options.pop("timeouts", None)
    return await connections.logged_in(await connections.scripted_server(whole, **options), timeouts)


async def until_dead(session: Session) -> None:
    """Wait until the session has detected the end of the connection."""
    await until(lambda: not session.reusable)


def test_the_transport_has_no_other_protocol(run: Runner, tmp_path: Path) -> None:
    """aiosmtplib's objects are garbage collected, and the session works on."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.accept_message()
            await connection.accept_message()
            await connection.reply(b"221 bye\r\n")

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script)
            channel = session.channel
            assert channel.transport.get_protocol() is channel
            assert channel.listener is None
            gc.collect()
            for _ in range(2):
                attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
                assert attempt.reply is not None
                assert attempt.reply.positive
            await session.quit()

    run(scenario())


@pytest.mark.parametrize("end", ["close", "reset", "421"])
def test_a_disconnect_ends_an_idle_session(run: Runner, tmp_path: Path, end: str) -> None:
    """FIN, RST and an unsolicited 421; nothing is logged or warned."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.accept_message()
            if end == "421":
                await connection.write(b"421 4.4.1 Connection timed out\r\n")
            getattr(connection, "close" if end == "421" else end)()

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script)
            await session.send(ENVELOPE, CONTENT, allow_dot)
            await until_dead(session)
            if end == "421":
                attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
                assert attempt.reply is not None
                assert (attempt.phase, attempt.reply.code) == (Phase.MAIL, 421)
            else:
                with pytest.raises(SessionError) as caught:
                    await session.send(ENVELOPE, CONTENT, allow_dot)
                assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CLOSED)

    run(scenario())


def test_last_reply_and_end_in_one_segment(run: Runner, tmp_path: Path) -> None:
    """A greeting that contains all replies of the handshake is refused."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.write(b"220 server ready\r\n")
            await connection.reply(PLAIN)
            await connection.tls()
            await connection.reply(SECURE)
            connection.close_tls()

        async with AsyncExitStack() as stack:
            connections = Connections(tmp_path, stack)
            greeted = await greet(connections.upstream_to(await connections.scripted_server(script)))
            assert isinstance(greeted, ServerInfo)
            assert greeted.tls.certificate
            assert greeted.extensions["AUTH"] == "LOGIN XOAUTH2"

    run(scenario())


@pytest.mark.parametrize("leftover", [b"421 4.3.2 Service not active\r\n", b"421 4.3.2 Serv", b"421-4.3.2 wait\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_the_login_are_not_lost(run: Runner, tmp_path: Path, leftover: bytes, together: bool) -> None:
    """Whole replies and parts, in the segment of the 235 or in the next."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.write(b"220 server ready\r\n")
            await connection.reply(PLAIN)
            await connection.tls()
            await connection.reply(SECURE)
            await connection.reply(b"334 UGFzc3dvcmQ6\r\n")
            await connection.reply(b"235 2.7.0 ok\r\n" + (leftover if together else b""))
            if not together:
                await connection.write(leftover)
            await connection.read_all()

        async with AsyncExitStack() as stack:
            connections = Connections(tmp_path, stack)
            session = await connections.logged_in(await connections.scripted_server(script))
            await until_dead(session)
            if leftover.endswith(b"active\r\n"):
                attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
                assert attempt.reply is not None
                assert (attempt.phase, attempt.reply.code) == (Phase.MAIL, 421)

    run(scenario())


def test_writing_pauses_while_the_server_does_not_read(run: Runner, tmp_path: Path) -> None:
    """And resumes when it does."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.read_until(b"DATA\r\n")
            connection.write_and_stop_reading(OK + GO_AHEAD)
            await until(lambda: session.channel.paused)
            connection.resume_reading()
            await connection.reply(b"250 2.0.0 OK\r\n", b"\r\n.\r\n")

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script, receive_buffer=16_384)
            attempt = await session.send(ENVELOPE, LARGE, allow_dot)
            assert attempt.reply is not None
            assert attempt.reply.positive
            assert session.reusable

    run(scenario())


def test_nothing_is_sent_after_an_abort(run: Runner, tmp_path: Path) -> None:
    """Neither the loop's nor the kernel's buffers deliver an aborted final dot."""

    async def scenario() -> None:
        over = asyncio.Event()

        async def script(connection: ScriptedConnection) -> None:
            await connection.read_until(b"DATA\r\n")
            connection.write_and_stop_reading(OK + GO_AHEAD)
            await over.wait()
            connection.resume_reading()
            assert b"\r\n.\r\n" not in await connection.read_all()

        async with AsyncExitStack() as stack:
            session = await opened(stack, tmp_path, script, receive_buffer=4096, timeouts=short_timeout(Phase.DOT))
            with pytest.raises(SessionError) as caught:
                await session.send(ENVELOPE, LARGE[:200_000], allow_dot)
            assert caught.value.failure.phase is Phase.DOT
            over.set()

    run(scenario())


def test_a_failed_handshake_closes_the_connection(run: Runner, tmp_path: Path) -> None:
    """With a certificate of another authority."""

    async def scenario() -> None:
        async def script(connection: ScriptedConnection) -> None:
            await connection.write(b"220 server ready\r\n")
            await connection.reply(PLAIN)
            with pytest.raises(OSError):
                await connection.tls()

        async with AsyncExitStack() as stack:
            connections = Connections(tmp_path, stack)
            server = await connections.scripted_server(script)
            ScriptedServer(script, tmp_path)  # another authority takes the place of the file
            with pytest.raises(SessionError) as caught:
                await connections.logged_in(server)
            assert caught.value.failure.kind is FailureKind.CERTIFICATE
            async with asyncio.timeout(WAIT_TIMEOUT):
                await server.done()

    run(scenario())
