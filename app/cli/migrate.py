"""Command `postern migrate`."""

from typing import Annotated

import typer

from app.cli.exit_codes import Exit, report_errors
from app.cli.output import say
from app.settings import StoreSettings, load
from app.store.migrations import migrate as migrate_store
from app.store.migrations import revisions

Check = Annotated[bool, typer.Option("--check", help="Change nothing. Exit 0 if the schema is current, else 1.")]


def migrate(check: Check = False) -> None:
    """Migrate the database to the schema of this version. `postern serve` also does this when it starts."""
    with report_errors():
        url = load(StoreSettings).store_url
        if check:
            _check(*revisions(url))
        else:
            say(f"the database is at revision {migrate_store(url)}")


def _check(current: str | None, newest: str) -> None:
    if current == newest:
        say(f"the database is at revision {newest}, which is the revision of this version")
        return
    say(f"the database is at revision {current or 'none'}, this version needs {newest}; run: postern migrate")
    raise typer.Exit(Exit.FAILED)
