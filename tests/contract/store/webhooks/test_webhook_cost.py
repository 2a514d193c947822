"""Cost of webhooks: almost none without one, and independent of the number of pending events."""

import sqlite3
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event

from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.webhook.rules import EventType
from app.store import Store
from app.store.retention import RetentionCutoffs
from app.store.webhooks.records import DeliveryAttempt, DeliveryResult, Secret, Webhook
from tests.contract.store.build import DAY, MAILBOX, NOW, POOL, RELAYED, accept, acceptance, claim, claim_one, settle
from tests.contract.store.test_cost import FEW

STEPS = 10  # of SQLite's machine, per count
ONCE_AN_HOUR = "webhook_deliveries ORDER BY webhook_deliveries.number"  # reads its LIMIT of rows and no more


@pytest.fixture
def seen() -> Iterator[tuple[list[str], list[int]]]:
    """Every statement of SQLite, and one entry for every STEPS steps."""
    statements: list[str] = []
    steps: list[int] = []

    def trace(connection: Any, _: object) -> None:
        connection.set_trace_callback(statements.append)
        connection.set_progress_handler(lambda: steps.append(1), STEPS)

    event.listen(Engine, "connect", trace)
    yield statements, steps
    event.remove(Engine, "connect", trace)


async def listen(store: Store) -> UUID:
    """Create a webhook for every event type."""
    webhook = Webhook(uuid4(), "https://example.com/", tuple(EventType), NOW, (Secret("whsec_AAAA"),))
    await store.create_webhook(webhook)
    return webhook.id


async def every_verb(store: Store, webhook: UUID) -> None:
    """Run the daily verbs of webhooks, and the verbs that emit events."""
    for _ in range(3):
        await accept(store, acceptance(), acceptance(coalesce="code"), acceptance(due_at=NOW + DAY, scheduled_at=DAY))
        await settle(store, await one(store), RELAYED)
    await store.save_condition(MAILBOX, POOL, MailboxCondition(Health.HELD, NOW))
    await store.write_delay_notices(NOW + 3600)
    assert await store.webhooks_with_work(NOW + 3600)
    first, second, third, *_ = await store.claim_deliveries(webhook, 10, NOW + 3600, NOW + 3630)
    await store.settle_delivery(DeliveryResult(first, DeliveryAttempt(NOW, 200, ""), delivered=True))
    await store.settle_delivery(DeliveryResult(second, DeliveryAttempt(NOW, 500, ""), delivered=False))
    await store.settle_delivery(
        DeliveryResult(third, DeliveryAttempt(NOW, 500, ""), delivered=False, next_at=NOW + 5000)
    )
    await store.replay(webhook, first.event_id, NOW)
    await store.replay_failed(webhook, NOW, NOW)
    for failed in (False, True):
        await store.deliveries(webhook, first.event_id, 20, failed=failed)
    await store.next_deliveries(webhook, 20)
    await store.delivery(webhook, first.event_id)
    await store.recover_deliveries(NOW, NOW + 30)
    await store.prune(RetentionCutoffs(NOW, contents=0.0, messages=0.0, events=NOW + 1))


async def one(store: Store) -> Any:
    """Claim one message."""
    (claimed,) = await claim(store, 1)
    return claimed


async def test_every_verb_uses_an_index(sqlite_url: str, seen: tuple[list[str], list[int]]) -> None:
    """Except for endpoints and mailboxes, which are few, and the hourly check of the oldest."""
    statements, _ = seen
    store = await Store.open(sqlite_url)
    webhook = await listen(store)
    statements.clear()
    await every_verb(store, webhook)
    reader = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    plans = {
        statement: [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement in set(statements)
        if statement.split(None, 1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
    }
    reader.close()
    await store.close()
    scans = {step for statement, plan in plans.items() if ONCE_AN_HOUR not in statement for step in plan}
    assert {step for step in scans if step.startswith("SCAN")} <= FEW
    assert not {step for step in scans if "TEMP B-TREE FOR ORDER" in step and "LAST TERM" not in step}
    used = {step for plan in plans.values() for step in plan}
    assert "SEARCH webhook_deliveries USING INDEX webhook_deliveries_due (webhook_id=? AND next_at<?)" in used
    assert "SEARCH webhook_deliveries USING INDEX webhook_deliveries_due (webhook_id=?)" in used
    assert "SEARCH webhook_deliveries USING INDEX webhook_deliveries_given_up (webhook_id=? AND event_id<?)" in used
    assert "SEARCH earlier USING INDEX webhook_deliveries_in_line (webhook_id=? AND subject=? AND number<?)" in used


async def test_without_a_webhook_a_group_of_writes_costs_one_lookup(
    sqlite_url: str, seen: tuple[list[str], list[int]]
) -> None:
    """In an empty index."""
    statements, _ = seen
    store = await Store.open(sqlite_url)
    await accept(store)
    statements.clear()
    await accept(store, *(acceptance() for _ in range(50)))
    await settle(store, await one(store), RELAYED)
    await store.close()
    about = [statement for statement in statements if "webhook" in statement or "patience" in statement]
    assert len(about) == 2
    assert all("WHERE webhooks.status = 'enabled'" in statement for statement in about)


def fill(url: str, first: int, last: int) -> None:
    """Store copies of a due event, each of its own email."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            "INSERT INTO webhook_deliveries (webhook_id, event_id, subject, state, next_at, tries, history) "
            "SELECT webhook_id, printf('%032x', n), n, state, next_at, tries, history "
            "FROM (SELECT * FROM webhook_deliveries WHERE state = 'pending' LIMIT 1), numbers",
            (first, last),
        )
        connection.execute(
            "INSERT OR IGNORE INTO webhook_events SELECT event_id, 'email.sent', 0, '{}', NULL FROM webhook_deliveries"
        )
    connection.close()


async def test_verbs_cost_the_same_with_fifty_thousand_events(
    sqlite_url: str, seen: tuple[list[str], list[int]]
) -> None:
    """Poll, claim, settle, and insert."""
    _, steps = seen
    store = await Store.open(sqlite_url)
    webhook = await listen(store)
    await accept(store, acceptance(due_at=NOW + DAY, scheduled_at=NOW + DAY))

    async def cost() -> list[int]:
        costs: list[int] = []
        for _ in range(2):  # the first time opens connections and prepares statements
            costs.clear()
            for work in (
                store.webhooks_with_work(NOW),
                accept(store),
                store.claim_deliveries(webhook, 8, NOW, NOW + 30),
            ):
                steps.clear()
                await work
                costs.append(len(steps))
            (due,) = await store.claim_deliveries(webhook, 1, NOW, NOW + 30)
            steps.clear()
            await store.settle_delivery(DeliveryResult(due, DeliveryAttempt(NOW, 200, ""), delivered=True))
            costs.append(len(steps))
            await settle(store, await claim_one(store), RELAYED)
        return costs

    fill(sqlite_url, 1, 1_000)
    few = await cost()
    fill(sqlite_url, 1_001, 50_000)
    many = await cost()
    await store.close()
    assert all(more <= less * 1.2 + 2 for more, less in zip(many, few, strict=True)), (few, many)
