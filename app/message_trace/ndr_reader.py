"""Reader of the non-delivery reports in one mailbox: rounds over its Inbox and Junk Email, while it holds a lease.

Rule 1: a report counts only under the conditions of `app.mail.ndr.belief`, and is applied by the same function as a row
of the trace: once, in one commit, and a recipient's state only moves forward. So a report may be read again.
Rule 2: the link of a page is stored after its reports are applied. A reader that died reads the page again.
Rule 3: a report that comes before our own settlement is remembered by Graph's id, and read again until it applies.
So is a message that Graph cannot return now: it does not block the others.
Rule 4: if Graph has lost the state of the rounds (410), all messages since shortly before the last one are read.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from app import logs, metrics
from app.clock import Clock
from app.mail.delivery.bounce import MAX_CAUSE, Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.ndr.belief import SentEmail, bounces, disbelief
from app.mail.ndr.parse import RecipientReport, is_candidate, parse
from app.mail.ndr.parse import Report as DeliveryReport
from app.mail.retry_schedule import MESSAGE_LIFETIME
from app.mail.suppression import SeenBy
from app.message_trace import graph
from app.message_trace.apply_page import report_applied
from app.message_trace.graph import FORBIDDEN, GONE, NOT_FOUND, UNAUTHORIZED, GraphError
from app.message_trace.leased_reader import LeaseConfig, LeasedReader, LostReaderError
from app.message_trace.mailbox_client import FILTER_LIMIT, INBOX, JUNK, Fields, FolderMessage, FolderPage, MailboxClient
from app.message_trace.trace_window import OVERLAP, SWEEP
from app.store.message_trace.apply import BATCH_SIZE
from app.store.message_trace.records import (
    FolderProgress,
    Match,
    Position,
    Reader,
    Report,
    Reports,
    Scope,
    WaitingReport,
)
from app.store.message_trace_store import TraceStore

LEASE = LeaseConfig(seconds=60.0, renew_interval=15.0)  # there may be many mailboxes, and no hurry
WAIT_LIMIT = MESSAGE_LIFETIME  # seconds for which a report waits for our own settlement
MAX_WAITING = 500  # reports of a folder that wait

_OF_MAILBOX = (0, UNAUTHORIZED, FORBIDDEN)  # statuses that are about the mailbox, not about one message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Found:
    """Non-delivery report in the mailbox; None: Graph cannot return the message now."""

    place: WaitingReport
    report: DeliveryReport | None


class NdrReader(LeasedReader):
    """Reader of one mailbox. `scope`: the emails that its reports can be about."""

    def __init__(
        self,
        store: TraceStore,
        clock: Clock,
        client: MailboxClient,
        scope: Scope,
        replica: UUID,
        lease: LeaseConfig = LEASE,
    ) -> None:
        super().__init__("reports", client.mailbox, store, clock, replica, lease)
        self._mailbox = client.mailbox
        self._client = client
        self._scope = scope
        self._read_at: dict[str, float] = {}  # by folder

    async def read(self, position: Position) -> None:
        """Read what is new in each folder."""
        stored = await self._store.folders(self._mailbox)
        for folder in (INBOX, JUNK):
            await self._read_folder(position.reader, stored.get(folder) or FolderProgress(folder))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def taken(self, position: Position) -> None:
        """Continue with what is stored."""
        self._read_at.clear()

    def released(self) -> None:
        """Remove the metric of the mailbox."""
        metrics.ndr_released(self._mailbox)

    def failed(self, error: GraphError) -> None:
        """Log an error."""
        logs.ndr_failed(self._mailbox, reason=str(error))

    def measure(self) -> None:
        """Update the lag, which is that of the folder that was not read for longer."""
        if self._read_at:
            metrics.ndr_measured(self._mailbox, lag=self._client.service_time() - min(self._read_at.values()))

    async def _read_folder(self, reader: Reader, progress: FolderProgress) -> None:
        waiting = await self._read_again(reader, progress.waiting)
        progress = replace(progress, waiting=waiting)
        if progress.read_at is not None:
            self._read_at[progress.folder] = progress.read_at
        try:
            await self._round(reader, progress, progress.link)
        except GraphError as error:
            if error.status != GONE or progress.link is None:
                raise
            self.failed(error)
            await self._round(reader, progress, None)

    async def _read_again(self, reader: Reader, waiting: Sequence[WaitingReport]) -> tuple[WaitingReport, ...]:
        """Apply reports that waited; return those that still have to."""
        oldest = self._client.service_time() - WAIT_LIMIT
        found = [await self._load(place) for place in waiting if place.received_at >= oldest]
        return await self._apply(reader, [report for report in found if report is not None])

    async def _round(self, reader: Reader, progress: FolderProgress, link: str | None) -> None:
        """Read a folder to the end of a round: from the link, or, without one, the messages of the last days."""
        if link is not None:
            await self._pages(reader, progress, partial(self._client.next_page, link))
            return
        now = self._client.service_time()
        since = now - SWEEP if progress.read_at is None else progress.read_at - OVERLAP
        filtered = partial(self._client.first_page, progress.folder, since)
        if not await self._pages(reader, progress, filtered, since, FILTER_LIMIT):
            await self._pages(reader, progress, partial(self._client.first_page, progress.folder, None), since)

    async def _pages(
        self,
        reader: Reader,
        progress: FolderProgress,
        first: Callable[[], Awaitable[FolderPage]],
        since: float | None = None,
        limit: float = math.inf,
    ) -> bool:
        """Read the pages of a round, and store the progress after each.

        `since`: the round is a first one, which starts again if it is not completed; older messages are left out.
        False: it ended with `limit` messages or more, so that some may be missing, and is not completed.
        """
        number, request = 0, first
        started = self._client.service_time()
        while True:
            page = await self._send(request)
            number += len(page.messages)
            new = await self._process(
                reader, [message for message in page.messages if since is None or message.received_at >= since]
            )
            progress = replace(progress, waiting=(*progress.waiting, *new)[-MAX_WAITING:])
            if not page.more and number >= limit:
                return False
            if not page.more:
                progress = replace(progress, link=page.link, read_at=started)
            elif since is None:
                progress = replace(progress, link=page.link)
            if not await self._store.advance_folder(reader, progress):
                raise LostReaderError
            if not page.more:
                self._read_at[progress.folder] = started
                return True
            request = partial(self._client.next_page, page.link)

    async def _process(self, reader: Reader, messages: Iterable[FolderMessage]) -> tuple[WaitingReport, ...]:
        """Apply the reports among these messages; return those that have to wait."""
        found: list[_Found] = []
        for message in messages:
            if message.fields is None or is_candidate(message.fields):
                report = await self._load(WaitingReport(message.id, message.received_at), message.fields)
                found += [report] if report is not None else []
        return await self._apply(reader, found)

    async def _load(self, place: WaitingReport, fields: Fields | None = None) -> _Found | None:
        """Return the report in a message; None if it is none, or the message does not exist any more.

        `fields` None: they are not known. Raises GraphError: the mailbox cannot be read.
        """
        try:
            if fields is None and not is_candidate(await self._send(lambda: self._client.fields(place.id))):
                return None
            report = await asyncio.to_thread(parse, await self._send(lambda: self._client.content(place.id)))
        except GraphError as error:
            if error.status == NOT_FOUND:
                return None
            if error.status in _OF_MAILBOX:
                raise
            self.failed(error)
            return _Found(place, None)
        return None if report is None else _Found(place, report)

    async def _apply(self, reader: Reader, found: Sequence[_Found]) -> tuple[WaitingReport, ...]:
        """Apply believed reports; return those that came before our own settlement."""
        waiting = {entry.place.id: entry.place for entry in found if entry.report is None}
        named = {entry.report.message_id for entry in found if entry.report and entry.report.message_id}
        sent = await self._store.sent_emails(named, self._scope) if named else ()
        believed = [(entry, row) for entry in found for row in self._believed(entry, sent)]
        for start in range(0, len(believed), BATCH_SIZE):
            part = believed[start : start + BATCH_SIZE]
            rows = tuple(row for _, row in part)
            batch = Reports(reader, rows, self._clock.now(), self._scope, seen_by=SeenBy.NDR)
            if (applied := await self._store.apply(batch)) is None:
                raise LostReaderError
            report_applied(applied, "non-delivery report")
            for (entry, _), match in zip(part, applied.matches, strict=True):
                if match is Match.EARLY:
                    waiting[entry.place.id] = entry.place
        return tuple(waiting.values())

    def _believed(self, found: _Found, sent: Collection[tuple[UUID, SentEmail]]) -> list[Report]:
        """Return the believed bounces of a report; count it if it has none."""
        if found.report is None:
            return []
        emails: dict[str, set[UUID]] = {}
        blocks: dict[str, RecipientReport] = {}
        for id, email in sent:
            for address, block in bounces(found.report, self._mailbox, email).items():
                emails.setdefault(address, set()).add(id)
                blocks[address] = block
        if not blocks:
            metrics.ndr_disbelieved(disbelief(found.report, self._mailbox, [email for _, email in sent]))
        return [
            Report(
                TraceRow(None, found.report.message_id, address, found.place.received_at, ""),
                DeliveryState.BOUNCED,
                Cause(blocks[address].status, blocks[address].diagnostic[:MAX_CAUSE]),
                frozenset(ids),
            )
            for address, ids in emails.items()
        ]

    async def _send(self, send: Callable[[], Awaitable[T]]) -> T:
        return await graph.repeat(send, self._clock, self.failed)
