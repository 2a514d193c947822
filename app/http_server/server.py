"""An HTTP listener inside this process: uvicorn on a socket of our own, started and stopped in our order.

It installs no signal handlers and logs nothing; both are main's.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http_server.connection_limits import ConnectionLimits

KEEP_ALIVE_SECONDS = 75  # seconds; longer than the usual gateway's, so that the gateway closes first
MIN_READ_RATE = 1024  # bytes a second of an answer that a caller has to read, on average
RESERVED_SECONDS = 2.0  # in which a connection beyond the limits has to ask for an internal path
INTERNAL = frozenset({b"/healthz", b"/readyz", b"/metrics"})  # answered beyond the limits of connections
_STORABLE = frozenset({b"docs", b"openapi.json", b"style.css", b"icon.svg"})  # the last part of a path: no data in it
_SEGMENT_BYTES = 256 * 1024  # octets that come at once, at most
_DISCARD: Any = deque(maxlen=0)
BODY_COMPLETE = (
    "postern.whole"  # in the scope of a request whose body is here to its end: nobody will have to wait for it
)


class _EmptyResponses(dict[int, bytes]):
    """Without a body."""

    def __missing__(self, status: int) -> bytes:
        return b"HTTP/1.1 %d \r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status


class ListenError(Exception):
    """The address is taken or not ours. Its str is one plain line."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How long a caller is waited for, and how much of one is taken."""

    timeout: float = (
        20.0  # for a head to come whole, for the rest after an answer, and for some of an answer to be read
    )
    head_bytes: int = 64 * 1024  # of a head beyond its first segment
    connections: int = 900  # a process often has 1,024 descriptors, and the store and the upstream need some
    connections_per_address: int = 450  # from one address that is no gateway
    responses: Mapping[int, bytes] = field(
        default_factory=_EmptyResponses
    )  # whole responses, by status: 400, 408, 431, 503


class HttpServer:
    """One ASGI application on one address. Port 0 takes a free one.

    `bounds` are the caller's patience and what no application ever sees. With `tls` it speaks HTTPS. Who asks is
    believed from `forwarders` (addresses and networks) and from nobody else.
    """

    def __init__(
        self,
        application: Any,
        host: str,
        port: int,
        *,
        drain: float = 10.0,
        limits: ServerLimits | None = None,
        tls: ssl.SSLContext | None = None,
        forwarders: Sequence[str] = (),
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
            lifespan="off",
            http=_protocol(limits or ServerLimits(), forwarders),
            headers=[("cache-control", "no-store")],
            ws="none",
            proxy_headers=bool(forwarders),
            forwarded_allow_ips=list(forwarders),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(drain)),
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        listening = _bind(self.host, self.port)
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([listening]))
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Take no new connection, let requests finish within the bound, close."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


class _Protocol(HttpToolsProtocol):
    """uvicorn's, but for how answers leave, what it answers by itself, and whom it waits for.

    uvicorn waits for ever for a caller who is connected and sends nothing, or half a head, or the rest of a body whose
    answer it has, or who does not read; and it takes heads and trailers of any size. Here all of that has an end.
    """

    limits: ClassVar[ServerLimits]
    admission: ClassVar[ConnectionLimits]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._in_message = self._in_head = False  # a message has begun; its head has not ended
        self._bytes_outside_body = 0  # octets in a row that were neither a whole head nor body
        self._receive_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        super().connection_made(
            cast("asyncio.Transport", _CoalescingTransport(cast("asyncio.Transport", transport), self.loop))
        )
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
        super().data_received(data)
        if self._in_message:  # seldom: most messages come whole
            self._more_received(len(data))
        elif self._is_answered():  # empty lines, or the rest of what was answered
            self._start_timer()
        elif self._receive_timer is not None:
            self._stop_timer()

    def on_message_begin(self) -> None:
        self._in_message = self._in_head = True
        self._bytes_outside_body = -_SEGMENT_BYTES
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        path = self.url.partition(b"?")[0]
        if self._holders is None and path not in INTERNAL:
            self.app = self._refuse_request
        super().on_headers_complete()
        if self._holders is None:
            self.cycle.keep_alive = False
        if path.rpartition(b"/")[2] in _STORABLE:
            self.cycle.default_headers = []
        self.headers = _DISCARD  # whatever comes as trailers

    def on_body(self, body: bytes) -> None:
        self._bytes_outside_body = -_SEGMENT_BYTES
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self.scope[BODY_COMPLETE] = True  # type: ignore[literal-required]  # ours
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

    def send_400_response(self, msg: str) -> None:
        self._refuse(400)

    def give_way(self) -> bool:
        """Close, if no request is being answered."""
        if not self._is_answered():
            return False
        self.admission.unreserve(self)
        self._refuse(503)
        return True

    async def _refuse_request(self, *_: object) -> None:
        """In place of the application."""
        self.cycle.disconnected = True
        self._refuse(503)

    def _more_received(self, octets: int) -> None:
        """Something came, and the message has not ended."""
        self._bytes_outside_body += octets
        if self._bytes_outside_body > self.limits.head_bytes:
            self._refuse(431)
        elif self._in_head or self._is_answered():
            self._start_timer()
        else:  # the application waits for the body, and knows how long
            self._stop_timer()

    def _is_answered(self) -> bool:
        """Nobody here is at work for the caller."""
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
        """It took too long. Who is being answered still is told nothing between."""
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
        """A caller has to read something of what waits for it."""
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


class _CoalescingTransport:
    """A transport that joins two writes of one turn of the loop. uvicorn writes the head of an answer and its body
    apart: that would be two system calls and two segments, and would wake the caller twice."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending = b""
        self.is_closing = transport.is_closing  # asked for at each answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Now with what came before, else when something follows or the turn is over."""
        if self._pending:
            self._transport.write(self._pending + data)
            self._pending = b""
        else:
            self._pending = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """After all that was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pending:
            self._transport.write(self._pending)
            self._pending = b""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own, and with an event instead of a flag to poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


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
