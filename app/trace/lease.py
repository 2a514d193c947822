"""Lease of a reader: one replica reads a tenant or a mailbox, and every write of it is fenced by the lease's token.

It is stored and counts by the database's clock, so a replica that died is replaced when it ends.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from app.background import Step, run_periodically
from app.store.errors import StoreUnavailableError
from app.store.trace.records import HoldRequest, Position
from app.store.trace_store import TraceStore


class LostReaderError(Exception):
    """Another replica reads now."""


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Duration of the lease, and the interval of its renewal. Real seconds."""

    seconds: float = 15.0
    renew_interval: float = 3.0


class ReaderLease:
    """Lease with a name. `position` is None while another replica has it."""

    def __init__(self, store: TraceStore, name: str, replica: UUID, config: LeaseConfig) -> None:
        self.position: Position | None = None
        self._store = store
        self._request = HoldRequest(name, replica, config.seconds)
        self._interval = config.renew_interval

    async def run(self, name: str, renew: Step, step: Step) -> None:
        """Run `renew`, which calls `take`, and `step`, until cancelled. After that, the lease ends by time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_periodically(f"{name} lease", renew, interval=self._interval))
            tasks.create_task(run_periodically(name, step, interval=self._interval))

    async def take(self) -> bool:
        """Take or renew the lease; return whether it was taken now. Raises StoreUnavailableError."""
        held = await self._store.hold(self._request)
        before, taken = self.position, held is not None
        if held is not None and before is not None and held.reader == before.reader:
            return False  # the progress in `before` may be newer
        self.position = held
        return taken

    async def release(self) -> None:
        """End the lease, so that another replica reads at once."""
        if self.position is not None:
            with suppress(StoreUnavailableError):  # the lease ends by time
                await self._store.release(self.position.reader)
