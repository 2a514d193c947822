"""What a verb of the store costs behind a backlog (G12): the same verbs over few and over many waiting messages."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar
from uuid import UUID

from app.store import Store
from tests.bench.composing import Figures
from tests.contract.store.build import MAILBOX, NOW, POOL, accept, acceptance, owned

FEW, MANY = 1_000, 1_000_000
_TIMES = 200
_COPY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
INSERT INTO {table} SELECT {values} FROM (SELECT * FROM {table} LIMIT 1), numbers
"""

T = TypeVar("T")


def behind(waiting: int, folder: Path) -> Callable[[], Figures]:
    """A store with so many waiting messages, and how to measure it once."""
    url = f"sqlite:///{folder}/backlog-{waiting}.db"
    asyncio.run(_begin(url))
    _fill(url, waiting)
    return lambda: asyncio.run(_measure(url))


async def _begin(url: str) -> None:
    store = await Store.open(url)
    await accept(store)
    await store.close()


def _fill(url: str, count: int) -> None:
    """Copies of the one message, each with a turn of its own."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for table in ("messages", "recipients"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            own = {"id": "printf('%032x', n)", "message_id": "printf('%032x', n)", "turn": "n"}
            own = {**own, "message_id": '"message_id"'} if table == "messages" else own
            values = ", ".join(own.get(name, f'"{name}"') for name in names)
            connection.execute(_COPY.format(table=table, values=values, count=count))
        connection.execute("UPDATE turns SET last = ?", (count,))
    connection.close()


async def _measure(url: str) -> Figures:
    """Medians in milliseconds."""
    store = await Store.open(url)
    kept = acceptance()
    await accept(store, kept)
    figures = {
        "accept": await _time(lambda: store.accept([acceptance()])),
        "claim": await _claims(store),
        "get": await _time(partial(_get, store, kept.id)),
    }
    await store.close()
    return figures


async def _get(store: Store, id: UUID) -> None:
    """What GET /emails/{id} reads of a waiting message."""
    await store.get(id)
    await store.outlook(id, NOW)


async def _claims(store: Store) -> float:
    taken, fence = [], await owned(store)

    async def claim() -> None:
        taken.append(await store.claim(POOL, MAILBOX, 8, NOW, NOW + 60, fence=fence))

    spent = await _time(claim)
    for claimed in taken:
        await store.give_back(claimed)
    return spent


async def _time(verb: Callable[[], Awaitable[T]]) -> float:
    spent = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await verb()
        spent.append(time.perf_counter() - began)
    return median(spent) * 1000
