"""Writer: group commits, isolation of failed requests, and recovery from every database error."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.mail.message.message import Envelope, Message
from app.store import Store, StoreUnavailableError
from app.store.db import engine, writer
from app.store.db.writer import Writer
from app.store.migrations import migrate
from app.store.queue.accept import Acceptance, Accepted
from app.store.records import ANY_POOL, WorkHint
from tests.contract.store.build import (
    DEFERRED,
    NOW,
    POOL,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    owned,
    settle,
    stored_emails,
)


@pytest.fixture
def pragmas() -> Iterator[dict[str, str]]:
    """Pragmas of every new connection."""
    extra: dict[str, str] = {}

    def configure(connection: Any, _: object) -> None:
        for name, value in extra.items():
            connection.execute(f"PRAGMA {name}={value}")

    event.listen(Engine, "connect", configure)
    yield extra
    event.remove(Engine, "connect", configure)


async def test_requests_of_one_loop_turn_are_one_commit(store: Store) -> None:
    commits: list[object] = []
    count = commits.append
    event.listen(Engine, "commit", count)
    answers = await asyncio.gather(
        *(store.accept([acceptance()]) for _ in range(100)), store.write_probe(), store.write_probe()
    )
    event.remove(Engine, "commit", count)
    assert len(answers) == 102
    assert len(commits) == 1


async def test_an_invalid_request_fails_alone(store: Store) -> None:
    """The others of its group are stored."""
    bad = acceptance(message=Message(Envelope("\ud800@contoso.com", ("b@example.com",)), "id", b"\r\n"))
    good = [acceptance() for _ in range(9)]
    answers = await asyncio.gather(*(store.accept([one]) for one in (*good, bad)), return_exceptions=True)
    assert isinstance(answers.pop(), UnicodeEncodeError)
    assert answers == [Accepted((one.id,)) for one in good]


async def test_a_full_disk_fails_the_group_and_is_survived(sqlite_url: str, pragmas: dict[str, str]) -> None:
    """Earlier messages are there, and writes succeed once there is space."""
    pragmas["max_page_count"] = "300"
    store = await Store.open(sqlite_url)
    stored: list[Acceptance] = []
    refused: list[Acceptance] = []
    while not refused:
        batch = [acceptance(content=b"x" * 50_000) for _ in range(4)]
        answers = await asyncio.gather(*(store.accept([one]) for one in batch), return_exceptions=True)
        failed = [isinstance(answer, StoreUnavailableError) for answer in answers]
        assert all(failed) or not any(failed)
        (refused if any(failed) else stored).extend(batch)
    with pytest.raises(StoreUnavailableError, match=r"full.*Free some disk space"):
        await store.accept(batch)
    assert [await store.get(one.id) for one in refused] == [None] * 4
    assert None not in [await store.content(one.id) for one in stored]
    pragmas["max_page_count"] = "30000"
    assert await accept(store, *refused)
    await store.close()


async def test_a_read_only_database_fails_writes_and_is_survived(sqlite_url: str, pragmas: dict[str, str]) -> None:
    """Reads succeed meanwhile."""
    store = await Store.open(sqlite_url)
    pragmas["query_only"] = "ON"
    with pytest.raises(StoreUnavailableError, match=r"readonly.*writable"):
        await store.accept([acceptance()])
    with pytest.raises(StoreUnavailableError):
        await store.write_probe()
    assert await stored_emails(store) == []
    pragmas.clear()
    await store.write_probe()
    await accept(store)
    await store.close()


async def test_a_locked_database_fails_writes_and_is_survived(sqlite_url: str, pragmas: dict[str, str]) -> None:
    """Reads succeed meanwhile."""
    pragmas["busy_timeout"] = "20"
    store = await Store.open(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.accept([acceptance()])
    assert await stored_emails(store) == []
    other.execute("ROLLBACK")
    other.close()
    await accept(store)
    await store.close()


async def test_a_cancelled_request_does_not_affect_its_group(store: Store) -> None:
    """Cancelled before its group, or during the commit."""
    for turns in range(6):
        callers = [asyncio.create_task(store.accept([acceptance()])) for _ in range(8)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(answer, Accepted) for answer in answers[1::2])


async def test_close_commits_pending_requests(store_url: str) -> None:
    """Later requests are refused."""
    store = await Store.open(store_url)
    stored = [acceptance() for _ in range(20)]
    callers = [asyncio.create_task(store.accept([one])) for one in stored]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*callers) == [Accepted((one.id,)) for one in stored]
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.accept([acceptance()])
    await store.close()
    again = await Store.open(store_url)
    assert len(await stored_emails(again)) == 20
    await again.close()


async def test_writes_of_siblings_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are requested in different turns of the loop. A write that waits for nobody ends the wait."""
    await accept(store, *(acceptance() for _ in range(4)))
    claimed = await claim(store, 4)
    monkeypatch.setattr(writer, "SIBLING_WAIT", 3600.0)
    commits: list[object] = []
    count = commits.append
    event.listen(Engine, "commit", count)
    requests: list[asyncio.Task[Any]] = []
    for part in claimed[:3]:
        requests.append(asyncio.create_task(store.mark_dot(part, siblings=2)))
        await asyncio.sleep(0)
    assert await asyncio.gather(*requests) == [True] * 3
    assert len(commits) == 1
    waiting = asyncio.create_task(store.mark_dot(claimed[3], siblings=1))
    await asyncio.sleep(0)
    await store.write_probe()
    assert await waiting
    event.remove(Engine, "commit", count)
    assert len(commits) == 2


