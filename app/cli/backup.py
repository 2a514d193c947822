"""`postern backup` and `postern restore`."""

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

Target = Annotated[Path, typer.Argument(help="A new file.")]
Source = Annotated[Path | None, typer.Argument(help="One that `postern backup` made. None for PostgreSQL.")]


def save(file: Target) -> None:
    """Copy the embedded database into a file, while Postern runs. PostgreSQL has pg_dump for that."""
    with _refusing():
        backup.save(load(StoreSettings).store_url, file)
    say(f"{file} is a whole copy, and it has mail in it: keep it as secret as the mail")


def restore(file: Source = None) -> None:
    """Go back to a backup while no Postern runs, and hold what waits in it: it may have been relayed since.

    PostgreSQL: restore the database by pg_restore before, then run this without a file.
    """
    with _refusing():
        url = load(StoreSettings).store_url
        held = _take_back(url, file) if file else _hold(url)
    say(f"{held} waiting messages are held, since they may have been relayed after the backup was made;")
    say("see: postern emails list --state held, and deploy/RUNBOOK.md")


def _take_back(url: str, source: Path) -> int:
    now = datetime.fromtimestamp(Clock().now(), UTC)
    lock = DatabaseFileLock(backup.embedded_file(url))
    lock.acquire()
    try:
        with backup.restoring(url, source, f".before-{now:%Y%m%dT%H%M%SZ}") as part:
            return run(_held(part))
    finally:
        lock.release()


def _hold(url: str) -> int:
    if file := database_file(url):
        raise BackupError(f"Give the file of the backup: {file} is an embedded database.")
    return run(_held(url))


async def _held(url: str) -> int:
    store = await Store.open(url)
    try:
        return await store.hold_waiting(Clock().now())
    finally:
        await store.close()


@contextmanager
def _refusing() -> Iterator[None]:
    with report_errors():
        try:
            yield
        except BackupError as error:
            raise end(Exit.FAILED, str(error)) from None
