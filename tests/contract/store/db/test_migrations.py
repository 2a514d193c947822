"""Schema of the database equals the one of the code, and an unknown schema is refused."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    Boolean,
    Double,
    Engine,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    column,
    insert,
    select,
    table,
    text,
)

from app.mail.key_policy import Amount, Policy, Usage
from app.store import SchemaTooNewError, Store, StoreUnreachableError
from app.store.db.engine import create_file, database_file, parse, write_engine
from app.store.keys import keys, rate_limits
from app.store.keys.records import Key, NewKey, Permission
from app.store.migrations import migrate, revision
from app.store.migrations.upgrade import config as alembic_config
from app.store.schema import in_flight, metadata, traces


# An index on an expression is not compared here; the next test sees it.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrated_schema_is_the_metadata(store_url: str) -> None:
    """A change of schema.py needs a revision."""
    engine = migrated(store_url, to="head")
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        if connection.dialect.name == "postgresql":
            found = connection.execute(text("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '% WHERE %'"))
            indices = [index for table in metadata.tables.values() for index in table.indexes]
            partial = {index.name for index in indices if index.dialect_options["sqlite"]["where"] is not None}
            assert set(found.scalars()) == partial
    engine.dispose()


def test_a_new_database_equals_a_migrated_one(sqlite_url: str, tmp_path: Path) -> None:
    """Every definition, with the conditions of indices and the options of tables, and every row."""

    def content(file: str | Path | None) -> set[str]:
        with closing(sqlite3.connect(str(file))) as connection:
            return {re.sub(r"[\s\"]+|messages\.|recipients\.", "", statement) for statement in connection.iterdump()}

    created = f"sqlite:///{tmp_path}/created.db"
    migrate(created)
    migrated(sqlite_url, to="head").dispose()
    assert content(database_file(created)) == content(database_file(sqlite_url))


async def test_a_newer_database_is_refused(store_url: str) -> None:
    """In one line, and unchanged."""
    migrate(store_url)
    engine = write_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaTooNewError, match=r"schema 9999; this Postern knows up to \d+\."):
        await Store.open(store_url)
    assert revision(store_url) == "9999"


def test_migrating_again_changes_nothing(store_url: str) -> None:
    """It reports the current revision."""
    assert migrate(store_url) == migrate(store_url) == revision(store_url)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://localhost/mail", "names mysql; right are sqlite"),
        ("data/postern.db", "not a database URL"),
    ],
)
async def test_an_invalid_url_is_one_line_with_the_fix(url: str, line: str) -> None:
    with pytest.raises(StoreUnreachableError, match=line):
        await Store.open(url)


def test_a_url_gets_the_installed_driver() -> None:
    assert parse("sqlite:///a.db").drivername == "sqlite+pysqlite"
    assert parse("postgresql://u@h/d").drivername == parse("postgres://u@h/d").drivername == "postgresql+psycopg"


async def test_a_path_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    """A folder, another file, a folder without write permission."""
    (tmp_path / "text").write_text("This is not a database, whatever its name says.\n" * 100)
    for place, line in (("text", "not a database"), (".", "unable to open"), ("text/x.db", "cannot be made")):
        with pytest.raises(StoreUnreachableError, match=line):
            await Store.open(f"sqlite:///{tmp_path}/{place}")


def test_a_failed_migration_is_rolled_back(sqlite_url: str) -> None:
    """All or nothing: an existing table undoes the tables before it."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE heartbeat (x)")
    with pytest.raises(StoreUnreachableError, match="already exists"):
        migrate(sqlite_url)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("heartbeat",)]


