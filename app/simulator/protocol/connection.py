"""Server side of one TCP connection: read lines and content, write replies, start TLS, close.

Replies are buffered with `write` and sent together with `flush` (RFC 2920 §3.2).
Only CRLF ends a line and only CRLF.CRLF ends content (RFC 5321 §2.3.8, §4.1.1.4).
"""

import asyncio
import math
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

HIGH_WATER_BYTES = 1024 * 1024  # buffered input above which reading pauses
MAX_LINE_BYTES = 16 * 1024  # at least 12,288 for AUTH (RFC 4954 §4)
SLOW_READ_BUFFER_BYTES = 256 * 1024  # of the kernel; a much smaller buffer stalls TCP on loopback
CLOSE_TIMEOUT = 1.0  # seconds for the client to close after our FIN
END = b"\r\n.\r\n"
PROTOCOL_VERSION_ALERT = bytes((21, 3, 1, 0, 2, 2, 70))  # fatal (RFC 5246 §7.2)


class DisconnectedError(Exception):
    """Connection closed by either side."""


class LineTooLongError(Exception):
    """Command line of more than MAX_LINE_BYTES bytes."""


class SmtpConnection(asyncio.Protocol):
    """Buffered connection of one client. Times are seconds of the event loop.

    Methods that wait for the client raise DisconnectedError when the connection is closed, and TimeoutError when no
    data arrived for `idle_timeout` seconds or when `deadline` is reached. `on_connect` starts its session.
    """

    def __init__(self, on_connect: "Callable[[SmtpConnection], None]") -> None:
        self._on_connect = on_connect
        self.loop = asyncio.get_running_loop()
        self.idle_timeout = math.inf
        self.deadline = math.inf
        self.turns = 0  # round trips: input after a reply
        self.read_rate: float | None = None  # bytes per second; 0: reading stops
        self.write_rate: float | None = None
        self.closed = self.loop.create_future()  # done when the connection is closed
        self._in = bytearray()
        self._out = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._read_again_at = -math.inf  # for a limited read rate
        self._discard_input = False
        self._replied = True
        self._closing = False

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport and start the session."""
        self._transport = cast("asyncio.Transport", transport)
        self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        """Buffer received bytes."""
        if self._discard_input:
            return
        if self._replied:
            self._replied = False
            self.turns += 1
        self._in += data
        self._wake()
        if self.read_rate is not None:
            self._pause_for(len(data), self.read_rate)
        elif self._waiter is None and len(self._in) > HIGH_WATER_BYTES:
            self._pause()

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark the connection as closed. Buffered input can still be read."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Block `flush`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Unblock `flush`."""
        self._writable.set()

    # Input.

    async def read_line(self) -> bytes:
        """Return the next line without CRLF. Raises DisconnectedError, LineTooLongError, TimeoutError."""
        if self._closing:
            raise DisconnectedError
        searched = 0
        while (end := self._in.find(b"\r\n", searched)) < 0:
            if len(self._in) > MAX_LINE_BYTES:
                raise LineTooLongError
            searched = max(0, len(self._in) - 1)
            await self.wait_for_data()
        return self._take(end, 2)

    @property
    def has_line(self) -> bool:
        """True if a complete line is buffered."""
        return b"\r\n" in self._in

    async def read_content(self, limit: int) -> tuple[bytes, int]:
        """Return the content before CRLF.CRLF, including its last CRLF, and its size in bytes.

        Content of more than `limit` bytes is discarded: b"" and its size are returned.
        Raises DisconnectedError, TimeoutError.
        """
        if self._in[:3] == b".\r\n" or (len(self._in) < 3 and await self._is_empty_content()):
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

    async def wait_for_bytes(self, count: int) -> bool:
        """Return True when `count` bytes of content are buffered, False if it ends before."""
        while len(self._in) < count:
            if END in self._in or self._in.startswith(b".\r\n"):
                return False
            await self.wait_for_data()
        return True

    async def read_bytes(self, count: int) -> bytes:
        """Return exactly `count` bytes (RFC 3030). Raises DisconnectedError, TimeoutError."""
        while len(self._in) < count:
            await self.wait_for_data()
        return self._take(count, 0)

    async def wait_for_data(self, within: float = math.inf) -> None:
        """Wait for further input, at most `within` seconds. Raises DisconnectedError, TimeoutError."""
        if self.closed.done() or self._closing:
            raise DisconnectedError
        if self.read_rate is None:
            self._resume()
        size = len(self._in)
        self._waiter = self.loop.create_future()
        timer = self.loop.call_at(min(self.loop.time() + min(self.idle_timeout, within), self.deadline), self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        if len(self._in) == size:
            raise DisconnectedError if self.closed.done() or self._closing else TimeoutError

    async def _is_empty_content(self) -> bool:
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

    def _pause_for(self, size: int, rate: float) -> None:
        """Pause reading for the time that `size` bytes take at `rate`."""
        self._pause()
        if rate:
            self._read_again_at = max(self._read_again_at, self.loop.time()) + size / rate
            self.loop.call_at(self._read_again_at, self._resume)

    def _pause(self) -> None:
        if self._transport is not None and not self._paused and not self.closed.done():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and self._paused and not self.closed.done():
            self._paused = False
            self._transport.resume_reading()

    # Output.

    def write(self, data: bytes) -> None:
        """Append to the output buffer."""
        self._out += data

    async def flush(self) -> None:
        """Send the output buffer. On a closed connection, discard it."""
        if not self._out or self._transport is None or self.closed.done() or self._closing:
            self._out.clear()
            return
        data = bytes(self._out)
        self._out.clear()
        self._replied = True
        if self.write_rate is not None:
            await self._write_slowly(data, self.write_rate)
        else:
            self._transport.write(data)
            if not self._writable.is_set():
                await self._writable.wait()

    async def _write_slowly(self, data: bytes, rate: float) -> None:
        for byte in data:
            await asyncio.sleep(1 / rate)
            if self._transport is None or self.closed.done():
                return
            self._transport.write(bytes((byte,)))

    # TLS.

    def pause_reading(self) -> None:
        """Stop reading until TLS starts, so that the ClientHello is not read as SMTP."""
        self._pause()

    def clear_input(self) -> None:
        """Discard buffered input: commands before TLS must not be run after it (RFC 3207 §4.2)."""
        self._in.clear()

    async def wait_for_client_hello(self) -> None:
        """Wait for the ClientHello without reading it. Raises DisconnectedError, TimeoutError."""
        readable = self._waiter = self.loop.create_future()
        with self._socket() as duplicate:
            self.loop.add_reader(duplicate.fileno(), self._wake)
            try:
                async with asyncio.timeout_at(min(self.loop.time() + self.idle_timeout, self.deadline)):
                    await readable
            finally:
                self.loop.remove_reader(duplicate.fileno())
                self._waiter = None

    async def start_tls(self, context: ssl.SSLContext) -> str:
        """Run the TLS handshake as the server and return the TLS version. Raises DisconnectedError."""
        if self._transport is None or self.closed.done():
            raise DisconnectedError
        self._paused = False
        with self._socket() as duplicate:
            try:
                tls_transport = await self.loop.start_tls(
                    self._transport, self, context, server_side=True, ssl_shutdown_timeout=1.0
                )
            except OSError as error:
                if getattr(error, "reason", None) == "UNSUPPORTED_PROTOCOL":
                    duplicate.send(PROTOCOL_VERSION_ALERT)  # the loop closes the socket before OpenSSL's alert is sent
                raise DisconnectedError from error
            finally:
                if self._transport.is_closing():
                    self.connection_lost(None)  # the event loop does not call it after a failed handshake
        if tls_transport is None:
            raise DisconnectedError
        self._transport = tls_transport
        version: str = tls_transport.get_extra_info("ssl_object").version()
        return version

    # Closing.

    async def close(self) -> None:
        """Send the output buffer, shut down TLS, then FIN."""
        await self.flush()
        if self._transport is not None:
            self._transport.close()
        self._closing = True

    async def drop(self) -> None:
        """Send the output buffer, then FIN without a TLS shutdown.

        Further input is discarded, so that no RST overtakes the last reply.
        """
        await self.flush()
        self._closing = True
        if self._transport is None or self.closed.done():
            return
        self.discard_input()
        with self._socket() as sock:
            sock.shutdown(socket.SHUT_WR)
        self.loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def reset(self) -> None:
        """Close with RST immediately."""
        self._closing = True
        if self._transport is None or self.closed.done():
            return
        with self._socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def discard_input(self) -> None:
        """Discard all further input. The end of the connection is still detected."""
        self._discard_input = True
        self._in.clear()
        self.read_rate = None
        self._resume()

    def limit_read_rate(self, rate: float) -> None:
        """Read `rate` bytes per second from now on, with a small kernel buffer, so that the client's writes block."""
        self.read_rate = rate
        if self._transport is None or self.closed.done():
            return
        with self._socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_READ_BUFFER_BYTES)
        if rate == 0:
            self._pause()
        else:
            self._resume()

    def abort(self) -> None:
        """Abort the connection."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _socket(self) -> socket.socket:
        """Return a duplicate of the socket, because the sockets of event loops lack most methods."""
        if self._transport is None or self.closed.done():
            raise DisconnectedError
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    @property
    def peer(self) -> str:
        """Address of the client."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else "127.0.0.1"
