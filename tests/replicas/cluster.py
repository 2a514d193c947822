"""Replicas as processes with one database and one upstream, and the history of ownership."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import psycopg

from app.clock import Clock
from app.simulator import Account, ExchangeLimits, Simulator
from tests.crash.process_control import Child, ProcessControl, environment_for, free_port
from tests.harness import KEY, PASSWORD
from tests.waiting import WAIT_TIMEOUT, until

BEAT, LEASE = 0.5, 2.5  # real seconds: a quarter of what they are, so that a death costs a quarter
_POLL_INTERVAL = 0.05  # seconds between two reads of the owners
_OWNERS = "SELECT o.mailbox, o.replica, r.name FROM owners o LEFT JOIN replicas r ON r.id = o.replica"
_TOML = '[[pools]]\nname = "main"\nsenders = ["*@contoso.com"]\n'


@dataclass(slots=True)
class Watch:
    """Ownership in the database over time. `held`: mailbox-seconds with a live owner."""

    owners: dict[str, str | None] = field(default_factory=dict)  # a mailbox's, by the name of a replica that is alive
    held: float = 0.0
    moves: int = 0
    dead: set[UUID] = field(default_factory=set)


class Cluster:
    """`replicas` of them, none running yet. `speed`: multiple of real time for limits and delays, not for leases."""

    def __init__(
        self,
        process_control: ProcessControl,
        url: str,
        folder: Path,
        *,
        replicas: int = 2,
        mailboxes: int = 1,
        speed: float = 1.0,
        skew: tuple[float, ...] = (),
        beat: float = BEAT,
        lease: float = LEASE,
        limits: ExchangeLimits | None = None,
        **settings: str,
    ) -> None:
        self.process_control = process_control
        self.url = url
        self.urls = [url] * replicas  # of the database as each replica reaches it
        self.names = [f"m{number:02}@contoso.com" for number in range(mailboxes)]
        self.ports = [free_port() for _ in range(replicas)]
        self.children: list[Child | None] = [None] * replicas
        self.watch = Watch()
        self._speed, self._origin = speed, time.time()
        self._skew = skew or (0.0,) * replicas
        self._heartbeat = {"beat": beat, "lease": lease}
        accounts = [Account(name, password=PASSWORD, send_as=("*@contoso.com",)) for name in self.names]
        patient = replace(limits or ExchangeLimits(), idle=1e6, session=1e6)
        self.simulator = Simulator(accounts, Clock(speed, self._origin), patient)
        self._folder = folder
        self._settings = settings
        self._watching: asyncio.Task[None] | None = None
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=WAIT_TIMEOUT,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    async def __aenter__(self) -> Self:
        await self.simulator.start()
        rows = "".join(f'[[pools.mailboxes]]\nmailbox = "{name}"\n' for name in self.names)
        (self._folder / "postern.toml").write_text(_TOML + rows)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self.children:
            if child is not None:
                await child.kill()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self.http.aclose()
        await self.simulator.stop()

    # The replicas, by number.

    async def start(self, number: int) -> Child:
        """Start one; it listens some time later."""
        child = self.children[number] = await self.process_control.start(
            self.environment(number), time=self._time(number)
        )
        return child

    async def up(self, *numbers: int) -> None:
        """Start these, and wait until each is ready and has polled for mailboxes."""
        for number in numbers:
            await self.start(number)
        for number in numbers:
            await self.ready(number)

    async def ready(self, number: int) -> None:
        """Wait until it accepts mail."""
        child = self.children[number]

        async def is_ready() -> bool:
            assert child is not None
            assert not child.ended.is_set(), self.process_control.tail()
            with suppress(httpx.TransportError):
                return (await self.http.get(f"{self.at(number)}/readyz")).status_code == 200
            return False

        await until(is_ready)

    async def kill(self, number: int) -> None:
        """Send SIGKILL."""
        child = self.children[number]
        assert child is not None
        await child.kill()
        self.watch.dead |= {
            id for id, name in await self.ask("SELECT id, name FROM replicas") if name == self.name(number)
        }

    def signal(self, number: int, what: int) -> None:
        """Send a signal."""
        child = self.children[number]
        assert child is not None
        child.signal(what)

    def at(self, number: int) -> str:
        """Return its URL."""
        return f"http://127.0.0.1:{self.ports[number]}"

    def name(self, number: int) -> str:
        """Return its name."""
        return f"{gethostname()}:{self.ports[number]}"

    def environment(self, number: int) -> dict[str, str]:
        """Return the environment of one."""
        plain = environment_for(self.simulator, self._folder / "data", self.ports[number])
        for name in ("POSTERN_MAILBOX", "POSTERN_MESSAGES_PER_MINUTE"):
            del plain[name]
        config = {"POSTERN_CONFIG": str(self._folder / "postern.toml"), "POSTERN_DATABASE_URL": self.urls[number]}
        return {**plain, **config, **self._settings}

    # What the database says.

    async def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(statement.encode(), values)).fetchall()

    def begin_to_watch(self) -> None:
        """Start recording ownership."""
        self._watching = asyncio.create_task(self._watch())

    async def owned_by(self, number: int, mailboxes: int) -> None:
        """Wait until this one owns this many."""

        async def owns() -> bool:
            return await self.count_of(number) == mailboxes

        await until(owns)

    async def count_of(self, number: int) -> int:
        """Return how many it owns."""
        return sum(name == self.name(number) for _, _, name in await self.ask(_OWNERS))

    async def _watch(self) -> None:
        loop, watch = asyncio.get_running_loop(), self.watch
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            before = loop.time()
            while True:
                rows = await (await connection.execute(_OWNERS.encode())).fetchall()
                now = loop.time()
                owners = {mailbox: name for mailbox, id, name in rows if id and id not in watch.dead}
                watch.held += len(owners) * (now - before)
                watch.moves += sum(watch.owners.get(mailbox) != name for mailbox, name in owners.items())
                watch.owners, before = dict(owners), now
                await asyncio.sleep(_POLL_INTERVAL)

    def _time(self, number: int) -> dict[str, float]:
        return {"speed": self._speed, "origin": self._origin + self._skew[number], **self._heartbeat}
