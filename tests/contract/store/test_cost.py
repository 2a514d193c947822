"""Cost of each verb does not grow with the queue: by query plans, and counted in steps of SQLite's virtual machine."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.key_policy import Policy, RateLimit
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.message import Lane, OnUnknown
from app.mail.suppression import Origin
from app.store import Store
from app.store.keys.audit import Actor, AuditAction, CountedEntry, Entry
from app.store.keys.records import Key, KeyRevision, KeyRotation, Permission
from app.store.message_trace.records import HoldRequest, Progress, Report, Reports, Unseen
from app.store.read.records import Selection
from app.store.records import FIRST_ID
from app.store.retention import RetentionCutoffs
from app.store.suppressions.records import Additions, Removals
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    LOST,
    MAILBOX,
    NOW,
    RELAYED,
    SCOPE,
    accept,
    acceptance,
    claim,
    once,
    settle,
    stored_emails,
)

BOUNCED, DELIVERED = DeliveryState.BOUNCED, DeliveryState.DELIVERED
DELIVERIES_QUERY = "FROM webhook_deliveries ORDER BY webhook_deliveries.number"  # reads its LIMIT of rows and no more
HISTORY_QUERY = 'AS "column"'  # groups the sends of a day, which Exchange limits
FEW = {  # a row for each mailbox or each replica; what LIMIT bounds; no table
    "SCAN CONSTANT ROW",
    *(f"SCAN {table} USING INDEX sqlite_autoindex_{table}_1" for table in ("mailboxes", "owners")),
    "SCAN replicas",
    "SCAN anon_1",
}


LISTS = [
    replace(asked, key_id=key)
    for key in (None, KEY)
    for asked in (
        Selection(),
        Selection(state=MessageState.QUEUED),
        Selection(recipient="b@example.com"),
        Selection(recipient="b@example.com", last_event=LastEvent.SENT),
        Selection(recipient_prefix="b@"),
        Selection(recipient_prefix="b@", last_event=LastEvent.SENT),
        Selection(message_id="abc@framework.example"),
        Selection(sender="a@contoso.com", tag=("kind", "welcome"), lane=Lane.NORMAL, subject="x"),
        *(Selection(last_event=event) for event in LastEvent),
    )
]


async def every_verb(store: Store) -> None:
    """Run the daily verbs of relay and API."""
    for _ in range(4):
        await store.accept([acceptance()], once())
        await accept(store, acceptance(), acceptance(coalesce="code"), acceptance(due_at=NOW + 1))
    await settle(store, (await claim(store, 1))[0], DEFERRED)
    one, two, *_ = await claim(store)
    await store.mark_dot(one)
    await store.renew([one.lease], NOW + 90)
    await store.give_back([two])
    await settle(store, one, RELAYED)
    await store.queue_position(two.id, NOW)
    await store.cancel(two.id, NOW)
    await store.retry(one.id, NOW)
    await store.confirm(one.id, NOW)
    await store.recover(NOW + 100)
    await store.expire(NOW + 1e9)
    await store.get(one.id, KEY)
    await store.content(one.id)
    await stored_emails(store, KEY)
    await stored_emails(store, state=MessageState.DONE)
    for asked in LISTS:
        for oldest_first in (False, True):
            await store.list_emails(asked, 20, NOW, oldest_first=oldest_first)
    for asked in (Selection(), Selection(key_id=KEY), Selection(recipient_prefix="b@")):
        await store.count_by_event(asked, NOW)
    assert await store.prune(RetentionCutoffs(NOW + 2 * DAY, contents=NOW + 2e9, messages=0.0, events=0.0))
    while await store.prune(RetentionCutoffs(NOW + 2 * DAY, contents=NOW + 2e9, messages=NOW + 2e9, events=0.0)):
        pass
    await store.next_due_times(["default"])
    await store.backlog(["default"], NOW)
    await store.sent_since(MAILBOX, NOW - 60)
    await store.usage(NOW)
    await store.send_history([MAILBOX], NOW)
    await keys_and_audit(store)
    await suppressions(store)
    await traces(store)


async def traces(store: Store) -> None:
    """Run the verbs of the message trace: the email of a bounce, a caller's own Message-ID, and a foreign one."""
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=9), DAY))
    assert position is not None
    email = acceptance("a@example.com", on_unknown=OnUnknown.HOLD)
    await accept(store, email)
    (claimed,) = await claim(store, 1)
    await settle(store, claimed, LOST)
    await store.traces.mark_unseen(Unseen(position.reader, SCOPE, 0.0, NOW + DAY, NOW, FIRST_ID))
    reports = tuple(
        Report(TraceRow(network_id, message_id, "a@example.com", NOW, "failed"), state, Cause("5.1.1", "550 5.1.1 No"))
        for message_id in (email.message.message_id, "abc@framework.example")
        for network_id, state in ((UUID(int=1), BOUNCED), (UUID(int=1), DELIVERED), (UUID(int=2), DELIVERED))
    )
    assert len(await store.traces.matches(reports, SCOPE)) == len(reports)
    assert await store.traces.apply(Reports(position.reader, reports, NOW, SCOPE))
    assert await store.traces.advance(Progress(position.reader, watermark=NOW, swept_at=NOW, requests=[(NOW, 8)]))
    await store.list_emails(Selection(last_event=LastEvent.BOUNCED), 20, NOW)
    await store.traces.release(position.reader)


