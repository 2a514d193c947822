"""Access of the commands to the store of the settings."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.cli.exit_codes import run
from app.settings import StoreSettings, load
from app.store import Store
from app.store.keys.audit_records import Actor

T = TypeVar("T")

ACTOR = Actor("command line")


def with_store(query: Callable[[Store], Awaitable[T]]) -> T:
    """Open the store, run a query and close it. An error ends the command with one line."""
    return run(_with_store(query))


async def _with_store(query: Callable[[Store], Awaitable[T]]) -> T:
    store = await Store.open(load(StoreSettings).store_url)
    try:
        return await query(store)
    finally:
        await store.close()
