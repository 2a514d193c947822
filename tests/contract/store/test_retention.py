"""Retention: contents of ended messages go first, then the messages; unfinished ones stay at any age."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from app.mail.lifecycle import MessageState
from app.mail.message.message import OnUnknown
from app.store import Store, retention
from app.store.db import vacuum
from app.store.db.engine import write_engine
from app.store.queue.accept import Accepted
from app.store.records import Change, Email
from app.store.retention import RetentionCutoffs
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    LOST,
    NOW,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    once,
    settle,
    stored_emails,
)

LATER = NOW + 100 * DAY
TABLES = ("messages", "recipients", "attempts", "contents", "idempotency")


def bounds(contents: float = 0.0, messages: float = 0.0, now: float = NOW) -> RetentionCutoffs:
    """Return cutoffs at which only the given kind is old."""
    return RetentionCutoffs(now, contents=contents, messages=messages, events=0.0)


async def prune(store: Store, asked: RetentionCutoffs) -> list[int]:
    """Prune until nothing is left; return the removals of each step."""
    steps = []
    while part := await store.prune(asked):
        steps.append(part)
    return steps


async def ended(store: Store, attempt: Any = RELAYED, now: float = NOW, **changes: Any) -> UUID:
    """Store a message after one attempt with this result."""
    (id,) = await accept(store, acceptance(created_at=now, due_at=now, expires_at=now + 5 * DAY, **changes))
    assert await settle(store, await claim_one(store, now), attempt, now)
    return id


async def taken_back(store: Store, count: int, now: float = NOW) -> None:
    """Store ended messages of 50 kB."""
    for id in await accept(store, *(acceptance(content=b"x" * 50_000) for _ in range(count))):
        await store.cancel(id, now)


async def get(store: Store, id: UUID) -> Email:
    """Return a message, which must exist."""
    email = await store.get(id)
    assert email is not None
    return email


async def test_contents_go_first_and_the_rest_later(store: Store) -> None:
    """By the message's end; the message then has the time of the removal."""
    early, late = await ended(store), await ended(store, now=NOW + DAY)
    assert await prune(store, bounds(contents=NOW - 1)) == []
    assert await prune(store, bounds(contents=NOW, now=NOW + 7)) == [1]
    assert (await store.content(early), (await get(store, early)).content_removed_at) == (None, NOW + 7)
    assert (await get(store, early)).attempts[0].dialogue
    assert await store.content(late) is not None
    assert (await get(store, late)).content_removed_at is None

    assert await prune(store, bounds(messages=NOW)) == [1]
    assert await store.get(early) is None
    assert await store.get(late) is not None


async def test_a_message_is_not_deleted_before_its_content(store: Store, store_url: str) -> None:
    """The steps run in that order and leave no orphan."""
    await ended(store, REFUSED)
    await store.cancel((await accept(store))[0], NOW)
    assert await prune(store, bounds(contents=NOW, messages=NOW)) == [2, 2]
    assert rows(store_url) == dict.fromkeys(TABLES, 0)


async def test_unfinished_messages_are_never_removed(store: Store) -> None:
    """Queued, scheduled, deferred, held, active, or retried, at any age."""
    held = await ended(store, LOST, on_unknown=OnUnknown.HOLD)
    deferred = await ended(store, DEFERRED)
    retried = await ended(store, REFUSED)
    await store.retry(retried, NOW)
    (active,) = [one.id for one in await claim(store, 1)]
    scheduled, queued = await accept(store, acceptance(due_at=LATER, scheduled_at=LATER), acceptance())
    assert await prune(store, bounds(LATER, LATER, LATER)) == []
    for id in (held, deferred, retried, active, scheduled, queued):
        assert await store.content(id) is not None
        assert (await get(store, id)).state not in (MessageState.DONE, MessageState.CANCELLED)


async def test_a_message_without_content_cannot_be_retried(store: Store) -> None:
    id = await ended(store, REFUSED)
    await prune(store, bounds(contents=NOW))
    assert await store.retry(id, NOW) == Change(False, MessageState.DONE, has_content=False)
    assert await prune(store, bounds(messages=NOW)) == [1]
    assert await store.retry(id, NOW) is None