async def keys_and_audit(store: Store) -> None:
    """Run the verbs of API keys and the audit."""
    key, by = Key(UUID(int=9), "shop", Permission.SENDING_ACCESS, NOW, Policy(messages_per_day=9)), Actor("admin")
    await store.create_key(key, b"digest", by)
    await store.find_key(b"digest")
    await store.touch_key(key.id, NOW)
    for _ in range(2):
        await store.accept([acceptance()], once("budget"), key.policy.rate_limit)
        await store.accept([acceptance(to_sink=True)], None, RateLimit(1, None))
    await store.revise_key(KeyRevision(key.id, {"disabled": True}, NOW, by))
    await store.rotate_key(KeyRotation(key.id, b"other", NOW, NOW, by))
    await store.key(key.id)
    await store.revoke_key(key.id, NOW, by)
    await store.record_refusals(
        [CountedEntry(Entry(NOW, by, AuditAction.SEND_REFUSED, "POST /emails", {}), NOW, 1, "once")]
    )
    await store.audit((await store.audit(None, 2))[-1].id, 20)
    await store.prune(RetentionCutoffs(0.0, contents=0.0, messages=0.0, events=0.0, audit=NOW + 1))


async def suppressions(store: Store) -> None:
    """Run the verbs of the suppression list."""
    by = Actor("admin")
    one, two = await store.add_suppressions(Additions(("a@example.com", "b@example.com"), Origin.MANUAL, NOW, by))
    await store.accept([acceptance("a@example.com"), acceptance("A@example.com", "c@example.com")])
    await store.suppression(one.id, NOW)
    await store.suppression(one.address, NOW)
    for origin in (None, Origin.MANUAL):
        await store.suppressions(origin, 20, NOW)
        await store.suppressions(origin, 20, NOW, after=two.id)
        await store.suppressions(origin, 20, NOW, before=one.id)
    await store.remove_suppressions(Removals(NOW, by, ids=(one.id,), addresses=(two.address,)))
    await store.prune(RetentionCutoffs(NOW, contents=0.0, messages=0.0, events=0.0, audit=0.0))


@pytest.fixture
def statements() -> Iterator[set[str]]:
    """Every statement that SQLite gets on any connection, with its values."""
    seen: set[str] = set()

    def trace(connection: Any, _: object) -> None:
        connection.set_trace_callback(seen.add)

    event.listen(Engine, "connect", trace)
    yield seen
    event.remove(Engine, "connect", trace)