def test_a_key_from_before_policies_keeps_working(store_url: str) -> None:
    """With its secret, permission and senders; they survive a downgrade, except those of a restricted key."""
    old = {"name": "shop", "permission": "send_only", "created_at": 5.0, "senders": ["*@contoso.com"]}
    rows = [
        {**old, "id": UUID(int=1), "digest": b"1" * 32, "default_sender": "a@contoso.com", "revoked_at": None},
        {**old, "id": UUID(int=2), "digest": b"2" * 32, "default_sender": None, "revoked_at": 6.0},
    ]
    engine = migrated(store_url, to="0003")
    with engine.begin() as connection:
        connection.execute(insert(BEFORE_POLICIES), rows)
    migrated(store_url, to="head")
    with engine.begin() as connection:
        first, second = (keys.find(connection, digest * 32) for digest in (b"1", b"2"))
        assert first is not None
        assert second is not None
        policy = Policy(senders=("*@contoso.com",), default_sender="a@contoso.com")
        assert first.key == Key(UUID(int=1), "shop", Permission.SEND_ONLY, 5.0, policy)
        assert (second.key.revoked_at, second.until, second.last_used_at) == (6.0, None, None)
        connection.execute(text("UPDATE api_keys SET policy = '{\"sink\": true}' WHERE revoked_at IS NOT NULL"))
        connection.execute(text("UPDATE api_keys SET revoked_at = NULL"))
    migrated(store_url, to="0003")
    with engine.begin() as connection:
        back = [row._asdict() for row in connection.execute(select(BEFORE_POLICIES).order_by(BEFORE_POLICIES.c.id))]
    assert back == [rows[0], {**rows[1], "senders": [], "revoked_at": 5.0}]
    assert migrate(store_url) == revision(store_url)


def test_usage_survives_the_migration_to_new_counters(store_url: str) -> None:
    """Messages stay counted, recipients and bytes begin at 0; a downgrade removes limits that need them."""
    day = 1_800_000_000 // 86_400 * 86_400
    with migrated(store_url, to="0008").begin() as connection:
        row = {"of": UUID(int=1), "minute": 1_800_000_000, "day": day}
        statement = (
            "INSERT INTO budgets (key_id, minute, minute_used, day, day_used) VALUES (:of, :minute, 3, :day, 40)"
        )
        connection.execute(text(statement).bindparams(bindparam("of", type_=Uuid())), row)
    with migrated(store_url, to="head").begin() as connection:
        usage = rate_limits.find(connection, UUID(int=1))
        assert usage == Usage(1_800_000_000, Amount(3), day, Amount(40))
        policy = Policy(messages_per_day=50, recipients_per_day=60, bytes_per_minute=70)
        keys.create(connection, [NewKey(Key(UUID(int=1), "shop", Permission.SEND_ONLY, 5.0, policy), b"1" * 32, None)])
    migrated(store_url, to="0008")
    with migrated(store_url, to="head").begin() as connection:
        found = keys.find(connection, b"1" * 32)
        assert found is not None
        assert found.key.policy == Policy(messages_per_day=50)
        assert found.usage == usage


def test_marks_survive_the_migration_and_the_way_back(store_url: str) -> None:
    """Of open attempts only. What was sent and not settled is in doubt after a downgrade."""
    with migrated(store_url, to="0016").begin() as connection:
        for number, (state, phase, ended_at) in enumerate(
            [("active", "dot", None), ("active", "connect", None), ("done", "dot", 5.0)], 1
        ):
            id, lease = UUID(int=number), UUID(int=number + 10)
            connection.execute(
                insert(BEFORE_IN_FLIGHT).values(id=id, key_id=id, lease=lease, state=state, **MESSAGE_BEFORE)
            )
            connection.execute(
                insert(ATTEMPTS_BEFORE).values(
                    message_id=id, lease=lease, phase=phase, ended_at=ended_at, **ATTEMPT_BEFORE
                )
            )
    with migrated(store_url, to="head").begin() as connection:
        assert [tuple(row) for row in connection.execute(select(in_flight))] == [(UUID(int=1), UUID(int=11), None)]
        connection.execute(insert(in_flight).values(message_id=UUID(int=2), lease=UUID(int=12), outcome={"any": 1}))
    with migrated(store_url, to="0016").begin() as connection:
        found = connection.execute(select(ATTEMPTS_BEFORE.c.phase).order_by(ATTEMPTS_BEFORE.c.message_id))
        assert found.scalars().all() == ["dot", "dot", "dot"]
    assert migrate(store_url) == revision(store_url)


