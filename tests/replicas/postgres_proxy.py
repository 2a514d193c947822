"""TCP proxy in front of PostgreSQL that reports where a client is in the protocol (PostgreSQL manual, chapter 55)."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

_TYPE_AND_LENGTH = struct.Struct("!cI")
_LENGTH_AND_CODE = struct.Struct("!II")
_PROTOCOL_3 = 3 << 16  # code of the startup message; the messages before it ask for encryption
_FLUSH = b"H"  # the server replies, and stays in the transaction without being idle, because no Sync has come


class PostgresProxy:
    """Proxy to a server on loopback. `on_flush` is called before a client's next Flush is passed on, and only once."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listening: asyncio.Server | None = None
        self._relaying: set[asyncio.Task[None]] = set()
        self.on_flush: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in self._relaying:
            task.cancel()
        await asyncio.gather(*self._relaying, return_exceptions=True)

    @property
    def port(self) -> int:
        """Port of the proxy."""
        assert self._listening is not None
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        task = asyncio.create_task(self._relay(client, to_client, server, to_server))
        self._relaying.add(task)
        task.add_done_callback(self._relaying.discard)

    async def _relay(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        try:
            await asyncio.gather(self._pass_requests(client, to_server), _pass_replies(server, to_client))
        finally:
            to_server.close()
            to_client.close()

    async def _pass_requests(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            code = 0
            while code != _PROTOCOL_3:
                head = await client.readexactly(_LENGTH_AND_CODE.size)
                length, code = _LENGTH_AND_CODE.unpack(head)
                to_server.write(head + await client.readexactly(length - len(head)))
            while True:
                head = await client.readexactly(_TYPE_AND_LENGTH.size)
                kind, length = _TYPE_AND_LENGTH.unpack(head)
                if kind == _FLUSH and (report := self.on_flush):
                    self.on_flush = None
                    report()
                to_server.write(head + await client.readexactly(length - 4))
                await to_server.drain()
        with suppress(OSError):
            to_server.write_eof()


async def _pass_replies(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await server.read(65_536):
            to_client.write(data)
            await to_client.drain()
        to_client.write_eof()
