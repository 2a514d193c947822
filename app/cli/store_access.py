"""Access of the commands to the store: one query in it, its location, and the actor of changes in the audit log."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.cli.exit_codes import run
from app.operator_errors import ConfigurationError
from app.settings import StoreSettings, load
from app.store import Store
from app.store.db.engine import display_name
from app.store.keys.audit import Actor
from app.store.migrations import revision

T = TypeVar("T")

ACTOR = Actor("command line")


def with_store(query: Callable[[Store], Awaitable[T]], url: str | None = None, *, create: bool = False) -> T:
    """Open the store at `url`, or that of the settings, run a query and close it. An error ends the command.

    It is an error if there is no database, unless the command may `create` it.
    """
    return run(_with_store(query, url, create))


def database_location() -> tuple[str, str]:
    """Return the database of the settings for people, without a password, and the setting that decides it."""
    settings = load(StoreSettings)
    return display_name(settings.store_url), "POSTERN_DATABASE_URL" if settings.database_url else "POSTERN_DATA_DIR"


async def _with_store(query: Callable[[Store], Awaitable[T]], url: str | None, create: bool) -> T:
    chosen = url or load(StoreSettings).store_url
    if url is None and not create and revision(chosen) is None:
        name, setting = database_location()
        raise ConfigurationError(
            f"There is no database of Postern at {name}. {setting} decides where it is: set it as for `postern serve`. "
            "`postern serve` and `postern keys create` make a new database."
        )
    store = await Store.open(chosen)
    try:
        return await query(store)
    finally:
        await store.close()