def test_traces_survive_the_migration_and_the_way_back(store_url: str) -> None:
    """Deliveries keep Exchange's id; on the way back only those without one are forgotten."""
    with migrated(store_url, to="0019").begin() as connection:
        for id in (UUID(int=1), UUID(int=2)):
            facts = {**MESSAGE_BEFORE, "state": "done", "head": {}}
            connection.execute(insert(BEFORE_IN_FLIGHT).values(id=id, key_id=id, **facts))
        delivery = {"address": "a@b", "state": "bounced", "at": 2.0, "code": "5.1.1", "cause": "gone"}
        connection.execute(insert(traces).values(message_id=UUID(int=1), network_id=UUID(int=9), **delivery))
    with migrated(store_url, to="head").begin() as connection:
        assert connection.execute(select(traces.c.network_id)).scalars().all() == [UUID(int=9)]
        connection.execute(insert(traces).values(message_id=UUID(int=2), network_id=None, **delivery))
    with migrated(store_url, to="0019").begin() as connection:
        found = connection.execute(select(traces.c.message_id, traces.c.network_id, traces.c.cause))
        assert [tuple(row) for row in found] == [(UUID(int=1), UUID(int=9), "gone")]
    assert migrate(store_url) == revision(store_url)


BEFORE_IN_FLIGHT = table(
    "messages",
    *(column("id", Uuid()), column("key_id", Uuid()), column("lease", Uuid()), column("head", JSON())),
    *(column(name) for name in ("pool", "lane", "state", "created_at", "due_since", "expires_at", "attempts")),
    *(column(name) for name in ("unknown", "on_unknown", "message_id", "mail_from", "size")),
    *(column("possible_duplicate", Boolean()), column("smtputf8", Boolean())),
)
MESSAGE_BEFORE = {
    "pool": "default",
    "lane": 1,
    "created_at": 1.0,
    "due_since": 1.0,
    "expires_at": 9.0,
    "attempts": 1,
    "unknown": 0,
    "on_unknown": "hold",
    "message_id": "a@b",
    "mail_from": "a@b",
    "size": 1,
    "head": {},
    "possible_duplicate": False,
    "smtputf8": False,
}
ATTEMPTS_BEFORE = table(
    "attempts",
    *(column("message_id", Uuid()), column("number"), column("mailbox"), column("lease", Uuid())),
    *(column(name) for name in ("recipients", "started_at", "ended_at", "phase")),
    *(column("in_doubt", Boolean()), column("replies", JSON()), column("verdicts", JSON())),
    column("dialogue", JSON()),
)
ATTEMPT_BEFORE = {
    "number": 1,
    "mailbox": "a@b",
    "recipients": 1,
    "started_at": 1.0,
    "in_doubt": False,
    "replies": [],
    "verdicts": {},
    "dialogue": [],
}
BEFORE_POLICIES = table(
    "api_keys",
    *(column("id", Uuid()), column("digest", LargeBinary()), column("name", Text()), column("permission", Text())),
    *(column("created_at", Double()), column("senders", JSON()), column("default_sender", Text())),
    column("revoked_at", Double()),
)


def migrated(url: str, *, to: str) -> Engine:
    """Migrate the database to this revision, up or down."""
    file = database_file(url)
    if file is not None:
        create_file(file)
    engine = write_engine(url)
    with engine.begin() as connection:
        config = alembic_config(connection)
        here = MigrationContext.configure(connection).get_current_revision() or ""
        (command.upgrade if to == "head" or here < to else command.downgrade)(config, to)
    return engine
