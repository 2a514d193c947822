"""Commands `postern backup` and `postern restore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.exit_codes import Exit, end, report_errors, run
from app.cli.output import say
from app.clock import Clock
from app.settings import StoreSettings, load
from app.store import BackupError, Store
from app.store.db import backup
from app.store.db.engine import database_file
from app.store.db.file_lock import DatabaseFileLock

Target = Annotated[Path, typer.Argument(help="File to create; it must not exist.")]
Source = Annotated[Path | None, typer.Argument(help="File made by `postern backup`. Omit it for PostgreSQL.")]


def save(file: Target) -> None:
    """Copy the embedded SQLite database to a file while Postern runs. For PostgreSQL use pg_dump."""
    with _report_backup_errors():
        backup.save(load(StoreSettings).store_url, file)
    say(f"{file} is a complete copy. It contains emails: protect it like the emails themselves")


def restore(file: Source = None) -> None:
    """Restore a backup while no Postern runs, and hold its waiting emails: they may have been sent since the backup.

    For PostgreSQL, restore the database with pg_restore first, then run this command without a file.
    """
    with _report_backup_errors():
        url = load(StoreSettings).store_url
        held = _restore_file(url, file) if file else _hold_waiting(url)
    say(f"{held} waiting emails are held, because they may have been sent after the backup was made;")
    say("see: postern emails list --state held, and deploy/RUNBOOK.md")


def _restore_file(url: str, source: Path) -> int:
    now = datetime.fromtimestamp(Clock().now(), UTC)
    lock = DatabaseFileLock(backup.embedded_file(url))
    lock.acquire()
    try:
        with backup.restoring(url, source, f".before-{now:%Y%m%dT%H%M%SZ}") as part:
            return run(_hold_in(part))
    finally:
        lock.release()


def _hold_waiting(url: str) -> int:
    if file := database_file(url):
        raise BackupError(f"Give the file of the backup, because {file} is an embedded database.")
    return run(_hold_in(url))


async def _hold_in(url: str) -> int:
    store = await Store.open(url)
    try:
        return await store.hold_waiting(Clock().now())
    finally:
        await store.close()


@contextmanager
def _report_backup_errors() -> Iterator[None]:
    with report_errors():
        try:
            yield
        except BackupError as error:
            raise end(Exit.FAILED, str(error)) from None
