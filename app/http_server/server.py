"""Embedded HTTP server: uvicorn with timeouts, size limits and connection limits, started and stopped by its caller.

It installs no signal handlers and writes no access log.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.http_server.connection_limits import ConnectionLimits
from app.operator_errors import UnavailableError

KEEP_ALIVE_SECONDS = 75  # longer than that of usual gateways, so that the gateway closes first
DRAIN_SECONDS = 10  # for requests in progress at a stop
MIN_READ_RATE = 1024  # bytes per second of a response that a client must read on average
MAX_FIELDS = 256  # header fields of a request; each takes some 150 bytes beside its text
MAX_PIPELINED = 64  # requests of one connection that wait for the responses before theirs
ACCEPTS_IN_STEP = 16  # connections accepted in one step of the event loop; libuv accepts one of each socket
RESERVED_SECONDS = 2.0  # time for a connection beyond the limits to request an internal path
INTERNAL = frozenset({b"/healthz", b"/readyz", b"/metrics"})  # paths answered beyond the connection limits
_STORABLE = frozenset(  # last path segments of public responses
    {b"docs", b"openapi.json", b"style.css", b"console.js", b"icon.svg"}
)
_SEGMENT_BYTES = 256 * 1024  # maximum size of one read from the socket
_DISCARD: Any = deque(maxlen=0)
TAKE_BODY = "postern.take_body"  # key in the scope of a request whose whole body was received: returns that body once
_CLOSE = (b"connection", b"close")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # controls that no header field may have


class LimitError(Exception):
    """More pipelined requests than MAX_PIPELINED, or more header fields than MAX_FIELDS. It ends the parsing."""


class _EmptyResponses(dict[int, bytes]):
    """Responses without a body, by status."""

    def __missing__(self, status: int) -> bytes:
        return b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status


class ListenError(UnavailableError):
    """Address that is in use or not of this machine. The text is one line."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Timeouts and limits of connections, and the complete responses when they are exceeded."""

    timeout: float = 20.0  # seconds to receive a head, to receive the rest after a response, and to read a response
    head_bytes: int = 64 * 1024  # of a head beyond its first segment
    connections: int = 900  # of often 1,024 file descriptors; the database and the upstream server need some
    connections_per_address: int = 450  # from one address that is not a gateway
    responses: Mapping[int, bytes] = field(default_factory=_EmptyResponses)  # by status: 400, 408, 431, 503


