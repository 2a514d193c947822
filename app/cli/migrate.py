"""`postern migrate`."""

import typer

from app.cli.exits import plainly
from app.settings import StoreSettings, load
from app.store.migrations import migrate as to_newest


def migrate() -> None:
    """Bring the database to this version's schema. `postern serve` does the same when it starts."""
    with plainly():
        settings = load(StoreSettings)
        revision = to_newest(settings.store_url)
    typer.echo(f"the database is at revision {revision}")