async def test_a_sibling_that_does_not_write_delays_nobody(store: Store) -> None:
    await accept(store)
    assert await store.mark_dot(await claim_one(store), siblings=1)


async def test_due_work_is_notified(store_url: str) -> None:
    """Before the commit of an accept; after defer and give back; not after a mark or an end."""
    hints: list[WorkHint] = []
    store = await Store.open(store_url)

    def on_due(hint: WorkHint) -> None:
        if hint.from_this_process:  # PostgreSQL also gives one when it begins to listen
            hints.append(hint)

    store.listen(on_due=on_due, on_mailbox_free=lambda: None)

    async def hinted(*calls: Any) -> bool:
        hints.clear()
        await asyncio.gather(*calls, return_exceptions=True)
        return bool(hints)

    assert await hinted(store.accept([acceptance()]))
    assert [hint.before_commit for hint in hints] == [True]
    claimed = await claim_one(store)
    assert not await hinted(store.mark_dot(claimed))
    assert await hinted(store.give_back([claimed]))
    assert await hinted(settle(store, await claim_one(store), DEFERRED))
    assert not await hinted(settle(store, await claim_one(store, NOW + 60), RELAYED))
    await store.close()


async def test_other_processes_are_notified_after_a_commit_with_hints(sqlite_url: str) -> None:
    """Not after a failed one, nor after one without."""

    def stored(_: object, batch: Sequence[int]) -> Sequence[int]:
        return batch

    def failed(_: object, batch: Sequence[int]) -> Sequence[int]:
        raise ValueError

    notified: list[str] = []
    migrate(sqlite_url)
    writer = Writer(engine.write_engine(sqlite_url), {stored: 1, failed: 2}, lambda: notified.append("due"))
    with pytest.raises(ValueError):
        await writer.write(failed, 1, hints=ANY_POOL)
    await writer.write(stored, 1)
    assert not notified
    await writer.write(stored, 1, hints=frozenset({WorkHint(POOL, before_commit=True)}))
    assert notified == ["due"]
    await writer.close()


async def test_coming_work_is_claimed_in_the_commit_that_stores_it(store_url: str) -> None:
    """Also behind a full group of other writes, and with a claim that may wait for others."""
    claims: list[asyncio.Task[Any]] = []
    commits: list[object] = []
    count = commits.append

    def coming(hint: WorkHint) -> None:
        if not claims and hint.before_commit and hint.pool == POOL:
            claims.append(asyncio.create_task(claim(store, 1000)))

    store = await Store.open(store_url)
    store.listen(on_due=coming, on_mailbox_free=lambda: None)
    await owned(store)
    event.listen(Engine, "commit", count)
    ids = await accept(store)
    event.remove(Engine, "commit", count)
    assert [one.id for one in await claims.pop()] == list(ids)
    assert len(commits) == 1
    answers = await asyncio.gather(*(accept(store) for _ in range(600)))
    assert [one.id for one in await claims.pop()] == [id for (id,) in answers]
    await store.close()


async def test_files_of_the_store_are_private(sqlite_url: str) -> None:
    """Folder, file and SQLite's other files."""
    store = await Store.open(sqlite_url)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    await store.close()
