"""Store methods by which replicas share the mailboxes and the daily quota of a tenant."""

import asyncio
from collections.abc import Callable, Iterable
from uuid import UUID

from app.store.db.methods import WriteMethod
from app.store.db.writer import Writer
from app.store.mailboxes import ownership, tenant_quota
from app.store.mailboxes.records import Acquired, ClockSkew
from app.store.queue import recover
from app.store.records import ANY_POOL


class ReplicaStore:
    """Part of the store for replicas. Every method raises StoreUnavailableError if the database does not answer.

    `on_free` is called when a mailbox may have become free. `jitter` returns numbers in -1..1 for retry delays.
    """

    def __init__(self, writer: Writer, jitter: Callable[[], float], on_free: Callable[[], None]) -> None:
        self._write = writer.write
        self._jitter = jitter
        self._on_free = on_free

    heartbeat = WriteMethod(ownership.heartbeat)

    async def acquire(
        self,
        replica: UUID,
        mailboxes: Iterable[str],
        now: float,
        clock_skew: ClockSkew = ClockSkew(),  # noqa: B008 - it is immutable
        *,
        by_force: bool = False,
    ) -> list[Acquired]:
        """Take over mailboxes that no live replica owns; requeue the active messages of former owners.

        `clock_skew` belongs to the clock that gives `now`. `by_force`: the former owners are known to be dead.
        """
        requests = (
            recover.Acquisition(replica, mailbox, by_force, now, clock_skew, self._jitter) for mailbox in mailboxes
        )
        results = await asyncio.gather(*(self._write(recover.acquire, request, hints=ANY_POOL) for request in requests))
        return [acquired for acquired in results if acquired]

    async def release(self, mailbox: str, token: int) -> bool:
        """Release a mailbox. False: it was no longer owned under this token."""
        released = await self._write(ownership.release, (mailbox, token))
        self._on_free()
        return released

    async def leave(self, replica: UUID) -> None:
        """Remove this replica; its mailboxes become free."""
        await self._write(ownership.leave, replica)
        self._on_free()

    draw_quota = WriteMethod(tenant_quota.draw_quota)
