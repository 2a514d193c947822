"""Progress of reading the folders of a mailbox for non-delivery reports, fenced by the reader's lease."""

from sqlalchemy import Connection, bindparam, select

from app.frozen import frozen
from app.store.db.dialect import upsert
from app.store.db.writer import per_argument
from app.store.schema import report_folders
from app.store.trace.readers import is_held
from app.store.trace.records import FolderProgress, Reader, WaitingReport

_f = report_folders.c
_OF_MAILBOX = select(report_folders).where(_f.mailbox == bindparam("mailbox_name"))


@frozen
class FolderAdvance:
    """Progress of the reader of a mailbox."""

    reader: Reader
    progress: FolderProgress


def folders(connection: Connection, mailbox: str) -> dict[str, FolderProgress]:
    """Return the progress of the folders that were read, by folder."""
    return {
        row.folder: FolderProgress(row.folder, row.link, row.read_at, tuple(WaitingReport(*one) for one in row.waiting))
        for row in connection.execute(_OF_MAILBOX, {"mailbox_name": mailbox})
    }


@per_argument
def advance_folder(connection: Connection, change: FolderAdvance) -> bool:
    """Store progress. False: the lease was lost, and nothing is stored."""
    if not is_held(connection, change.reader):
        return False
    statement = upsert(connection.dialect.name, report_folders)
    values = {name: statement.excluded[name] for name in ("link", "read_at", "waiting")}
    statement = statement.on_conflict_do_update(index_elements=[_f.mailbox, _f.folder], set_=values)
    one = change.progress
    waiting = [[report.id, report.received_at] for report in one.waiting]
    row = {"mailbox": change.reader.tenant, "folder": one.folder, "link": one.link, "read_at": one.read_at}
    connection.execute(statement, {**row, "waiting": waiting})
    return True
