"""`postern migrate`."""

from typing import Annotated

import typer

from app.cli.exit_codes import Exit, report_errors
from app.cli.output import say
from app.settings import StoreSettings, load
from app.store.migrations import migrate as to_newest
from app.store.migrations import revisions

Check = Annotated[bool, typer.Option("--check", help="Change nothing: exit 0 if there is nothing to do, else 1.")]


def migrate(check: Check = False) -> None:
    """Bring the database to this version's schema. `postern serve` does the same when it starts."""
    with report_errors():
        url = load(StoreSettings).store_url
        if check:
            _check(*revisions(url))
        else:
            say(f"the database is at revision {to_newest(url)}")


def _check(there: str | None, here: str) -> None:
    if there == here:
        say(f"the database is at revision {here}, as this version has it")
        return
    say(f"the database is at revision {there or 'none'}; this version brings it to {here}: postern migrate")
    raise typer.Exit(Exit.FAILED)
