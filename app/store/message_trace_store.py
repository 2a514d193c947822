"""Store methods for the readers of Exchange's message trace and of non-delivery reports."""

from dataclasses import replace
from uuid import UUID

from app.store.db.methods import ReadMethod, WriteMethod
from app.store.db.reader import Reader as DatabaseReader
from app.store.db.writer import Writer
from app.store.message_trace import apply, match, readers, unseen
from app.store.message_trace.readers import FolderAdvance
from app.store.message_trace.records import Applied, Reports, Unseen, UnseenFound


class TraceStore:
    """Part of the store for the message trace and for non-delivery reports.

    Every method raises StoreUnavailableError if there is no database.

    Writes are fenced by the reader: after another replica has taken over, they change nothing.
    """

    def __init__(self, writer: Writer, reader: DatabaseReader) -> None:
        self._write = writer.write
        self._read = reader.read
        self.suppression_lifetime: float | None = None  # seconds, after a bounce; None: no end; 0: none

    hold = WriteMethod(readers.hold)
    release = WriteMethod(readers.release)
    advance = WriteMethod(readers.advance)
    read_until = ReadMethod(readers.read_until)
    matches = ReadMethod(match.matches)

    async def apply(self, batch: Reports) -> Applied | None:
        """Apply up to `apply.BATCH_SIZE` reports in one commit. None: the lease was lost."""
        return await self._write(apply.apply, replace(batch, suppression_lifetime=self.suppression_lifetime))

    oldest_unknown = ReadMethod(unseen.oldest_unknown)
    folders = ReadMethod(readers.folders)
    advance_folder = WriteMethod(readers.advance_folder, FolderAdvance)
    sent_emails = ReadMethod(match.sent_emails)

    async def mark_unseen(self, request: Unseen) -> UnseenFound:
        """Explain, or send again, held emails that Exchange's trace should contain and does not: all of them."""
        explained, retried = 0, tuple[UUID, ...]()
        while found := await self._write(unseen.mark_unseen, request):
            explained, retried = explained + found.explained, retried + found.retried
            if found.next is None:
                break
            request = replace(request, after=found.next)
        return UnseenFound(explained, retried, None)