async def test_every_verb_uses_an_index(sqlite_url: str, statements: set[str]) -> None:
    """No full table scan, and no sort of waiting messages."""
    store = await Store.open(sqlite_url)
    statements.clear()
    await every_verb(store)
    reader = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    plans = {
        statement: [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement in statements
        if statement.split(None, 1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
        and DELIVERIES_QUERY not in " ".join(statement.split())
    }
    reader.close()
    await store.close()
    assert len(plans) > 20
    for statement, plan in plans.items():
        assert {step for step in plan if step.startswith("SCAN")} <= FEW, (statement, plan)
        if HISTORY_QUERY not in statement:
            assert not {"USE TEMP B-TREE FOR ORDER BY", "USE TEMP B-TREE FOR GROUP BY"} & {*plan}, (statement, plan)
    used = {step for plan in plans.values() for step in plan}
    assert "SEARCH messages USING INDEX messages_stored (ended_at>? AND ended_at<?)" in used
    assert "SEARCH messages USING INDEX messages_emptied (ended_at<?)" in used
    assert "SEARCH idempotency USING COVERING INDEX idempotency_by_age (created_at<?)" in used
    assert "SEARCH messages USING INDEX messages_ready (pool=? AND lane>? AND lane<?)" in used
    assert "SEARCH messages USING INDEX messages_ready (pool=? AND lane=? AND turn>?)" in used
    assert "SEARCH messages USING INDEX messages_resting (pool=? AND due_at<?)" in used
    assert "SEARCH messages USING COVERING INDEX messages_callers_message_id (message_id=?)" in used
    assert "SEARCH attempts USING COVERING INDEX attempts_of_mailbox (mailbox=? AND ended_at>?)" in used


@pytest.fixture
def steps() -> Iterator[list[int]]:
    """One entry for every step of SQLite's virtual machine on any connection."""
    taken: list[int] = []

    def count(connection: Any, _: object) -> None:
        connection.set_progress_handler(lambda: taken.append(1), 1)

    event.listen(Engine, "connect", count)
    yield taken
    event.remove(Engine, "connect", count)


def fill(url: str, first: int, last: int) -> None:
    """Store copies of a waiting message, all of them due."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        values = ", ".join("printf('%032x', n)" if name == "id" else name for name in names)
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            f"INSERT INTO messages SELECT {values} "
            "FROM (SELECT * FROM messages WHERE state = 'queued' LIMIT 1), numbers",
            (first, last),
        )
    connection.close()


async def count_steps(verbs: Mapping[str, Callable[[], Awaitable[object]]], steps: list[int]) -> dict[str, int]:
    """Return the steps of each verb."""
    cost = {}
    for name, verb in verbs.items():
        await verb()  # once before, so that connections are open and statements prepared
        steps.clear()
        await verb()
        cost[name] = len(steps)
    return cost


async def test_verbs_cost_the_same_with_a_hundred_thousand_messages(sqlite_url: str, steps: list[int]) -> None:
    """Claim, settle, accept, read, list, and the checks for clock changes."""
    store = await Store.open(sqlite_url)
    stored = acceptance()
    await accept(store, stored)
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "accept": lambda: store.accept([acceptance()]),
        "claim": lambda: claim(store, 1),
        "settle": lambda: settled(store),
        "get": lambda: store.get(stored.id),
        "outlook": lambda: store.queue_position(stored.id, NOW),
        "find": lambda: stored_emails(store, KEY),
        "next_due": lambda: store.next_due_times(["default"]),
        "reclaim": lambda: store.recover(NOW),
        "expire": lambda: store.expire(NOW),
        "prune": lambda: store.prune(RetentionCutoffs(NOW, contents=NOW - 1, messages=NOW - 1, events=0.0)),
        **{f"{asked}": partial(store.list_emails, replace(asked, scan_limit=500), 20, NOW) for asked in LISTS},
        "count by event": lambda: store.count_by_event(Selection(), NOW),
    }

    fill(sqlite_url, 1, 1_000)
    few = await count_steps(verbs, steps)
    fill(sqlite_url, 1_001, 100_000)
    many = await count_steps(verbs, steps)
    await store.close()
    for name in verbs:
        settled_since = 200 if name.startswith("Selection") else 0  # steps; a list has what was settled between
        assert many[name] <= few[name] * 1.1 + 20 + settled_since, (name, few, many)


async def test_verbs_cost_the_same_with_many_suppressions(sqlite_url: str, steps: list[int]) -> None:
    """Accept for an address on the list and for another, claim, and the pages of the list."""
    store = await Store.open(sqlite_url)
    by = Actor("admin")
    await store.add_suppressions(Additions(("gone@example.com",), Origin.MANUAL, NOW, by))
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "accept": lambda: store.accept([acceptance("a@example.com")]),
        "accept suppressed": lambda: store.accept([acceptance("gone@example.com", "a@example.com")]),
        "claim": lambda: claim(store, 1),
        "list": lambda: store.suppressions(None, 20, NOW),
        "list by origin": lambda: store.suppressions(Origin.BOUNCE, 20, NOW),
        "find": lambda: store.suppression("gone@example.com", NOW),
        "add": lambda: store.add_suppressions(Additions(("gone@example.com",), Origin.MANUAL, NOW, by)),
    }

    fill_suppressions(sqlite_url, 1, 1_000)
    few = await count_steps(verbs, steps)
    fill_suppressions(sqlite_url, 1_001, 100_000)
    many = await count_steps(verbs, steps)
    await store.close()
    for name in verbs:
        assert many[name] <= few[name] * 1.1 + 20, (name, few, many)


async def test_verbs_cost_the_same_with_many_traced_recipients(sqlite_url: str, steps: list[int]) -> None:
    """Accept, claim, the lists by what became of emails, and the search for the email of a row."""
    store = await Store.open(sqlite_url)
    (done,) = await accept(store, acceptance("b@example.com"))
    await settled(store)
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=9), DAY))
    assert position is not None
    row = TraceRow(UUID(int=1), f"{done}@contoso.com", "b@example.com", NOW, "delivered")
    assert await store.traces.apply(Reports(position.reader, (Report(row, DELIVERED),), NOW, SCOPE))
    reports = [Report(replace(row, message_id=f"m{n}@framework.example"), DELIVERED) for n in (7, 500)]
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        "accept": lambda: store.accept([acceptance()]),
        "claim": lambda: claim(store, 1),
        "match": lambda: store.traces.matches(reports, SCOPE),
        **{
            f"{event}": partial(store.list_emails, Selection(last_event=event), 20, NOW)
            for event in (LastEvent.DELIVERED, LastEvent.BOUNCED)
        },
    }

    fill_traces(sqlite_url, done, 1, 1_000)
    few = await count_steps(verbs, steps)
    fill_traces(sqlite_url, done, 1_001, 50_000)
    many = await count_steps(verbs, steps)
    await store.close()
    for name in verbs:
        assert many[name] <= few[name] * 1.1 + 20, (name, few, many)


def fill_traces(url: str, like: UUID, first: int, last: int) -> None:
    """Store copies of a delivered email, each with a caller's Message-ID of its own."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for table, key in (("messages", "id"), ("recipients", "message_id"), ("traces", "message_id")):
            own = {key: "printf('%032x', n)"}
            if table == "messages":
                own["message_id"] = "'m' || n || '@framework.example'"
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(own.get(name, name) for name in names)
            connection.execute(
                "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
                f"INSERT INTO {table} SELECT {values} FROM (SELECT * FROM {table} WHERE {key} = ?), numbers",
                (first, last, like.hex),
            )
    connection.close()


def fill_suppressions(url: str, first: int, last: int) -> None:
    """Suppress this many addresses."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            "INSERT INTO suppressions (id, address, origin, created_at) "
            "SELECT printf('%032x', n), n || '@example.net', 'bounce', n FROM numbers",
            (first, last),
        )
    connection.close()


async def settled(store: Store) -> None:
    """Claim and settle the oldest."""
    (claimed,) = await claim(store, 1)
    await settle(store, claimed, RELAYED)
