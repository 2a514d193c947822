"""SMTP server with scripted bytes, for replies that the simulator does not send."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import trustme

from tests.waiting import WAIT_TIMEOUT

EHLO = b"250-server Hello\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
PLAIN = EHLO + b"250 STARTTLS\r\n"
SECURE = EHLO + b"250-AUTH LOGIN XOAUTH2\r\n250 SMTPUTF8\r\n"
GO_AHEAD = b"354 Start mail input; end with <CRLF>.<CRLF>\r\n"
_LIMIT = 2**24  # bytes received at once


class ScriptedConnection:
    """Connection of a scripted server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.received = bytearray()  # all that came, since TLS began
        self._reader, self._writer, self._context = reader, writer, context
        self._raw = cast("asyncio.Transport", writer.transport)  # TCP, beneath TLS

    async def write(self, data: bytes) -> None:
        """Write the bytes."""
        self._writer.write(data)
        await self._writer.drain()

    def write_and_stop_reading(self, data: bytes) -> None:
        """Write the bytes, then stop reading from TCP."""
        self._writer.write(data)
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read from TCP again."""
        if not self._raw.is_closing():
            self._raw.resume_reading()

    async def read(self, size: int) -> bytes:
        """Read at most `size` bytes without recording them; b"" at the end."""
        async with asyncio.timeout(WAIT_TIMEOUT):
            return await self._reader.read(size)

    async def read_until(self, until: bytes = b"\r\n") -> bytes:
        """Read up to and including `until`."""
        async with asyncio.timeout(WAIT_TIMEOUT):
            heard = await self._reader.readuntil(until)
        self.received += heard
        return heard

    async def reply(self, reply: bytes, until: bytes = b"\r\n") -> bytes:
        """Read up to `until`, then write the reply."""
        heard = await self.read_until(until)
        await self.write(reply)
        return heard

    async def read_all(self) -> bytes:
        """Read until the connection ends."""
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                while data := await self._reader.read(65536):
                    self.received += data
        except ConnectionError:
            pass
        return bytes(self.received)

    async def tls(self, go_ahead: bytes = b"220 2.0.0 SMTP server ready\r\n") -> None:
        """Reply to STARTTLS and run the TLS handshake."""
        await self.reply(go_ahead)
        await self.start_tls()

    async def start_tls(self) -> None:
        """Run the TLS handshake."""
        self.received.clear()
        await self._writer.start_tls(self._context)

    async def accept_login(self, secure: bytes = SECURE) -> None:
        """Run the handshake up to a successful login."""
        await self.write(b"220 server ready\r\n")
        await self.reply(PLAIN)
        await self.tls()
        await self.reply(secure)
        await self.reply(b"334 UGFzc3dvcmQ6\r\n")
        await self.reply(b"235 2.7.0 Authentication successful\r\n")

    async def accept_message(
        self, reply: bytes = b"250 2.0.0 OK\r\n", replies: bytes = b"250 ok\r\n250 ok\r\n"
    ) -> bytes:
        """Accept one pipelined transaction; return the content with the final dot."""
        await self.reply(replies + GO_AHEAD, b"DATA\r\n")
        return await self.reply(reply, b"\r\n.\r\n")

    def reset(self) -> None:
        """Close with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close_tls(self) -> None:
        """Close with a TLS shutdown."""
        self._writer.close()

    def close(self) -> None:
        """Close with FIN."""
        self._writer.transport.abort()


Script = Callable[[ScriptedConnection], Awaitable[None]]


class ScriptedServer:
    """Scripted server on loopback. A failed script fails the test."""

    def __init__(self, script: Script, folder: Path, receive_buffer: int | None = None, limit: int = _LIMIT) -> None:
        self.port = 0
        self.connections: list[ScriptedConnection] = []
        self.ca_file = folder / "server-ca.pem"
        self._script = script
        self._tasks: list[asyncio.Task[None]] = []
        self._receive_buffer = receive_buffer
        self._limit = limit
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=self._limit)
        self.port = sock.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.close()
        await asyncio.sleep(0)
        if kind is None:
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome

    async def done(self) -> None:
        """Wait until all started scripts have ended."""
        await asyncio.gather(*self._tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ScriptedConnection(reader, writer, self._context)
        self.connections.append(connection)
        self._tasks.append(asyncio.ensure_future(self._play(connection)))

    async def _play(self, connection: ScriptedConnection) -> None:
        try:
            await self._script(connection)
        except BaseException:
            connection.close()
            raise
