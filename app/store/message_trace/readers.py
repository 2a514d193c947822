"""Lease of the reader of a tenant's message trace or of a mailbox's reports, and its progress in the trace or folders.

One replica reads at a time.

The lease counts by the database's clock. A change of the holder raises the token, which every write of the reader
checks under a lock; so a replica that lost the lease writes nothing.
"""

from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from app.frozen import frozen
from app.store.db.dialect import DatabaseNow, upsert
from app.store.db.writer import per_argument
from app.store.message_trace.records import FolderProgress, HoldRequest, Position, Progress, Reader, WaitingReport
from app.store.schema import report_folders, trace_readers


@frozen
class FolderAdvance:
    """Progress of the reader of a mailbox."""

    reader: Reader
    progress: FolderProgress


_t, _f = trace_readers.c, report_folders.c
_FOLDERS = select(report_folders).where(_f.mailbox == bindparam("mailbox_name"))
_FREE = (
    select(trace_readers)
    .where(_t.tenant == bindparam("tenant_name"), or_(_t.holder == bindparam("reader"), _t.until <= DatabaseNow()))
    .with_for_update(skip_locked=True)
)
_UPDATE = update(trace_readers).where(_t.tenant == bindparam("tenant_name"))
_FENCE = (
    select(_t.tenant)
    .where(_t.tenant == bindparam("tenant_name"), _t.holder == bindparam("reader"), _t.token == bindparam("fence"))
    .with_for_update()
)


@per_argument
def hold(connection: Connection, request: HoldRequest) -> Position | None:
    """Take or renew the lease of a tenant's or mailbox's reader. None: another replica has it."""
    new = {"tenant": request.tenant, "token": 0, "until": 0.0, "requests": []}
    connection.execute(upsert(connection.dialect.name, trace_readers).on_conflict_do_nothing(), new)
    row = connection.execute(_FREE, {"tenant_name": request.tenant, "reader": request.holder}).one_or_none()
    if row is None:
        return None
    token = row.token if row.holder == request.holder else row.token + 1
    values = {"holder": request.holder, "token": token, "until": DatabaseNow() + request.lease}
    connection.execute(_UPDATE.values(values), {"tenant_name": request.tenant})
    requests = tuple((float(at), int(number)) for at, number in row.requests)
    return Position(Reader(request.tenant, request.holder, token), row.watermark, row.swept_at, requests)


@per_argument
def release(connection: Connection, reader: Reader) -> None:
    """End the lease, so that another replica can take it at once."""
    if is_held(connection, reader):
        connection.execute(_UPDATE.values(until=0.0), {"tenant_name": reader.tenant})


@per_argument
def advance(connection: Connection, progress: Progress) -> bool:
    """Store progress. False: the lease was lost, and nothing is stored."""
    if not is_held(connection, progress.reader):
        return False
    values: dict[str, Any] = {}
    if progress.watermark is not None:
        values["watermark"] = progress.watermark
    if progress.swept_at is not None:
        values["swept_at"] = progress.swept_at
    if progress.requests is not None:
        values["requests"] = [list(one) for one in progress.requests]
    connection.execute(_UPDATE.values(values), {"tenant_name": progress.reader.tenant})
    return True


def read_until(connection: Connection) -> dict[str, float]:
    """Return until when each tenant has been read, by Exchange's clock; without those that have not been read yet."""
    rows = connection.execute(select(trace_readers.c.tenant, trace_readers.c.watermark))
    return {row.tenant: row.watermark for row in rows if row.watermark is not None}


def is_held(connection: Connection, reader: Reader) -> bool:
    """Return whether the reader still has its token, and lock it until the commit."""
    values = {"tenant_name": reader.tenant, "reader": reader.holder, "fence": reader.token}
    return connection.execute(_FENCE, values).first() is not None


def folders(connection: Connection, mailbox: str) -> dict[str, FolderProgress]:
    """Return the progress of the folders that were read, by folder."""
    return {
        row.folder: FolderProgress(row.folder, row.link, row.read_at, tuple(WaitingReport(*one) for one in row.waiting))
        for row in connection.execute(_FOLDERS, {"mailbox_name": mailbox})
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
