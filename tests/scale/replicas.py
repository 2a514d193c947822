"""Several replicas in this process, each with its own store connections and coordinator."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from app.relay.coordinator import HeartbeatConfig, MailboxCoordinator
from app.relay.mailbox import RelayLimits
from app.store import Store
from tests.scale.exchange import Exchange
from tests.scale.shape import Shape

DRAIN = 10.0  # real seconds


class Replica:
    """One replica."""

    def __init__(self, name: str, shape: Shape, exchange: Exchange, heartbeat: HeartbeatConfig) -> None:
        self._name = name
        self._shape = shape
        self._exchange = exchange
        self._heartbeat = heartbeat
        self._coordinator: MailboxCoordinator | None = None

    async def open(self, url: str) -> None:
        """Open its store, without relaying."""
        self.store = await Store.open(url)

    async def start(self) -> None:
        """Start relaying."""
        self._coordinator = MailboxCoordinator(
            self.store, self._exchange.clock, self._name, single_node=False, heartbeat=self._heartbeat
        )
        for number in range(self._shape.mailboxes):
            name = self._shape.mailbox(number)
            self._coordinator.add(self._shape.pool(number), name, RelayLimits(), partial(self._exchange.sessions, name))
        await self._coordinator.start()

    async def stop(self) -> None:
        """Release its mailboxes."""
        if self._coordinator:
            await self._coordinator.stop(DRAIN)

    @property
    def owned(self) -> int:
        """Return the number of its mailboxes."""
        return len(self._coordinator.mailboxes) if self._coordinator else 0


@asynccontextmanager
async def opened(
    url: str, names: Sequence[str], shape: Shape, exchange: Exchange, heartbeat: HeartbeatConfig
) -> AsyncIterator[list[Replica]]:
    """Yield this many replicas with open stores; they are stopped at the end."""
    replicas = [Replica(name, shape, exchange, heartbeat) for name in names]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await replica.open(url)
            stack.push_async_callback(replica.store.close)
        yield replicas
        await asyncio.gather(*(replica.stop() for replica in replicas))
