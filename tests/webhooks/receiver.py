"""Webhook receiver: a real HTTP server that records requests and answers as instructed."""

import asyncio
import json
import ssl
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Got:
    """Received request."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float  # the loop's time

    @property
    def id(self) -> str:
        """Id of the event."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> Json:
        """Parsed event."""
        value: Json = json.loads(self.body)
        return value

    @property
    def email(self) -> str:
        """Id of its email."""
        return str(self.event["data"]["email_id"])


@dataclass(frozen=True, slots=True)
class Reply:
    """Response of the receiver. Status 0: none, the connection is closed."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "thanks"


Answer = Callable[[Got], Reply]


class Receiver:
    """`async with Receiver() as receiver`. It can be killed and started again on the same port."""

    def __init__(self, answer: Answer = lambda _: Reply(), *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.got: list[Got] = []  # all of it
        self.taken: list[Got] = []  # what was answered with 2xx
        self.port = 0
        self.connections = 0
        self.gate: asyncio.Event | None = None  # requests are answered once it is set
        self.inside = self.most_inside = 0  # requests that wait for an answer
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def url(self) -> str:
        """URL of the receiver."""
        return f"http{'s' if self._tls else ''}://localhost:{self.port}/hook?from=postern"

    @property
    def types(self) -> dict[str, list[str]]:
        """Return the accepted types of each email, in order."""
        types: dict[str, list[str]] = defaultdict(list)
        for got in self.taken:
            types[got.email].append(got.event["type"])
        return types

    async def start(self) -> None:
        """Listen, on the previous port if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Stop listening and cut every connection."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def until(self, true: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait for a condition, which is checked after every request."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(true)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._answer_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _decide(self, got: Got) -> Reply:
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            if self.gate:
                await self.gate.wait()
            await asyncio.sleep(0)
            return self.answer(got)
        finally:
            self.inside -= 1

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-1])}
        body = await reader.readexactly(int(headers["content-length"]))
        got = Got(head[0].split()[1], headers, body, asyncio.get_running_loop().time())
        reply = await self._decide(got)
        if reply.status:
            content = reply.body.encode()
            lines = {**reply.headers, "content-length": str(len(content))}
            fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {reply.status} So\r\n{fields}\r\n".encode() + content)
            await writer.drain()
        async with self._changed:
            self.got.append(got)
            if 200 <= reply.status < 300:
                self.taken.append(got)
            self._changed.notify_all()
        return reply.status != 0
