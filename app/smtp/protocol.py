"""SMTP replies and writes on an open transport: parser (RFC 5321 §4.2), channel with flow control, and timeouts.

A lost channel stays lost; replies received before the loss can still be read.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from dataclasses import dataclass

from app.mail.outcome.attempt import FailureKind, Reply
from app.smtp.failure import ConnectionLostError, ProtocolError

MAX_LINE_BYTES = 8 * 1024  # RFC 5321 §4.5.3.1.5 says 512, but diagnostics of Exchange are longer
MAX_REPLY_BYTES = 64 * 1024
MAX_REPLY_LINES = 100
_CACHED_REPLIES = 16
_READ_BUFFER_BYTES = 16 * 1024
_LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds (RFC 5321 §4.5.3.2, shorter where Exchange Online replies fast), each for one reply.

    `connect` is for one address, `stall` for a full send buffer.
    """

    connect: float = 15.0
    greeting: float = 30.0
    ehlo: float = 30.0
    starttls: float = 30.0  # the reply and the handshake
    auth: float = 60.0  # Exchange delays the reply to a rejected login by about 5 s
    mail: float = 60.0
    rcpt: float = 60.0
    data: float = 120.0
    stall: float = 180.0
    dot: float = 600.0  # RFC 5321 §4.5.3.2.6; a shorter timeout causes duplicates
    min_upload_rate: float = 50_000.0  # bytes per second; data in kernel buffers delays the reply
    quit: float = 5.0

    def final_reply(self, size: int) -> float:
        """Return the timeout of the reply to the final dot for `size` bytes of content."""
        return self.dot + size / self.min_upload_rate


class ReplyParser:
    """Parser of RFC 5321 §4.2 replies from a stream of bytes into `replies`. Line ends are CRLF or LF."""

    __slots__ = ("_cached", "_code", "_lines", "_partial", "_size", "replies")

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self._partial = b""
        self._code = b""
        self._lines: list[str] = []
        self._size = 0
        self._cached: dict[bytes, Reply] = {}  # cache: a server sends the same few replies for every message

    @property
    def incomplete(self) -> bool:
        """True if a reply has started but not ended."""
        return bool(self._partial or self._lines)

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Raises ProtocolError; complete replies before the error stay available."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r"))
        if len(self._partial) > MAX_LINE_BYTES:
            raise ProtocolError("The server sent a line that is too long for SMTP.")

    def _line(self, line: bytes) -> None:
        if not self._lines and (cached := self._cached.get(line)) is not None:
            self.replies.append(cached)
            return
        code, separator = line[:3], line[3:4]
        self._check(line, code, separator)
        self._lines.append(readable(line[4:].decode("utf-8", "replace")))
        if separator == b"-":
            self._code = code
            return
        reply = Reply.of(int(code), self._lines)
        if len(self._lines) == 1 and len(self._cached) < _CACHED_REPLIES:
            self._cached[line] = reply
        self.replies.append(reply)
        self._lines, self._size = [], 0

    def _check(self, line: bytes, code: bytes, separator: bytes) -> None:
        if not (len(code) == 3 and code.isdigit() and b"2" <= code[:1] <= b"5" and separator in (b" ", b"-", b"")):
            raise ProtocolError("The server sent a line that is not SMTP.")
        if self._lines and code != self._code:
            raise ProtocolError("The server sent a reply with two different codes.")
        self._size += len(line)
        if len(line) > MAX_LINE_BYTES or self._size > MAX_REPLY_BYTES or len(self._lines) >= MAX_REPLY_LINES:
            raise ProtocolError("The server sent a reply that is too long for SMTP.")


