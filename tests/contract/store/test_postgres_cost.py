"""Cost of each verb on PostgreSQL does not grow with the queue: by the plans it ran, and counted in pages touched.

The server itself says how it ran each statement (auto_explain), so these are the plans of the very statements that the
store sends, prepared as they are, with the statistics of the moment.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, event

from app.store import Store
from app.store.retention import RetentionCutoffs
from tests.contract.store.build import KEY, NOW, accept, acceptance, claim, stored_emails
from tests.contract.store.test_cost import LISTS, every_verb, settled
from tests.waiting import until

_SLOW_PLANS = """
    LOAD 'auto_explain';
    SET client_min_messages = log;
    SET auto_explain.log_level = log;
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_buffers = on;
    SET auto_explain.log_timing = off;
    SET auto_explain.log_format = json;
"""
PREPARED = 12  # times: the driver has prepared a statement by then, and the server has chosen its plan for good
RELAYED = 25_000  # a sixth of those that wait
PAGES = 100  # the indices are a page deeper, and new rows are read from the table; `messages` has thousands
GROWING = {
    "messages",
    "recipients",
    "attempts",
    "contents",
    "idempotency",
    "webhook_events",
    "webhook_deliveries",
    "audit",
}

Plan = dict[str, Any]


@pytest.fixture
def plans() -> Iterator[list[Plan]]:
    """Each statement on any connection with its plan."""
    seen: list[Plan] = []

    def hear(diagnostic: psycopg.errors.Diagnostic) -> None:
        _, found, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if found:
            seen.append(json.loads(plan))

    def notify(connection: Any, _: object) -> None:
        connection.execute(_SLOW_PLANS)
        connection.commit()
        connection.add_notice_handler(hear)

    event.listen(Engine, "connect", notify)
    yield seen
    event.remove(Engine, "connect", notify)


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield all the nodes of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def touched(seen: list[Plan]) -> int:
    """Return the pages, from cache or disk."""
    return sum(one["Plan"].get("Shared Hit Blocks", 0) + one["Plan"].get("Shared Read Blocks", 0) for one in seen)


def fill(url: str, first: int, last: int) -> None:
    """Store copies of a waiting message, all of them due, each with its recipient."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'messages' ORDER BY ordinal_position"
        )
        names = [name for (name,) in found]
        values = ", ".join("lpad(to_hex(n), 32, '0')::uuid" if name == "id" else name for name in names)
        connection.execute(
            f"INSERT INTO messages SELECT {values} FROM (SELECT * FROM messages WHERE state = 'queued' LIMIT 1) AS one,"
            f" generate_series({first}, {last}) AS n".encode()
        )
        connection.execute(
            "INSERT INTO recipients SELECT lpad(to_hex(n), 32, '0')::uuid, 'b@example.com', 0, 'pending'"
            f" FROM generate_series({first}, {last}) AS n".encode()
        )


def analyze(url: str) -> None:
    """Run ANALYZE, as the server does within a minute."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


@pytest.mark.parametrize("analyzed", [True, False])
async def test_no_verb_scans_a_whole_table(postgres_url: str, plans: list[Plan], analyzed: bool) -> None:
    """Nor sorts waiting messages, with and without statistics."""
    store = await Store.open(postgres_url)
    await accept(store, acceptance(due_at=NOW, expires_at=NOW + 1e8))
    fill(postgres_url, 1, 20_000)
    if analyzed:
        analyze(postgres_url)
    plans.clear()
    await every_verb(store)
    await store.close()
    assert len(plans) > 20
    bad = []
    for one in plans:
        for node in nodes(one["Plan"]):
            read = node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
            if read or (node["Node Type"] == "Sort" and node["Actual Rows"] * node["Actual Loops"] > 1_000):
                bad.append((node["Node Type"], node.get("Relation Name"), one["Query Text"][:3000]))
    assert not bad, "\n".join(map(str, sorted(set(bad))))


@pytest.mark.parametrize("analyzed", [True, False])
async def test_verbs_cost_the_same_with_a_hundred_thousand_messages(
    postgres_url: str, plans: list[Plan], analyzed: bool
) -> None:
    """Claim, settle, accept, read, list, and the checks for clock changes; also with the plans of a small table."""
    store = await Store.open(postgres_url)
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
    }

    async def costs() -> dict[str, int]:
        cost = {}
        for name, verb in verbs.items():
            for _ in range(PREPARED if not name.startswith("Selection") else 1):
                await verb()
            plans.clear()
            await verb()
            cost[name] = touched(plans)
        return cost

    fill(postgres_url, 1, 1_000)
    for _ in range(20):
        await settled(store)  # so that there is a page of them
    analyze(postgres_url)
    few = await costs()
    fill(postgres_url, 1_001, 100_000)
    if analyzed:
        analyze(postgres_url)
    many = await costs()
    await store.close()
    grown = {name: (few[name], many[name]) for name in verbs if many[name] > few[name] * 1.5 + PAGES}
    assert not grown, "\n".join(map(str, grown.items()))


@pytest.mark.timeout(240)
async def test_relayed_messages_add_no_cost_to_a_claim(postgres_url: str, plans: list[Plan]) -> None:
    """Autovacuum runs on the front of the queue, though the default threshold would prevent it."""
    store = await Store.open(postgres_url)
    await accept(store)
    fill(postgres_url, 1, 150_000)
    analyze(postgres_url)  # else it would sweep for the many new rows alone
    with psycopg.connect(postgres_url, autocommit=True) as server:
        await claimed(store, plans)
        fresh = await claimed(store, plans)
        server.execute(
            "UPDATE messages SET state = 'done', turn = NULL, ended_at = 0 WHERE id <= %s", (UUID(int=RELAYED),)
        )
        remains = await claimed(store, plans)
        server.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
        server.execute("SELECT pg_reload_conf()")
        try:
            await until(lambda: swept(server))
        finally:
            server.execute("ALTER SYSTEM RESET autovacuum_naptime")
            server.execute("SELECT pg_reload_conf()")
    again = await claimed(store, plans)
    await store.close()
    assert remains > fresh + 100
    assert again <= fresh + 20


async def claimed(store: Store, plans: list[Plan]) -> int:
    """Return the pages touched by one claim."""
    plans.clear()
    assert await claim(store, 1)
    return touched(plans)


def swept(server: psycopg.Connection[Any]) -> bool:
    """Return whether autovacuum has run."""
    asked = "SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'messages'"
    return bool(server.execute(asked).fetchone() == (True,))
