"""Store methods for the readers of Exchange's message trace and of non-delivery reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from app.mail.ndr.belief import SentEmail
from app.store.db.reader import Reader as DatabaseReader
from app.store.db.writer import Writer
from app.store.message_trace import apply, match, readers, unseen
from app.store.message_trace.readers import FolderAdvance
from app.store.message_trace.records import (
    Applied,
    FolderProgress,
    HoldRequest,
    Match,
    Position,
    Progress,
    Reader,
    Report,
    Reports,
    Scope,
    Unseen,
    UnseenFound,
)


class TraceStore:
    """Part of the store for the message trace and for non-delivery reports.

    Every method raises StoreUnavailableError if there is no database.

    Writes are fenced by the reader: after another replica has taken over, they change nothing.
    """

    def __init__(self, writer: Writer, reader: DatabaseReader) -> None:
        self._write = writer.write
        self._read = reader.read
        self.suppression_lifetime: float | None = None  # seconds, after a bounce; None: no end; 0: none

    async def hold(self, request: HoldRequest) -> Position | None:
        """Take or renew the lease of a tenant's or mailbox's reader. None: another replica has it."""
        return await self._write(readers.hold, request)

    async def release(self, reader: Reader) -> None:
        """End the lease, so that another replica can take it at once."""
        await self._write(readers.release, reader)

    async def advance(self, progress: Progress) -> bool:
        """Store progress. False: the lease was lost."""
        return await self._write(readers.advance, progress)

    async def read_until(self) -> dict[str, float]:
        """Return until when the trace of each tenant has been read (epoch seconds)."""
        return await self._read(readers.read_until)

    async def matches(self, reports: Sequence[Report], scope: Scope) -> list[Match]:
        """Return the match of each report, in order, without a change."""
        return await self._read(partial(match.matches, reports=reports, scope=scope))

    async def apply(self, batch: Reports) -> Applied | None:
        """Apply up to `apply.BATCH_SIZE` reports in one commit. None: the lease was lost."""
        return await self._write(apply.apply, replace(batch, suppression_lifetime=self.suppression_lifetime))

    async def oldest_unknown(self) -> float | None:
        """Return when the last attempt of the oldest held email with an unknown outcome ended; None without one."""
        return await self._read(unseen.oldest_unknown)

    async def folders(self, mailbox: str) -> Mapping[str, FolderProgress]:
        """Return the progress of reading the folders of a mailbox for non-delivery reports, by folder."""
        return await self._read(partial(readers.folders, mailbox=mailbox))

    async def advance_folder(self, reader: Reader, progress: FolderProgress) -> bool:
        """Store the progress of a folder of the reader's mailbox. False: the lease was lost."""
        return await self._write(readers.advance_folder, FolderAdvance(reader, progress))

    async def sent_emails(self, message_ids: Iterable[str], scope: Scope) -> list[tuple[UUID, SentEmail]]:
        """Return the emails with these Message-IDs, each with its id, and once for every mailbox that has sent it."""
        return await self._read(partial(match.sent_emails, message_ids=message_ids, scope=scope))

    async def mark_unseen(self, request: Unseen) -> UnseenFound:
        """Explain, or send again, held emails that Exchange's trace should contain and does not: all of them."""
        explained, retried = 0, tuple[UUID, ...]()
        while found := await self._write(unseen.mark_unseen, request):
            explained, retried = explained + found.explained, retried + found.retried
            if found.next is None:
                break
            request = replace(request, after=found.next)
        return UnseenFound(explained, retried, None)