async def test_an_idempotency_key_is_removed_after_a_day(store: Store, store_url: str) -> None:
    answer = await store.accept([acceptance()], once())
    await prune(store, bounds(now=NOW + DAY - 1))
    assert rows(store_url)["idempotency"] == 1
    assert isinstance(answer, Accepted)
    assert await store.accept([acceptance(created_at=NOW + DAY - 1)], once()) == Accepted(answer.ids, replayed=True)
    assert await prune(store, bounds(now=NOW + DAY)) == [1]
    assert rows(store_url)["idempotency"] == 0


async def test_a_step_is_bounded(store: Store, store_url: str) -> None:
    """By rows and by bytes of content, or one larger message: accepts wait for no more."""
    sizes = [10, 10, 300, 10, 60, 60]
    for number, size in enumerate(sizes):
        await ended(store, now=NOW + number, content=b"x" * size)
    assert await prune(store, replace(bounds(contents=LATER), batch_bytes=100)) == [2, 1, 2, 1]
    many = retention.BATCH_SIZE + 1
    for id in await accept(store, *(acceptance() for _ in range(many))):
        await store.cancel(id, NOW)
    assert max(await prune(store, bounds(LATER, LATER))) == retention.BATCH_SIZE
    assert rows(store_url)["messages"] == 0


async def test_one_process_at_a_time_prunes(postgres_url: str) -> None:
    """Another one skips it without waiting."""
    store = await Store.open(postgres_url)
    id = await ended(store)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (retention.PRUNE_LOCK,))
        assert await store.prune(bounds(contents=NOW)) == 0
    assert await store.prune(bounds(contents=NOW)) == 1
    assert await store.content(id) is None
    await store.close()


async def test_locked_rows_are_skipped(postgres_url: str) -> None:
    store = await Store.open(postgres_url)
    ids = [await ended(store), await ended(store)]
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM messages WHERE id = %s FOR UPDATE", (ids[0],))
        assert await prune(store, bounds(contents=NOW)) == [1]
    assert await prune(store, bounds(contents=NOW)) == [1]
    await store.close()


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[tuple[Store, Path]]:
    """Store with incremental vacuum, and its file."""
    store = await Store.open(sqlite_url)
    yield store, Path(sqlite_url.removeprefix("sqlite:///"))
    await store.close()


async def test_the_file_reuses_space(small: tuple[Store, Path]) -> None:
    """Ten times as much mail needs no larger file."""
    store, file = small

    async def day(number: int) -> int:
        now = NOW + number * DAY
        await taken_back(store, 30, now)
        await prune(store, bounds(contents=now, messages=now, now=now))
        return pages(file)

    first = await day(0)
    assert max([await day(number) for number in range(1, 11)]) <= first * 1.1 + 20


async def test_the_file_shrinks_after_a_backlog(small: tuple[Store, Path]) -> None:
    """Step by step, and the remaining messages are intact."""
    store, file = small
    await taken_back(store, 200)
    (stored,) = await accept(store)
    before = pages(file)
    await prune(store, bounds(contents=NOW, messages=NOW))
    freed = []
    while part := await store.shrink(min_free_pages=16):
        freed.append(part)
    assert max(freed) <= vacuum.BATCH_PAGES < sum(freed)
    assert pages(file) <= before - sum(freed) < before / 10
    assert await store.content(stored) is not None
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_write_ahead_log_is_bounded(sqlite_url: str) -> None:
    """Also with concurrent readers."""
    store = await Store.open(sqlite_url)
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    sizes = []
    for _ in range(40):  # some 80 MiB
        await accept(store, *(acceptance(content=b"x" * 100_000) for _ in range(20)))
        await stored_emails(store, KEY)
        sizes.append(log.stat().st_size)
    await store.close()
    assert max(sizes) < 64 * 1024 * 1024 < sum(sizes)


def pages(file: Path) -> int:
    """Return the pages of the database and its log."""
    with closing(sqlite3.connect(file)) as connection:
        count: int = connection.execute("PRAGMA page_count").fetchone()[0]
        return count


def rows(url: str) -> dict[str, int]:
    """Return the number of rows of each table."""
    engine = write_engine(url)
    with engine.begin() as connection:
        counts = {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES}
    engine.dispose()
    return counts
