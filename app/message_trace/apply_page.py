"""Application of a page of rows: only rows that are new or changed reach the store. Logs and metrics of the effects.

A row whose attempt is not settled yet, or whose cause cannot be read now, is not remembered: the next pass reads it
again.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from app import logs, metrics
from app.clock import Clock
from app.mail.delivery.bounce import NO_CAUSE, Cause
from app.mail.delivery.matching import recipient_key
from app.mail.delivery.states import DeliveryState, reported_state
from app.mail.delivery.trace_row import TraceRow
from app.mail.times import HOUR
from app.message_trace.leased_reader import LostReaderError
from app.store.message_trace.apply import BATCH_SIZE
from app.store.message_trace.records import Applied, Match, Reader, Report, Reports, Scope
from app.store.message_trace_store import TraceStore

MAX_REMEMBERED = 200_000  # rows
CAUSE_WAIT = 1.0 * HOUR  # seconds after the reception for which a bounce waits for its cause

FindCause = Callable[[TraceRow, DeliveryState], Awaitable[Cause | None]]
_WITH_CAUSE = frozenset({DeliveryState.BOUNCED, DeliveryState.DELAYED})


class PageProcessor:
    """Pages of one tenant. `find_cause` returns the cause of a row, or None if it cannot be read now."""

    def __init__(self, store: TraceStore, clock: Clock, find_cause: FindCause, scope: Scope) -> None:
        self._store = store
        self._clock = clock
        self._find_cause = find_cause
        self._scope = scope
        self._seen: OrderedDict[tuple[UUID | None, str], DeliveryState | None] = OrderedDict()

    async def process(self, reader: Reader, rows: Sequence[TraceRow], service_time: float) -> None:
        """Apply the rows that are new or changed. Raises LostReaderError, StoreUnavailableError."""
        reports = [Report(row, reported_state(row.status, service_time - row.received_at)) for row in rows]
        fresh = [report for report in reports if self._seen.get(_key(report.row), "") != report.state]
        for start in range(0, len(fresh), BATCH_SIZE):
            await self._apply(reader, fresh[start : start + BATCH_SIZE], service_time)

    async def _apply(self, reader: Reader, fresh: Sequence[Report], service_time: float) -> None:
        """Apply what can change something; rows of other mail are the most, and cost one query."""
        matches = await self._store.matches(fresh, self._scope)
        wanted = []
        for report, match in zip(fresh, matches, strict=True):
            if match in (Match.FOREIGN, Match.OTHER_RECIPIENT):
                self._remember(report, match)
            elif match is Match.EARLY:
                metrics.trace_row(match)
            elif (complete := await self._with_cause(report, match, service_time)) is not None:
                wanted.append(complete)
        if not wanted:
            return
        applied = await self._store.apply(Reports(reader, tuple(wanted), self._clock.now(), self._scope))
        if applied is None:
            raise LostReaderError
        for report, match in zip(wanted, applied.matches, strict=True):
            self._remember(report, match)
        report_applied(applied)

    async def _with_cause(self, report: Report, match: Match, service_time: float) -> Report | None:
        """Return the report with its cause, if it has one; None: it has to wait for the next pass."""
        if match is not Match.CHANGED or report.state not in _WITH_CAUSE:
            return report
        cause = await self._find_cause(report.row, report.state)
        if cause is None and service_time - report.row.received_at < CAUSE_WAIT:
            return None
        return Report(report.row, report.state, cause or NO_CAUSE)

    def _remember(self, report: Report, match: Match) -> None:
        metrics.trace_row(match)
        if match is Match.EARLY:
            return
        self._seen[_key(report.row)] = report.state
        self._seen.move_to_end(_key(report.row))
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)


def _key(row: TraceRow) -> tuple[UUID | None, str]:
    return row.network_id, recipient_key(row.recipient)


def report_applied(applied: Applied, key: str = "message trace") -> None:
    """Count and log the effects of reports. `key`: the source of the reports."""
    for state in applied.states:
        metrics.delivery_reported(state)
    for email in applied.confirmed:
        logs.confirmed(email, key=key)
    for email in applied.duplicates:
        metrics.duplicate_seen()
        logs.duplicate_seen(email)
