"""The two halves of talking SMTP on an open transport: replies parsed as they come in, writing with flow control.

Knows no command and no phase. Once lost, a channel stays lost; what had been answered before that is still read.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque

from app.mail.outcome.attempt import FailureKind
from app.mail.outcome.reply import Reply
from app.smtp.failure import ConnectionLostError, ProtocolError

MAX_LINE_BYTES = 8 * 1024  # octets; RFC 5321 §4.5.3.1.5 says 512, Exchange's diagnostics are longer
MAX_REPLY_BYTES = 64 * 1024
MAX_REPLY_LINES = 100
_KNOWN = 16  # replies
_READ = 16 * 1024  # octets taken at once
_RESET = struct.pack("ii", 1, 0)


class ReplyParser:
    """RFC 5321 §4.2 replies out of a stream of bytes, into `replies`. Line ends are CRLF or LF."""

    __slots__ = ("_code", "_known", "_lines", "_partial", "_size", "replies")

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self._partial = b""
        self._code = b""
        self._lines: list[str] = []
        self._size = 0
        self._known: dict[bytes, Reply] = {}  # a server says the same few sentences for every message

    @property
    def incomplete(self) -> bool:
        """True if a reply has begun and is not whole."""
        return bool(self._partial or self._lines)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises NotSmtp; the whole replies before the fault are kept."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r"))
        if len(self._partial) > MAX_LINE_BYTES:
            raise ProtocolError("The server sent a line that is too long for SMTP.")

    def _line(self, line: bytes) -> None:
        if not self._lines and (known := self._known.get(line)) is not None:
            self.replies.append(known)
            return
        code, mark = line[:3], line[3:4]
        self._check(line, code, mark)
        self._lines.append(readable(line[4:].decode("utf-8", "replace")))
        if mark == b"-":
            self._code = code
            return
        reply = Reply.of(int(code), self._lines)
        if len(self._lines) == 1 and len(self._known) < _KNOWN:
            self._known[line] = reply
        self.replies.append(reply)
        self._lines, self._size = [], 0

    def _check(self, line: bytes, code: bytes, mark: bytes) -> None:
        if not (len(code) == 3 and code.isdigit() and b"2" <= code[:1] <= b"5" and mark in (b" ", b"-", b"")):
            raise ProtocolError("The server sent a line that is not SMTP.")
        if self._lines and code != self._code:
            raise ProtocolError("The server sent a reply with two different codes.")
        self._size += len(line)
        if len(line) > MAX_LINE_BYTES or self._size > MAX_REPLY_BYTES or len(self._lines) >= MAX_REPLY_LINES:
            raise ProtocolError("The server sent a reply that is too long for SMTP.")


def readable(text: str) -> str:
    """`text` without control characters: it is stored, and shown on terminals."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


class SmtpChannel(asyncio.BufferedProtocol):
    """One side of an SMTP conversation on a connected `transport`. One task at a time may wait on it.

    `listener` is told everything too, until it is set to None: so long another protocol opens the session,
    and nothing that arrives is seen by it alone.

    Buffered, because for any other protocol TLS allocates 256 KiB for each read: a third of a message's cost.
    """

    def __init__(self, transport: asyncio.Transport, listener: asyncio.Protocol | None = None) -> None:
        self.listener = listener
        self.lost: ConnectionLostError | None = None
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._parser = ReplyParser()
        self._replies = self._parser.replies
        self._buffer = memoryview(bytearray(_READ))
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    # What the transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put what comes in."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse at once; wake whoever waits."""
        data = bytes(self._buffer[:nbytes])
        try:
            self._parser.feed(data)
        except ProtocolError as fault:
            self.abort(FailureKind.PROTOCOL, str(fault))
        if self.listener is not None:
            self.listener.data_received(data)
        self._wake()

    def eof_received(self) -> None:
        """The server has said its last; the transport closes itself."""
        self._lose(FailureKind.CLOSED, "The server closed the connection.")
        if self.listener is not None:
            self.listener.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more goes in or out."""
        how = "The connection was reset." if isinstance(exc, ConnectionError) else "The server closed the connection."
        self._lose(FailureKind.CLOSED, how)
        if self.listener is not None:
            self.listener.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._paused = True
        if self.listener is not None:
            self.listener.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._paused = False
        if self.listener is not None:
            self.listener.resume_writing()
        self._wake()

    # What a conversation calls.

    @property
    def has_unread(self) -> bool:
        """True if a reply, or a part of one, or the end has come that nobody asked for yet."""
        return self.lost is not None or bool(self._replies) or self._parser.incomplete

    @property
    def open(self) -> bool:
        """True if a command can be sent and its reply told from others."""
        return not (self.lost or self._replies or self._parser.incomplete or self._transport.is_closing())

    def write(self, data: bytes | memoryview) -> None:
        """Hand over to the transport. Raises ChannelLost."""
        if self.lost is not None or self._transport.is_closing():
            raise self._lose(FailureKind.CLOSED, "The server closed the connection.")
        self._transport.write(data)

    async def read_reply(self, seconds: float) -> Reply:
        """The next reply. Raises ChannelLost; after `seconds` without a reply the connection is aborted."""
        if not self._replies:
            await self._until_reply(seconds)
        return self._replies.popleft()

    def buffered_reply(self) -> Reply | None:
        """The next reply if it is here already."""
        return self._replies.popleft() if self._replies else None

    async def drain(self, seconds: float) -> None:
        """Wait until there is room to write, or something was said. After `seconds` the connection is aborted."""
        await asyncio.sleep(0)  # let replies in, even if the link takes all we give
        if not self._blocked():
            return
        timer = self._loop.call_later(seconds, self.abort, FailureKind.TIMEOUT, "The server stopped taking data.")
        try:
            while self._blocked():
                await self._event()
        finally:
            timer.cancel()

    def _blocked(self) -> bool:
        return self._paused and not self._replies and self.lost is None

    def abort(self, kind: FailureKind, detail: str) -> ConnectionLostError:
        """Close at once; neither our buffers nor the kernel's may send any more. Returns why the channel is lost.

        Closing a socket sends what the kernel still holds, and that could be a final dot; a reset does not.
        """
        lost = self._lose(kind, detail)
        with contextlib.suppress(OSError, ValueError):  # closed already; ValueError is uvloop's word for it
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        return lost

    async def quit(self, seconds: float) -> None:
        """End in order (RFC 5321 §4.1.1.10) if in step, so that the server frees the slot at once; then close.

        Nobody waits for TLS to say goodbye too: after the reply to QUIT all has been said.
        """
        try:
            if self.open:
                self.write(b"QUIT\r\n")
                await self.read_reply(seconds)
        except ConnectionLostError:
            return
        finally:
            self._lose(FailureKind.CLOSED, "The session has ended.")
            self._transport.abort()

    async def _until_reply(self, seconds: float) -> None:
        """The timer closes the connection by itself: whatever keeps this task from running, nothing leaves after it."""
        timer = self._loop.call_later(seconds, self.abort, FailureKind.TIMEOUT, "The server did not answer in time.")
        try:
            while not self._replies:
                if self.lost is not None:
                    raise self._again(self.lost)
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
        return self._again(self.lost)

    @staticmethod
    def _again(lost: ConnectionLostError) -> ConnectionLostError:
        """A fresh copy: one exception object raised twice would collect tracebacks."""
        return ConnectionLostError(lost.kind, lost.detail)
