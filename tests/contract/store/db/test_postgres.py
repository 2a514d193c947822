"""PostgreSQL alone: restarts of the server, locks, and values that SQLite treats differently."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.store import Store, StoreUnavailableError, StoreUnreachableError
from app.store.db import engine
from app.store.db.engine import read_engine, write_engine
from tests.contract.store.build import NOW, accept, acceptance, claim_one, stored_emails
from tests.postgres import Server


async def test_an_outage_of_the_server_is_reported_and_survived(postgres_server: Server, postgres_url: str) -> None:
    """One plain line for every caller; then it continues without a restart, with all accepted messages."""
    store = await Store.open(postgres_url)
    stored = acceptance()
    await accept(store, stored)
    await asyncio.gather(*(stored_emails(store) for _ in range(8)))  # several readers are connected
    postgres_server.stop()
    try:
        for _ in range(2):
            with pytest.raises(
                StoreUnavailableError, match=r"^The database operation failed: .*is up and can be reached\.$"
            ):
                await store.accept([acceptance()])
            with pytest.raises(StoreUnavailableError, match=r"is up and can be reached\.$"):
                await stored_emails(store)
        with pytest.raises(StoreUnreachableError, match="is up and can be reached"):
            await Store.open(postgres_url)
    finally:
        postgres_server.start()
    assert [email.id for email in await stored_emails(store)] == [stored.id]
    await accept(store)
    await store.close()


async def test_readers_do_not_notice_a_restart(postgres_server: Server, postgres_url: str) -> None:
    """The writer reports it once, because its commit may have succeeded."""
    store = await Store.open(postgres_url)
    await accept(store)
    await asyncio.gather(*(stored_emails(store) for _ in range(8)))
    postgres_server.stop()
    postgres_server.start()
    assert [len(found) for found in await asyncio.gather(*(stored_emails(store) for _ in range(8)))] == [1] * 8
    with pytest.raises(StoreUnavailableError):
        await store.write_probe()
    await store.write_probe()
    await store.close()


def test_a_reader_sees_one_state_and_changes_nothing(postgres_url: str) -> None:
    """As with SQLite's log."""
    writer, reader = write_engine(postgres_url), read_engine(postgres_url)
    with writer.begin() as write:
        write.execute(text("CREATE TABLE t (n integer)"))
    with reader.connect() as read:
        assert read.execute(text("SELECT count(*) FROM t")).scalar() == 0
        with writer.begin() as write:
            write.execute(text("INSERT INTO t VALUES (1)"))
        assert read.execute(text("SELECT count(*) FROM t")).scalar() == 0
        with pytest.raises(Exception, match="read-only transaction"):
            read.execute(text("INSERT INTO t VALUES (2)"))
    writer.dispose()
    reader.dispose()


@pytest.mark.parametrize("kind", [write_engine, read_engine])
def test_every_connection_is_set_up(postgres_url: str, kind: Callable[[str], Any]) -> None:
    """A server setting cannot make a commit less durable, nor hold the locks of a lost client."""
    with write_engine(postgres_url).begin() as connection:
        connection.execute(text("ALTER DATABASE " + postgres_url.rpartition("/")[2] + " SET synchronous_commit = off"))
    opened = kind(postgres_url)
    for _ in range(2):
        with opened.connect() as connection:
            assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "10s"
            durable = connection.execute(text("SHOW synchronous_commit")).scalar()
            assert durable == ("on" if kind is write_engine else "off")
    opened.dispose()


async def test_a_lock_wait_times_out(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one plain line, and a repetition succeeds."""
    monkeypatch.setitem(engine._SESSION_WRITER, "lock_timeout", "50")
    store = await Store.open(postgres_url)
    await accept(store)
    claimed = await claim_one(store)
    other = write_engine(postgres_url)
    with other.begin() as connection:
        connection.execute(text("SELECT FROM messages FOR UPDATE"))
        with pytest.raises(StoreUnavailableError, match=r"lock timeout\. Another process keeps"):
            await store.give_back([claimed])
    other.dispose()
    await store.give_back([claimed])
    assert (await claim_one(store)).id == claimed.id
    await store.close()


async def test_a_missing_table_is_a_store_error(postgres_url: str) -> None:
    """Not an error of the caller."""
    store = await Store.open(postgres_url)
    with write_engine(postgres_url).begin() as connection:
        connection.execute(text("DROP TABLE contents"))
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        await accept(store)
    await store.close()


async def test_text_that_postgresql_cannot_hold_fails_alone(postgres_url: str) -> None:
    """A NUL, which SQLite accepts. No interface passes one."""
    store = await Store.open(postgres_url)
    good, bad = acceptance(), acceptance(coalesce="a\0b")
    answers = await asyncio.gather(*(store.accept([one]) for one in (good, bad)), return_exceptions=True)
    assert isinstance(answers[1], Exception)
    assert not isinstance(answers[1], StoreUnavailableError)
    assert await store.content(good.id) is not None
    await store.close()


async def test_content_is_byte_true(postgres_url: str) -> None:
    """Every byte value, also beyond the content that a claim returns."""
    store = await Store.open(postgres_url)
    for size in (1, 1_000):
        stored = acceptance(content=bytes(range(256)) * size)
        await accept(store, stored)
        claimed = await claim_one(store, NOW)
        content = claimed.content or await store.content(stored.id)
        assert content == stored.message.content
    await store.close()
