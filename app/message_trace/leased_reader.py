"""Readers under a lease: one replica reads a tenant or a mailbox, and every write is fenced by the lease's token.

The lease is stored and counts by the database's clock, so a replica that died is replaced when it ends.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from app.background import run_periodically
from app.clock import Clock
from app.message_trace.graph import GraphError
from app.store.errors import StoreUnavailableError
from app.store.message_trace.records import HoldRequest, Position
from app.store.message_trace_store import TraceStore

PASS_INTERVAL = 60.0  # seconds between passes


class LostReaderError(Exception):
    """Another replica reads now."""


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Duration of the lease, and the interval of its renewal. Real seconds."""

    seconds: float = 15.0
    renew_interval: float = 3.0


class LeasedReader(ABC):
    """Tasks of a reader. `name` is that of its tasks in the log, `subject` the tenant or the mailbox that it reads.

    `position` is None while another replica has the lease. `replica` identifies this process.
    """

    def __init__(
        self, name: str, subject: str, store: TraceStore, clock: Clock, replica: UUID, lease: LeaseConfig
    ) -> None:
        self.position: Position | None = None
        self._name = name
        self._store = store
        self._clock = clock
        self._hold = HoldRequest(subject, replica, lease.seconds)
        self._interval = lease.renew_interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the tasks."""
        self._task = asyncio.create_task(self.run())

    async def run(self) -> None:
        """Read until cancelled. After that, the lease ends by time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_periodically(f"{self._name} lease", self._renew, interval=self._interval))
            tasks.create_task(run_periodically(self._name, self._advance, interval=self._interval))

    async def stop(self) -> None:
        """Stop, and let another replica read at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.position is not None:
            with suppress(StoreUnavailableError):  # the lease ends by time
                await self._store.release(self.position.reader)
        await self.close()

    async def _renew(self) -> None:
        held = await self._store.hold(self._hold)
        if held is None:
            self.position = None
            self.released()
        elif self.position is None or held.reader != self.position.reader:
            self.taken(held)
            self.position = held

    async def _advance(self) -> float | None:
        """Run a pass if this replica reads; return the real seconds to the next one."""
        if (position := self.position) is None:
            return None
        try:
            await self.read(position)
        except LostReaderError:
            self.position = None
            return None
        except GraphError as error:
            self.failed(error)
        self.measure()
        return PASS_INTERVAL / self._clock.speed

    @abstractmethod
    async def read(self, position: Position) -> None:
        """Run one pass. Raises GraphError, LostReaderError, StoreUnavailableError."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    @abstractmethod
    def failed(self, error: GraphError) -> None:
        """Log an error."""

    @abstractmethod
    def measure(self) -> None:
        """Update the metrics after a pass."""

    @abstractmethod
    def released(self) -> None:
        """Remove the metrics, because another replica reads."""

    @abstractmethod
    def taken(self, position: Position) -> None:
        """Continue where the previous holder of the lease was."""