class HttpServer:
    """HTTP server of one ASGI application on one address. Port 0 selects a free port.

    With `tls` it serves HTTPS. The client address is read from
    X-Forwarded-For only for connections from `forwarders` (addresses and networks). `date_header`: add the Date of the
    machine's clock to responses.
    """

    def __init__(
        self,
        application: Any,
        host: str,
        port: int,
        *,
        limits: ServerLimits | None = None,
        tls: ssl.SSLContext | None = None,
        forwarders: Sequence[str] = (),
        date_header: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self._scheme = "https" if tls else "http"
        config = uvicorn.Config(
            application,
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=date_header,
            lifespan="off",
            http=_protocol(limits or ServerLimits(), forwarders),
            headers=[("cache-control", "no-store")],
            ws="none",
            proxy_headers=bool(forwarders),
            forwarded_allow_ips=list(forwarders),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL of the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises ListenError."""
        listening = _bind(self.host, self.port)
        self.port = listening.getsockname()[1]
        # Else a crowd of connections would delay the next caller by as many steps.
        sockets = [listening, *(listening.dup() for _ in range(ACCEPTS_IN_STEP - 1))]
        self._task = asyncio.create_task(self._server.serve(sockets))
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Stop accepting connections, wait at most DRAIN_SECONDS for requests in progress, close."""
        if self._task is not None:
            self._server.stopping.set()
            await self._task


class _Protocol(HttpToolsProtocol):
    """HTTP protocol of uvicorn with timeouts and size limits.

    uvicorn has no timeout for a silent client, an incomplete head, the rest of a body after its response, and a client
    that does not read; and it accepts heads and trailers of any size, and any number of fields and pipelined requests.
    """

    limits: ClassVar[ServerLimits]
    admission: ClassVar[ConnectionLimits]

    def __init__(self, *args: Any, **options: Any) -> None:
        self._pieces: list[bytes] = []  # of the body, in what is parsed
        # A chunk may be one byte, so a read has up to 43,000 pieces; a Python call for each would take 40 ms.
        self.on_body = self._pieces.append  # type: ignore[method-assign, assignment]
        super().__init__(*args, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._in_message = self._in_head = False  # a message, or its head, has begun and not ended
        self._bytes_outside_body = 0  # received since the last complete head or piece of body
        self._receive_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        super().connection_made(cast("asyncio.Transport", transport))
        self._holders: tuple[Hashable, ...] | None = self.admission.admit(self.client[0] if self.client else None)
        self._receive_timeout = self.limits.timeout
        if self._holders is None:
            self._receive_timeout = min(RESERVED_SECONDS, self.limits.timeout)
            if not self.admission.reserve(self):
                self._refuse(503)
                return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._holders is None:
            self.admission.unreserve(self)
        else:
            self.admission.leave(self._holders)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self._refuse(400)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
            return
        if self._in_message:  # rarely: most messages arrive complete
            self._join_pieces()
            self._limit_incomplete_message(len(data))
        elif self._is_answered():  # empty lines, or the rest of a message that was answered
            self._start_timer()
        elif self._receive_timer is not None:
            self._stop_timer()

    def on_message_begin(self) -> None:
        self._in_message = self._in_head = True
        self._bytes_outside_body = -_SEGMENT_BYTES
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.close()
            raise LimitError
        if len(self.headers) > MAX_FIELDS:
            self._refuse(431)
            raise LimitError
        path = self.url.partition(b"?")[0]
        if self._holders is None and path not in INTERNAL:
            self.app = self._refuse_request
        super().on_headers_complete()
        self.cycle.__class__ = _RequestCycle  # before it is used; uvicorn takes no other class
        if self._holders is None:
            self.cycle.keep_alive = False
        if path.rpartition(b"/")[2] in _STORABLE:
            self.cycle.default_headers = []
        self.headers = _DISCARD  # of trailers

    def on_message_complete(self) -> None:
        self._in_message = False
        if self.parser.should_upgrade():
            return
        self._join_pieces()
        cycle: Any = self.cycle
        self.scope[TAKE_BODY] = cycle.take_body  # type: ignore[literal-required]  # a key of Postern's own
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_message:
            self._start_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def close_if_idle(self) -> bool:
        """Close the connection and return True, unless a request is being processed."""
        if not self._is_answered():
            return False
        self.admission.unreserve(self)
        self._refuse(503)
        return True

    async def _refuse_request(self, *_: object) -> None:
        """Answer 503 in place of the application."""
        self.cycle.disconnected = True
        self._refuse(503)

    def _should_upgrade(self) -> bool:
        return True  # uvicorn then leaves the request to `_ignore_upgrade`

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Process the request as if it had no Upgrade field (RFC 9110 §7.8): the parser drops the body of one that has.

        Java's client sends the field with its first request. `rest` is what was received after the head.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(400)
            return
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        head = [b"%b %b HTTP/%b" % (method, self.url, version), *fields, b"", b""]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join(head) + rest)

    def _join_pieces(self) -> None:
        """Pass the pieces of the body that were parsed to the request."""
        if self._pieces:
            self._bytes_outside_body = -_SEGMENT_BYTES
            super().on_body(b"".join(self._pieces))
            self._pieces.clear()

    def _limit_incomplete_message(self, received: int) -> None:
        """Apply size limit and timeout to a message of which `received` more bytes have arrived."""
        self._bytes_outside_body += received
        if self._bytes_outside_body > self.limits.head_bytes or len(self.headers) > MAX_FIELDS:
            self._refuse(431)
        elif self._in_head or self._is_answered():
            self._start_timer()
        else:  # the application waits for the body, with its own timeout
            self._stop_timer()

    def _is_answered(self) -> bool:
        """Return True if no request is being processed."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _start_timer(self) -> None:
        if self._receive_timer is None:
            self._receive_timer = self.loop.call_later(self._receive_timeout, self._time_out)

    def _stop_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _time_out(self) -> None:
        """Close an idle or slow connection. While a request is processed, wait for its response."""
        self._receive_timer = None
        if not self._is_answered():
            self._start_timer()
        elif self._holders is None:
            self._refuse(503)
        elif self._in_head:
            self._refuse(408)
        elif self._in_message:
            self.transport.abort()
        else:
            self.transport.close()

    def _watch_reader(self, size: int) -> None:
        """Check after the timeout that the client has read enough of the `size` buffered bytes."""
        self._send_timer = self.loop.call_later(self.limits.timeout, self._check_reader, size)

    def _check_reader(self, size: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left <= size - MIN_READ_RATE * self.limits.timeout:
            self._watch_reader(left)
        else:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(self.limits.responses[status])
            self.transport.close()


def _protocol(limits: ServerLimits, gateways: Sequence[str]) -> type[_Protocol]:
    admission = ConnectionLimits(limits.connections, limits.connections_per_address, gateways)
    return type("Protocol", (_Protocol,), {"limits": limits, "admission": admission})


class _RequestCycle(RequestResponseCycle):
    """Request in progress. Head and first part of the response are one write; every body has a Content-Length.

    uvicorn writes them separately, which costs two system calls and wakes the client twice, and it checks each header
    field by two patterns.
    """

    def take_body(self) -> bytes | bytearray:
        """Return the body, once all of it has arrived; then nothing of it is left here."""
        body, self.body = self.body, bytearray()
        self.flow.resume_reading()
        return body

    async def send(self, message: Any) -> None:
        """Take the head, which is kept for the first part of the body, or write a part of the body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self.response_started, self.waiting_for_100_continue = True, False
            self._head = self._rendered_head(message["status"], message["headers"])
        elif not self.response_complete:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError("The response is complete.")

    def _rendered_head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
        fields = [*self.default_headers, *headers]
        if _UNSAFE.search(b"".join([part for field in fields for part in field])):
            raise RuntimeError("A header field of the response contains a control character.")
        if not self.keep_alive and _CLOSE not in fields:
            fields.append(_CLOSE)
        lines = [b"%b: %b\r\n" % field for field in fields]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n"])

    def _write(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body, self.expected_content_length = b"", 0
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("The body of the response does not have its Content-Length.")
        self.transport.write(self._head + body if self._head else body)
        self._head = b""
        if not more:
            self.response_complete = True
            self.body.clear()  # of a request that was refused, whose connection may stay
            self.scope.pop(TAKE_BODY, None)  # type: ignore[misc]  # it refers to this object
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


class _Server(uvicorn.Server):
    """Server of uvicorn without signal handlers, and with events when it listens and when it is to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Renew the Date once a second. uvicorn's own loop wakes ten times a second, and ends only then."""
        while not self.stopping.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 1.0)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another POSTERN_PORT.") from None
    listening.setblocking(False)
    return listening
