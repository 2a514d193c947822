"""Commands on the whole database: `postern migrate`, `postern backup` and `postern restore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.cli.exit_codes import Exit, end, report_errors
from app.cli.output.text import AsJson, print_json, print_line
from app.cli.store_access import ACTOR, with_store
from app.clock import Clock
from app.settings import StoreSettings, load
from app.store import BackupError, Store
from app.store.db.backup import embedded_file, restoring, save
from app.store.db.engine import database_file
from app.store.db.file_lock import DatabaseFileLock
from app.store.keys.audit import AuditAction, Entry
from app.store.migrations import migrate as migrate_store
from app.store.migrations import revisions

Check = Annotated[bool, typer.Option("--check", help="Change nothing. Exit 0 if the schema is current, else 1.")]
Target = Annotated[Path, typer.Argument(help="File to create; it must not exist.")]
Source = Annotated[Path | None, typer.Argument(help="File made by `postern backup`. Omit it for PostgreSQL.")]


def migrate(check: Check = False, as_json: AsJson = False) -> None:
    """Run `postern migrate`."""
    with report_errors():
        url = load(StoreSettings).store_url
        if check:
            _check_revision(*revisions(url), as_json)
        elif as_json:
            print_json({"revision": migrate_store(url)})
        else:
            print_line(f"the database is at revision {migrate_store(url)}")


def _check_revision(current: str | None, newest: str, as_json: bool) -> None:
    if as_json:
        print_json({"revision": current, "newest": newest})
        raise typer.Exit(Exit.DONE if current == newest else Exit.FAILED)
    if current == newest:
        print_line(f"the database is at revision {newest}, which is the revision of this version")
        return
    print_line(f"the database is at revision {current or 'none'}, this version needs {newest}; run: postern migrate")
    raise typer.Exit(Exit.FAILED)


def backup(file: Target, as_json: AsJson = False) -> None:
    """Run `postern backup`."""
    with _report_backup_errors():
        save(load(StoreSettings).store_url, file)
    if as_json:
        print_json({"file": str(file)})
        return
    print_line(f"{file} is a complete copy. It contains emails: protect it like the emails themselves")


def restore(file: Source = None, as_json: AsJson = False) -> None:
    """Run `postern restore`."""
    with _report_backup_errors():
        url = load(StoreSettings).store_url
        held = _restore_file(url, file) if file else _hold_in_server(url)
    if as_json:
        print_json({"held_count": held})
        return
    print_line(f"{held} waiting emails are held, because they may have been sent after the backup was made;")
    print_line("see: postern emails list --state held, and deploy/RUNBOOK.md")


def _restore_file(url: str, source: Path) -> int:
    now = datetime.fromtimestamp(Clock().now(), UTC)
    lock = DatabaseFileLock(embedded_file(url))
    lock.acquire()
    try:
        with restoring(url, source, f".before-{now:%Y%m%dT%H%M%SZ}") as restored:
            return _hold_emails(restored)
    finally:
        lock.release()


def _hold_in_server(url: str) -> int:
    if file := database_file(url):
        raise BackupError(f"Give the file of the backup, because {file} is an embedded database.")
    return _hold_emails(url)


def _hold_emails(url: str) -> int:
    return with_store(_hold_waiting, url)


async def _hold_waiting(store: Store) -> int:
    now = Clock().now()
    held = await store.hold_waiting(now)
    await store.record(Entry(now, ACTOR, AuditAction.DATABASE_RESTORED, "database", {"held": held}))
    return held


@contextmanager
def _report_backup_errors() -> Iterator[None]:
    with report_errors():
        try:
            yield
        except BackupError as error:
            raise end(Exit.FAILED, str(error)) from None
