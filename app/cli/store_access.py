"""The commands' one way to the store: open what the settings name, ask once, close."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.cli.exit_codes import run
from app.settings import StoreSettings, load
from app.store import Store
from app.store.keys.audit_records import Actor

T = TypeVar("T")

BY = Actor("command line")


def with_store(question: Callable[[Store], Awaitable[T]]) -> T:
    """What the store answers. A store that cannot be opened ends the command in one line."""
    return run(_with_store(question))


async def _with_store(question: Callable[[Store], Awaitable[T]]) -> T:
    store = await Store.open(load(StoreSettings).store_url)
    try:
        return await question(store)
    finally:
        await store.close()
