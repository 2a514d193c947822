"""One connection's octets: lines and content in, replies out, TLS, and every way a connection can end.

Knows no SMTP verb. Replies are collected with `say` and leave together with `flush` (RFC 2920 §3.2).
Only CRLF ends a line and only CRLF.CRLF ends content (RFC 5321 §2.3.8, §4.1.1.4).
"""

import asyncio
import math
import os
import socket
import ssl
import struct
from typing import cast

from app.simulator.failure import ConnectionLostError, LineTooLongError

HIGH_WATER_BYTES = 1024 * 1024  # octets waiting to be read, beyond which the client is made to wait
LINE_LIMIT = 16 * 1024  # RFC 4954 §4 asks for 12,288 with AUTH
SMALL = 256 * 1024  # octets the kernel keeps for a slow reader; much less, and TCP stalls on loopback's segments
FAREWELL = 1.0  # seconds a peer gets to close its side after our FIN
END = b"\r\n.\r\n"
NO_SUCH_VERSION = bytes((21, 3, 1, 0, 2, 2, 70))  # the fatal alert protocol_version (RFC 5246 §7.2)


class SmtpConnection(asyncio.Protocol):
    """The transport, with a buffer in front of it. Times are the event loop's seconds.

    Whatever waits for the client raises Lost when the connection is gone, and TimeoutError when nothing came for
    `idle` seconds or when `ends_at` is reached.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_timeout = math.inf
        self.deadline = math.inf
        self.turns = 0
        self.read_rate: float | None = None  # octets a second; 0: nothing more is read
        self.write_rate: float | None = None
        self.closed = self.loop.create_future()  # done when the connection is
        self._in = bytearray()
        self._out = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._rested_at = -math.inf  # until when a slow reader rests
        self._deaf = False
        self._spoke = True
        self._closing = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, or secured."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets came in."""
        if self._deaf:
            return
        if self._spoke:
            self._spoke = False
            self.turns += 1
        self._in += data
        self._wake()
        if self.read_rate is not None:
            self._rest(len(data), self.read_rate)
        elif self._waiter is None and len(self._in) > HIGH_WATER_BYTES:
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. What came before it can still be read."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable.set()

    # In.

    async def read_line(self) -> bytes:
        """The next line without its CRLF. Raises Lost, LineTooLong, TimeoutError."""
        if self._closing:
            raise ConnectionLostError
        searched = 0
        while (end := self._in.find(b"\r\n", searched)) < 0:
            if len(self._in) > LINE_LIMIT:
                raise LineTooLongError
            searched = max(0, len(self._in) - 1)
            await self.wait_for_data()
        return self._take(end, 2)

    @property
    def has_line(self) -> bool:
        """True if a whole line waits to be read."""
        return b"\r\n" in self._in

    async def read_content(self, limit: int) -> tuple[bytes, int]:
        """Everything up to CRLF.CRLF as sent, with its last CRLF and without the dot, and its size in octets.

        Of content beyond `limit` octets only the size is kept. Raises Lost, TimeoutError.
        """
        if self._in[:3] == b".\r\n" or (len(self._in) < 3 and await self._empty()):
            self._take(0, 3)
            return b"", 0
        searched = dropped = 0
        while (end := self._in.find(END, searched)) < 0:
            if len(self._in) > limit:
                dropped += len(self._in) - 4
                del self._in[:-4]
            searched = max(0, len(self._in) - 4)
            await self.wait_for_data()
        size = dropped + end + 2
        content = self._take(end + 2, 3)
        return (b"" if dropped else content), size

    async def wait_for_bytes(self, octets: int) -> bool:
        """True once so many octets of content wait to be read; False if it ends before. Raises Lost, TimeoutError."""
        while len(self._in) < octets:
            if END in self._in or self._in.startswith(b".\r\n"):
                return False
            await self.wait_for_data()
        return True

    async def read_bytes(self, count: int) -> bytes:
        """Exactly so many octets (RFC 3030). Raises Lost, TimeoutError."""
        while len(self._in) < count:
            await self.wait_for_data()
        return self._take(count, 0)

    async def wait_for_data(self, within: float = math.inf) -> None:
        """Until further octets are there, or `within` seconds. Raises Lost, TimeoutError."""
        if self.closed.done() or self._closing:
            raise ConnectionLostError
        if self.read_rate is None:
            self._resume()
        size = len(self._in)
        self._waiter = self.loop.create_future()
        late = self.loop.call_at(min(self.loop.time() + min(self.idle_timeout, within), self.deadline), self._wake)
        try:
            await self._waiter
        finally:
            late.cancel()
            self._waiter = None
        if len(self._in) == size:
            raise ConnectionLostError if self.closed.done() or self._closing else TimeoutError

    async def _empty(self) -> bool:
        while len(self._in) < 3:
            await self.wait_for_data()
        return self._in[:3] == b".\r\n"

    def _take(self, count: int, ending: int) -> bytes:
        taken = bytes(self._in[:count])
        del self._in[: count + ending]
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _rest(self, octets: int, rate: float) -> None:
        """Read on only when so many octets would have come at that rate."""
        self._pause()
        if rate:
            self._rested_at = max(self._rested_at, self.loop.time()) + octets / rate
            self.loop.call_at(self._rested_at, self._resume)

    def _pause(self) -> None:
        if self._transport is not None and not self._paused and not self.closed.done():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and self._paused and not self.closed.done():
            self._paused = False
            self._transport.resume_reading()

    # Out.

    def write(self, octets: bytes) -> None:
        """Put it with what is to be written."""
        self._out += octets

    async def flush(self) -> None:
        """Write what was said. Nothing is raised if nobody is there to read it."""
        if not self._out or self._transport is None or self.closed.done() or self._closing:
            self._out.clear()
            return
        octets = bytes(self._out)
        self._out.clear()
        self._spoke = True
        if self.write_rate is not None:
            await self._drip(octets, self.write_rate)
        else:
            self._transport.write(octets)
            if not self._writable.is_set():
                await self._writable.wait()

    async def _drip(self, octets: bytes, rate: float) -> None:
        for octet in octets:
            await asyncio.sleep(1 / rate)
            if self._transport is None or self.closed.done():
                return
            self._transport.write(bytes((octet,)))

    # TLS.

    def pause_reading(self) -> None:
        """Read nothing until TLS has taken over: the client's handshake must not be taken for SMTP."""
        self._pause()

    def clear_input(self) -> None:
        """Forget what was read but not used: a client must not smuggle commands in before TLS (RFC 3207 §4.2)."""
        self._in.clear()

    async def wait_for_client_hello(self) -> None:
        """Until the client's first octets of TLS are there, without reading them. Raises Lost, TimeoutError."""
        begun = self._waiter = self.loop.create_future()
        with self._socket() as spare:
            self.loop.add_reader(spare.fileno(), self._wake)
            try:
                async with asyncio.timeout_at(min(self.loop.time() + self.idle_timeout, self.deadline)):
                    await begun
            finally:
                self.loop.remove_reader(spare.fileno())
                self._waiter = None

    async def start_tls(self, context: ssl.SSLContext) -> str:
        """Take the server's part in the handshake and return the version agreed on. Raises Lost."""
        if self._transport is None or self.closed.done():
            raise ConnectionLostError
        self._paused = False
        with self._socket() as spare:
            try:
                secured = await self.loop.start_tls(
                    self._transport, self, context, server_side=True, ssl_shutdown_timeout=1.0
                )
            except OSError as error:
                if getattr(error, "reason", None) == "UNSUPPORTED_PROTOCOL":
                    spare.send(NO_SUCH_VERSION)  # the event loop closes its socket before OpenSSL's own alert has left
                raise ConnectionLostError from error
            finally:
                if self._transport.is_closing():
                    self.connection_lost(None)  # the event loop tells nobody when a handshake failed
        if secured is None:
            raise ConnectionLostError
        self._transport = secured
        version: str = secured.get_extra_info("ssl_object").version()
        return version

    # The ways to end.

    async def close(self) -> None:
        """In good order: what was said is written, TLS is shut down, then FIN."""
        await self.flush()
        if self._transport is not None:
            self._transport.close()
        self._closing = True

    async def drop(self) -> None:
        """FIN at once after what was said, without a TLS shutdown.

        What the client still sends is taken and forgotten, so that no RST overtakes the last reply.
        """
        await self.flush()
        self._closing = True
        if self._transport is None or self.closed.done():
            return
        self.discard_input()
        with self._socket() as sock:
            sock.shutdown(socket.SHUT_WR)
        self.loop.call_later(FAREWELL, self._transport.abort)

    def reset(self) -> None:
        """RST at once."""
        self._closing = True
        if self._transport is None or self.closed.done():
            return
        with self._socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def discard_input(self) -> None:
        """Take whatever comes and forget it, so that the end of the connection is still noticed."""
        self._deaf = True
        self._in.clear()
        self.read_rate = None
        self._resume()

    def limit_read_rate(self, rate: float) -> None:
        """Read so many octets a second from here on, and let the kernel keep little, so that the client feels it."""
        self.read_rate = rate
        if self._transport is None or self.closed.done():
            return
        with self._socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        if rate == 0:
            self._pause()
        else:
            self._resume()

    def abort(self) -> None:
        """Let go without a word."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _socket(self) -> socket.socket:
        """The same socket under a second descriptor: event loops hand out theirs with few methods."""
        if self._transport is None or self.closed.done():
            raise ConnectionLostError
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    @property
    def peer(self) -> str:
        """The client's address."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else "127.0.0.1"
