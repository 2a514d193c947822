"""Access of the commands to the store."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.cli.exit_codes import run
from app.settings import StoreSettings, load
from app.store import Store
from app.store.keys.audit_records import Actor

T = TypeVar("T")

ACTOR = Actor("command line")


def with_store(query: Callable[[Store], Awaitable[T]], url: str | None = None) -> T:
    """Open the store at `url`, or that of the settings, run a query and close it. An error ends the command."""
    return run(_with_store(query, url))


async def _with_store(query: Callable[[Store], Awaitable[T]], url: str | None) -> T:
    store = await Store.open(url or load(StoreSettings).store_url)
    try:
        return await query(store)
    finally:
        await store.close()
