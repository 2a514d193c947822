"""Cost of the store's verbs behind a backlog (G12) and over traced mail (TRACE): over few and over many messages.

For G12 the store has as many finished messages as waiting ones, for TRACE only finished ones. The server of PostgreSQL
is the tests' own, which does not wait for the disk: that wait would hide what grows with the backlog.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import Connection, text

from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.lifecycle import LastEvent
from app.store import Store
from app.store.db.engine import write_engine
from app.store.message_trace.records import HoldRequest, Report, Reports
from app.store.read.records import Selection
from app.store.retention import BATCH_SIZE, RetentionCutoffs
from tests.bench.measures.composing import Figures
from tests.contract.store.build import (
    DAY,
    MAILBOX,
    NOW,
    POOL,
    RELAYED,
    SCOPE,
    accept,
    acceptance,
    claim_one,
    owned,
    settle,
)

FEW, MANY = 1_000, 1_000_000
_TIMES = 200
_STEPS = 20  # of retention, each of AT_ONCE messages
_OVER = 1 << 40  # where the ids begin of what is over
_OLD = 1 << 41  # and of what is removed
_ID = {
    "sqlite": "printf('%032x', n + {first})",
    "postgresql": "lpad(to_hex(n + {first}), 32, '0')::uuid",
}
_COPY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
INSERT INTO {table} SELECT {values} FROM (SELECT * FROM {table} WHERE "{key}" = '{like}') AS one, numbers
"""

T = TypeVar("T")


def behind(waiting: int, url: str) -> Callable[[], Figures]:
    """A store with so many waiting messages and as many that are over, and how to measure it once."""
    one, done = asyncio.run(_begin(url))
    with _transaction(url) as connection:
        _fill(connection, "messages", one, waiting, 0, turn="n")
        _fill(connection, "recipients", one, waiting, 0)
        connection.execute(text("UPDATE turns SET last = :last"), {"last": waiting})
        _fill_over(connection, done, waiting, _OVER)
    _vacuum(url)
    rounds = iter(range(1_000_000))
    return lambda: asyncio.run(_measure(url, done, _OLD + next(rounds) * _STEPS * BATCH_SIZE))


def traced(count: int, url: str) -> Callable[[], Figures]:
    """Store with so many recipients that the message trace has reported, and their emails; how to measure it once."""
    one, done = asyncio.run(_begin(url))
    asyncio.run(_report(url, done))
    with _transaction(url) as connection:
        _fill_over(connection, done, count, _OVER, message_id="'m' || n || '@framework.example'")
        _fill(connection, "traces", done, count, _OVER)
    _vacuum(url)
    return lambda: asyncio.run(_measure_traced(url, one, count))


async def _report(url: str, done: UUID) -> None:
    store = await Store.open(url)
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=1), DAY))
    row = TraceRow(UUID(int=1), f"{done}@contoso.com", "b@example.com", NOW, "delivered")
    assert position is not None
    report = Report(row, DeliveryState.DELIVERED)
    assert await store.traces.apply(Reports(position.reader, (report,), NOW, SCOPE)) is not None
    await store.traces.release(position.reader)
    await store.close()


async def _measure_traced(url: str, one: UUID, count: int) -> Figures:
    """Medians in milliseconds. `one`: a waiting message."""
    store = await Store.open(url)
    await store.cancel(one, NOW)
    await accept(store, *(acceptance() for _ in range(8 * _TIMES)))
    row = TraceRow(UUID(int=1), f"m{count // 2}@framework.example", "b@example.com", NOW, "delivered")
    reports = [Report(row, DeliveryState.DELIVERED)]
    figures = {
        "accept": await _time(lambda: store.accept([acceptance()])),
        "claim": await _claims(store),
        "list": await _time(lambda: store.list_emails(Selection(last_event=LastEvent.DELIVERED), 20, NOW)),
        "match": await _time(lambda: store.traces.matches(reports, SCOPE)),
    }
    await store.close()
    return figures


async def _begin(url: str) -> tuple[UUID, UUID]:
    """One message that waits and one that is over."""
    store = await Store.open(url)
    (done,) = await accept(store)
    await settle(store, await claim_one(store), RELAYED)
    (one,) = await accept(store)
    await store.close()
    return one, done


def _fill_over(connection: Connection, done: UUID, count: int, first: int, **own: str) -> None:
    _fill(connection, "messages", done, count, first, **own)
    for table in ("recipients", "attempts", "contents"):
        _fill(connection, table, done, count, first)


def _fill(connection: Connection, table: str, like: UUID, count: int, first: int, **own: str) -> None:
    """Copies of the rows of one message, with ids of their own."""
    dialect = connection.dialect.name
    key = "id" if table == "messages" else "message_id"
    names = connection.execute(text(f"SELECT * FROM {table} LIMIT 0")).keys()
    own = {**own, key: _ID[dialect].format(first=first)}
    values = ", ".join(own.get(name, f'"{name}"') for name in names)
    same = like.hex if dialect == "sqlite" else str(like)
    connection.exec_driver_sql(_COPY.format(table=table, values=values, count=count, key=key, like=same))


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    engine = write_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _vacuum(url: str) -> None:
    """As a server does by itself within a minute."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


async def _measure(url: str, done: UUID, first: int) -> Figures:
    """Medians in milliseconds."""
    with _transaction(url) as connection:
        _fill_over(connection, done, _STEPS * BATCH_SIZE, first, ended_at=f"{NOW - 100 * DAY} + n")
    store = await Store.open(url)
    stored = acceptance()
    await accept(store, stored)
    figures = {
        "accept": await _time(lambda: store.accept([acceptance()])),
        "claim": await _claims(store),
        "get": await _time(partial(_get, store, stored.id)),
        "prune": await _prunes(store),
    }
    await store.close()
    return figures


async def _get(store: Store, id: UUID) -> None:
    """Read a waiting message as GET /emails/{id} does."""
    await store.get(id)
    await store.queue_position(id, NOW)


async def _claims(store: Store) -> float:
    taken, fence = [], await owned(store)

    async def claim() -> None:
        taken.append(await store.claim(POOL, MAILBOX, 8, NOW, NOW + 60, fence=fence) or [])

    spent = await _time(claim)
    for claimed in taken:
        await store.give_back(claimed)
    return spent


async def _prunes(store: Store) -> float:
    """A step that removes contents and one that removes the rest."""
    bounds = RetentionCutoffs(NOW, contents=NOW - 50 * DAY, messages=NOW - 50 * DAY, events=0.0)
    spent = await _time(lambda: store.prune(bounds), 2 * _STEPS)
    assert await store.prune(bounds) == 0
    return spent


async def _time(verb: Callable[[], Awaitable[T]], times: int = _TIMES) -> float:
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        await verb()
        spent.append(time.perf_counter() - began)
    return median(spent) * 1000
