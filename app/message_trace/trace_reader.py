"""Reader of the message trace of one tenant: a lease in the store, and passes over the rows while it is held.

Rule 1: one replica reads a tenant; every write of it is fenced by the token of its lease.
Rule 2: the watermark moves only after a complete pass, and is never before a row that was not read. So a reader that
died, or could not read for hours, misses nothing; a row that is read again changes nothing.
Rule 3: no more than the budget of requests is sent, and Retry-After is obeyed.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from app import logs, metrics
from app.clock import Clock
from app.mail.delivery.bounce import Cause, cause_of
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.times import HOUR
from app.message_trace import graph, trace_window
from app.message_trace.apply_page import PageProcessor
from app.message_trace.graph import GraphError
from app.message_trace.leased_reader import LeaseConfig, LeasedReader, LostReaderError
from app.message_trace.request_budget import RequestBudget
from app.message_trace.trace_client import Page, TraceClient
from app.message_trace.trace_window import TimeRange
from app.store.message_trace.records import Position, Progress, Reader, Scope, Unseen
from app.store.message_trace_store import TraceStore
from app.store.records import FIRST_ID

DETAILS_RESERVE = 20  # requests that the details leave for pages

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """Tenant and its emails. `settle_hours`: after them a held email without a row was not seen."""

    tenant: str
    scope: Scope
    settle_hours: float


class TraceReader(LeasedReader):
    """Reader of one tenant."""

    def __init__(
        self,
        store: TraceStore,
        clock: Clock,
        client: TraceClient,
        config: TraceConfig,
        replica: UUID,
        lease: LeaseConfig | None = None,
    ) -> None:
        super().__init__("trace", config.tenant, store, clock, replica, lease or LeaseConfig())
        self._client = client
        self._config = config
        self._replica = replica
        self._budget = RequestBudget(store, clock, client.service_time)
        self._pages = PageProcessor(store, clock, self._find_cause, config.scope)

    def taken(self, position: Position) -> None:
        """Count the requests of the previous holder of the lease."""
        self._budget.restore(position.requests)

    def released(self) -> None:
        """Remove the metrics of the tenant."""
        metrics.trace_released(self._config.tenant)

    def failed(self, error: GraphError) -> None:
        """Log an error."""
        logs.trace_failed(self._config.tenant, reason=str(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read(self, position: Position) -> None:
        """Read the newest rows; at times, read older ones again."""
        reader = position.reader
        if position.watermark is None:  # the answer tells Microsoft's time, which the range needs
            await self._request(reader, lambda: self._client.first_page(f"messageId eq '<{self._replica}>'"))
        now = self._client.service_time() - 1.0  # a range in the future is refused
        for times in trace_window.pass_ranges(await self._watermark(position, now), now):
            await self._read(reader, times)
            position = await self._progress(position, Progress(reader, watermark=times.end))
        if (older := trace_window.sweep_range(position.swept_at, now)) is not None:
            await self._read(reader, older)
            position = await self._progress(position, Progress(reader, swept_at=now))
        await self._mark_unseen(reader, now)

    async def _watermark(self, position: Position, now: float) -> float:
        if position.watermark is not None:
            return position.watermark
        return trace_window.first_watermark(now, await self._store.oldest_unknown())

    async def _mark_unseen(self, reader: Reader, now: float) -> None:
        """Explain, or send again, what the trace should contain. `now`: by Microsoft's clock, as ours may be wrong."""
        since, before = now - trace_window.MAX_AGE + trace_window.OVERLAP, now - self._config.settle_hours * HOUR
        request = Unseen(reader, self._config.scope, since, before, self._clock.now(), FIRST_ID)
        found = await self._store.mark_unseen(request)
        if found.explained:
            logs.trace_unseen(found.explained)
        for email in found.retried:
            logs.retried(email, key="message trace")

    async def _progress(self, position: Position, progress: Progress) -> Position:
        if not await self._store.advance(progress):
            raise LostReaderError
        position = self.position = Position(
            position.reader,
            position.watermark if progress.watermark is None else progress.watermark,
            position.swept_at if progress.swept_at is None else progress.swept_at,
            (),
        )
        return position

    async def _read(self, reader: Reader, times: TimeRange) -> None:
        """Read all rows of a range. Raises GraphError: some were not read."""
        for asked in trace_window.filters(times, self._config.scope.own_domains):
            send: Callable[[], Awaitable[Page]] | None = partial(self._client.first_page, asked)
            while send is not None:
                page = await self._request(reader, send)
                await self._pages.process(reader, page.rows, self._client.service_time())
                send = None if page.next_link is None else partial(self._client.next_page, page.next_link)

    async def _request(self, reader: Reader, send: Callable[[], Awaitable[T]]) -> T:
        """Send a request within the budget. Raises GraphError, LostReaderError."""

        async def once() -> T:
            await self._budget.take(reader)
            return await send()

        return await graph.repeat(once, self._clock, self.failed)

    async def _find_cause(self, row: TraceRow, state: DeliveryState) -> Cause | None:
        """Return the cause in the details of a row; None if it cannot be read now."""
        position = self.position
        if position is None:
            raise LostReaderError
        if self._budget.left <= DETAILS_RESERVE:
            return None
        try:
            return cause_of(await self._request(position.reader, lambda: self._client.details(row)), state)
        except GraphError as error:
            self.failed(error)
            return None

    def measure(self) -> None:
        """Update lag and budget."""
        position = self.position
        if position is not None and position.watermark is not None:
            lag = self._client.service_time() - position.watermark
            metrics.trace_measured(self._config.tenant, lag=lag, requests_left=self._budget.left)


def domains_of(senders: Iterable[str]) -> frozenset[str]:
    """Return the domains of sender patterns such as `*@contoso.com`; a pattern of many domains contains `*`."""
    return frozenset(pattern.rpartition("@")[2].lower() for pattern in senders)