def readable(text: str) -> str:
    """Return `text` without control characters, because it is stored and printed on terminals."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


class SmtpChannel(asyncio.BufferedProtocol):
    """Client side of SMTP on a connected `transport`. One task at a time may wait on it.

    `listener` receives all events too, until it is set to None: during the handshake it is the protocol of aiosmtplib.

    It is a BufferedProtocol because for other protocols TLS allocates 256 KiB for each read, a third of the cost of a
    message.
    """

    def __init__(self, transport: asyncio.Transport, listener: asyncio.Protocol | None = None) -> None:
        self.listener = listener
        self.lost: ConnectionLostError | None = None
        self.transport = transport
        self._socket = transport.get_extra_info("socket")
        self._parser = ReplyParser()
        self._replies = self._parser.replies
        self._buffer = memoryview(bytearray(_READ_BUFFER_BYTES))
        self.paused = False  # the buffer of the transport is full
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    # Callbacks of the transport.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the read buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse the received bytes and wake the waiting task."""
        data = bytes(self._buffer[:nbytes])
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            self.abort(FailureKind.PROTOCOL, str(error))
        if self.listener is not None:
            self.listener.data_received(data)
        self._wake()

    def eof_received(self) -> None:
        """Mark the channel as lost; the transport closes itself."""
        self._lose(FailureKind.CLOSED, "The server closed the connection.")
        if self.listener is not None:
            self.listener.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark the channel as lost."""
        detail = (
            "The connection was reset." if isinstance(exc, ConnectionError) else "The server closed the connection."
        )
        self._lose(FailureKind.CLOSED, detail)
        if self.listener is not None:
            self.listener.connection_lost(exc)

    def pause_writing(self) -> None:
        """Stop writing: the buffer of the transport is full."""
        self.paused = True
        if self.listener is not None:
            self.listener.pause_writing()

    def resume_writing(self) -> None:
        """Continue writing: the buffer of the transport has space."""
        self.paused = False
        if self.listener is not None:
            self.listener.resume_writing()
        self._wake()

    # Commands and replies.

    @property
    def has_unread(self) -> bool:
        """True if a reply or part of one, or the end of the connection, has been received and not read."""
        return self.lost is not None or bool(self._replies) or self._parser.incomplete

    @property
    def open(self) -> bool:
        """True if a command can be sent and its reply will not be confused with an earlier one."""
        return not (self.lost or self._replies or self._parser.incomplete or self.transport.is_closing())

    def write(self, data: bytes | memoryview) -> None:
        """Write to the transport. Raises ConnectionLostError."""
        if self.lost is not None or self.transport.is_closing():
            raise self._lose(FailureKind.CLOSED, "The server closed the connection.")
        self.transport.write(data)

    async def read_reply(self, seconds: float) -> Reply:
        """Return the next reply. After `seconds` without one the connection is aborted. Raises ConnectionLostError."""
        if not self._replies:
            await self._until_reply(seconds)
        return self._replies.popleft()

    def buffered_reply(self) -> Reply | None:
        """Return the next reply if it has been received, else None."""
        return self._replies.popleft() if self._replies else None

    async def drain(self, seconds: float) -> None:
        """Wait until the transport accepts data or a reply is received. After `seconds` the connection is aborted."""
        await asyncio.sleep(0)  # let the event loop read replies, even if the transport never blocks
        if not self._blocked():
            return
        timer = self._loop.call_later(seconds, self.abort, FailureKind.TIMEOUT, "The server stopped reading data.")
        try:
            while self._blocked():
                await self._event()
        finally:
            timer.cancel()

    def _blocked(self) -> bool:
        return self.paused and not self._replies and self.lost is None

    def abort(self, kind: FailureKind, detail: str) -> ConnectionLostError:
        """Reset the connection, so that no buffered byte is sent. Return the reason for which the channel is lost.

        A normal close would send the data in the kernel buffer, which can contain the final dot.
        """
        lost = self._lose(kind, detail)
        with contextlib.suppress(OSError, ValueError):  # closed already; uvloop raises ValueError
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.transport.abort()
        return lost

    async def quit(self, seconds: float) -> None:
        """Send QUIT if in sequence (RFC 5321 §4.1.1.10), so that the server frees the connection slot, then close.

        It does not wait for the TLS shutdown: no data follows the reply to QUIT.
        """
        try:
            if self.open:
                self.write(b"QUIT\r\n")
                await self.read_reply(seconds)
        except ConnectionLostError:
            return
        finally:
            self._lose(FailureKind.CLOSED, "The session has ended.")
            self.transport.abort()

    async def _until_reply(self, seconds: float) -> None:
        """Wait for a reply. The timer closes the connection even if this task cannot run."""
        timer = self._loop.call_later(seconds, self.abort, FailureKind.TIMEOUT, "The server did not answer in time.")
        try:
            while not self._replies:
                if self.lost is not None:
                    raise self._copy(self.lost)
                await self._event()
        finally:
            timer.cancel()

    async def _event(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _lose(self, kind: FailureKind, detail: str) -> ConnectionLostError:
        if self.lost is None:
            self.lost = ConnectionLostError(kind, detail)
        self._wake()
        return self._copy(self.lost)

    @staticmethod
    def _copy(lost: ConnectionLostError) -> ConnectionLostError:
        """Return a new exception: an object that is raised twice collects tracebacks."""
        return ConnectionLostError(lost.kind, lost.detail)
