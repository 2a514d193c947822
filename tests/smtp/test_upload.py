"""Content and final dot: conditions under which the dot is sent."""

import asyncio
import tracemalloc

import pytest

from app.mail.outcome.attempt import FailureKind, Phase
from app.smtp.failure import SessionError
from app.smtp.handshake import Session
from tests.smtp.conftest import CONTENT, ENVELOPE, HEADER, Connections, allow_dot, short_timeout
from tests.smtp.scripted_server import GO_AHEAD, ScriptedConnection
from tests.waiting import until

OK = b"250 ok\r\n250 ok\r\n"
NO_DOT = b"\r\n.\r\n"
LARGE = HEADER + (b"x" * 76 + b"\r\n") * 100_000
PIECES = HEADER + (b"x" * 76 + b"\r\n") * 3_000  # more than one write, less than the buffers


class Phases:
    """`before_dot` that records the phase of the session."""

    def __init__(self, answer: bool = True) -> None:
        self.session: Session | None = None
        self.seen: list[Phase] = []
        self.reached = asyncio.Event()
        self._answer = answer

    async def __call__(self) -> bool:
        assert self.session is not None
        self.seen.append(self.session.phase)
        self.reached.set()
        return self._answer


@pytest.mark.parametrize("content", [CONTENT, PIECES], ids=["one write", "many"])
async def test_the_dot_is_sent_after_before_dot(connections: Connections, content: bytes) -> None:
    """`before_dot` is called once, at CONTENT, before the final dot is sent; then the phase is DOT."""
    asked = Phases()

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD, b"DATA\r\n")
        await asked.reached.wait()
        assert NO_DOT not in connection.received
        await connection.reply(b"250 2.0.0 OK\r\n", NO_DOT)

    server = await connections.scripted_server(script)
    asked.session = session = await connections.logged_in(server)
    await session.send(ENVELOPE, content, asked)
    assert asked.seen == [Phase.CONTENT]
    assert session.phase is Phase.DOT
    assert server.connections[0].received.endswith(content + b".\r\n")


@pytest.mark.parametrize("content", [CONTENT, PIECES], ids=["one write", "many"])
async def test_a_forbidden_dot_is_not_sent(connections: Connections, content: bytes) -> None:
    """The message was not sent, without doubt."""
    asked = Phases(answer=False)

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD, b"DATA\r\n")
        assert NO_DOT not in await connection.read_all()

    server = await connections.scripted_server(script)
    asked.session = session = await connections.logged_in(server)
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, content, asked)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONTENT, FailureKind.STOPPED)
    await server.done()


@pytest.mark.parametrize("content", [CONTENT, PIECES], ids=["one write", "many"])
@pytest.mark.parametrize("reply", [b"552 5.3.4 Too large\r\n", b"421 4.3.2 Service not active\r\n"])
async def test_a_refusal_before_the_dot_is_the_reply(connections: Connections, content: bytes, reply: bytes) -> None:
    """At CONTENT; the dot is not sent, though it was marked."""
    said = asyncio.Event()

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD + reply, b"DATA\r\n")
        said.set()
        assert NO_DOT not in await connection.read_all()

    async def slow() -> bool:
        await said.wait()
        await until(lambda: not session.open)
        return True

    server = await connections.scripted_server(script)
    session = await connections.logged_in(server)
    attempt = await session.send(ENVELOPE, content, slow)
    assert attempt.reply is not None
    assert (attempt.phase, attempt.reply.code) == (Phase.CONTENT, int(reply[:3]))
    assert not session.open
    await server.done()


async def test_a_refusal_during_the_upload_stops_it(connections: Connections) -> None:

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD, b"DATA\r\n")
        await connection.read(4096)
        await connection.write(b"554 5.3.4 Enough\r\n")
        await connection.read_all()

    server = await connections.scripted_server(script, receive_buffer=16_384)
    asked = Phases()
    asked.session = session = await connections.logged_in(server)
    attempt = await session.send(ENVELOPE, LARGE, asked)
    assert attempt.reply is not None
    assert (attempt.phase, attempt.reply.code) == (Phase.CONTENT, 554)
    assert asked.seen == []
    await server.done()
    assert len(server.connections[0].received) < len(LARGE) // 2


async def test_a_250_before_the_dot_is_no_reply_to_it(connections: Connections) -> None:

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD + b"250 2.0.0 OK\r\n", b"DATA\r\n")
        assert NO_DOT not in await connection.read_all()

    async def slow() -> bool:
        await until(lambda: not session.open)
        return True

    server = await connections.scripted_server(script)
    session = await connections.logged_in(server)
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, CONTENT, slow)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONTENT, FailureKind.PROTOCOL)
    await server.done()


async def test_nothing_is_sent_after_a_timeout(connections: Connections) -> None:
    """Neither our buffer nor the kernel's delivers the written dot afterwards."""
    over = asyncio.Event()

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.read_until(b"DATA\r\n")
        connection.write_and_stop_reading(OK + GO_AHEAD)
        await over.wait()
        connection.resume_reading()
        assert NO_DOT not in await connection.read_all()

    server = await connections.scripted_server(script, receive_buffer=4096)
    session = await connections.logged_in(server, short_timeout(Phase.DOT))
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, PIECES, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.DOT, FailureKind.TIMEOUT)
    assert caught.value.failure.in_doubt
    over.set()
    await server.done()


@pytest.mark.parametrize("at", ["content", "dot"])
async def test_nothing_is_sent_after_a_cancelled_send(connections: Connections, at: str) -> None:
    """During the upload, and while the reply is awaited."""
    over, asked = asyncio.Event(), Phases()

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.read_until(b"DATA\r\n")
        connection.write_and_stop_reading(OK + GO_AHEAD)
        await over.wait()
        connection.resume_reading()
        assert NO_DOT not in await connection.read_all()

    server = await connections.scripted_server(script, receive_buffer=4096)
    asked.session = session = await connections.logged_in(server)
    sending = asyncio.create_task(session.send(ENVELOPE, PIECES if at == "dot" else LARGE, asked))
    await until(lambda: session.phase is (Phase.DOT if at == "dot" else Phase.CONTENT))
    await until(lambda: at == "dot" or session.channel.paused)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not session.open
    over.set()
    await server.done()


async def test_a_stalled_upload_fails_at_content(connections: Connections) -> None:
    """Certainly not sent."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.read_until(b"DATA\r\n")
        connection.write_and_stop_reading(OK + GO_AHEAD)

    server = await connections.scripted_server(script, receive_buffer=4096)
    session = await connections.logged_in(server, short_timeout(Phase.CONTENT))
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, LARGE, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONTENT, FailureKind.TIMEOUT)
    server.connections[0].resume_reading()


async def test_a_slow_reader_keeps_the_buffers_small(connections: Connections) -> None:
    """8 MB of content are not copied."""
    most = 0

    async def script(connection: ScriptedConnection) -> None:
        nonlocal most
        await connection.accept_login()
        await connection.reply(OK + GO_AHEAD, b"DATA\r\n")
        tail = b""
        while not tail.endswith(NO_DOT):
            tail = (tail + await connection.read(16_384))[-5:]
            most = max(most, session.channel.transport.get_write_buffer_size())
        await connection.write(b"250 2.0.0 OK\r\n")

    server = await connections.scripted_server(script, receive_buffer=16_384, limit=16_384)
    session = await connections.logged_in(server)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await session.send(ENVELOPE, LARGE, allow_dot)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2_000_000
    assert 0 < most < 500_000
