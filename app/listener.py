"""An HTTP listener inside this process: uvicorn on a socket of our own, started and stopped in our order.

It installs no signal handlers and logs nothing; both are main's.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE = 75  # seconds; longer than the usual gateway's, so that the gateway closes first
WHOLE = "postern.whole"  # in the scope of a request whose body is here to its end: nobody will have to wait for it


class CannotListen(Exception):  # noqa: N818 - it names the fact
    """The address is taken or not ours. Its str is one plain line."""


class Listener:
    """One ASGI application on one address. Port 0 takes a free one.

    `malformed` is the JSON that answers what is not HTTP: no application ever sees it. With `tls` it speaks HTTPS.
    """

    def __init__(
        self,
        application: Any,
        host: str,
        port: int,
        *,
        drain: float = 10.0,
        malformed: bytes = b"{}",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._scheme = "https" if tls else "http"
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            http=type("Protocol", (_Protocol,), {"malformed": malformed}),
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
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
    """uvicorn's, but for the one answer that it gives by itself, and how answers leave."""

    malformed: ClassVar[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", _Joining(cast("asyncio.Transport", transport), self.loop)))

    def on_message_complete(self) -> None:
        self.scope[WHOLE] = True  # type: ignore[literal-required]  # ours
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(self.malformed), self.malformed))
        self.transport.close()


class _Joining:
    """A transport that joins two writes of one turn of the loop. uvicorn writes the head of an answer and its body
    apart: that would be two system calls and two segments, and would wake the caller twice."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._first = b""
        self.is_closing = transport.is_closing  # asked for at each answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Now with what came before, else when something follows or the turn is over."""
        if self._first:
            self._transport.write(self._first + data)
            self._first = b""
        else:
            self._first = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """After all that was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._first:
            self._transport.write(self._first)
            self._first = b""


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
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}. Choose another POSTERN_PORT.") from None
    listening.setblocking(False)
    return listening
