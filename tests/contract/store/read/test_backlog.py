"""Backlog for metrics: number of messages by state, and the due time of the oldest."""

from dataclasses import replace
from uuid import UUID, uuid4

from app.mail.message.message import Lane
from app.mail.webhook.rules import EventType
from app.store import Store
from app.store.read import backlog
from app.store.read.records import Waiting
from app.store.webhooks.records import Revision, Secret, Webhook, WebhookStatus
from tests.contract.store.build import DAY, DEFERRED, KEY, LOST, NOW, POOL, accept, acceptance, claim, settle
from tests.contract.store.test_cost import fill, steps

__all__ = ["steps"]


async def test_messages_are_counted_by_state_pool_and_lane(store: Store) -> None:
    """Ready, resting, active or held; ended ones are not counted."""
    hold = replace(acceptance(), on_unknown=acceptance().on_unknown.HOLD)
    await accept(store, hold, acceptance(), acceptance())
    first, second, _ = await claim(store)
    await settle(store, first, LOST)
    await settle(store, second, DEFERRED)
    await accept(store, acceptance(lane=Lane.URGENT), acceptance(lane=Lane.BULK, due_at=NOW + DAY))
    await accept(store, acceptance(pool="other"), acceptance(pool="of nobody"))
    found = await store.backlog([POOL, "other"], NOW)
    assert {one: count for one, count in found.waiting.items() if count} == {
        Waiting(POOL, Lane.NORMAL, "held"): 1,
        Waiting(POOL, Lane.NORMAL, "resting"): 1,
        Waiting(POOL, Lane.NORMAL, "active"): 1,
        Waiting(POOL, Lane.URGENT, "ready"): 1,
        Waiting(POOL, Lane.BULK, "resting"): 1,
        Waiting("other", Lane.NORMAL, "ready"): 1,
    }
    assert len(found.waiting) == 2 * len(Lane) * 4


async def test_the_oldest_is_found_behind_the_turns_of_other_keys(store: Store) -> None:
    """By the first message of every key that waits."""
    await accept(store, *(acceptance(created_at=NOW - 500 + n, due_at=NOW - 500 + n) for n in range(30)))
    await claim(store, 5, NOW)
    for other in range(40):
        await accept(store, acceptance(key_id=UUID(int=100 + other), created_at=NOW - 100, due_at=NOW - 100))
    found = await store.backlog([POOL], NOW)
    assert found.oldest == {(POOL, Lane.NORMAL): NOW - 495}


async def test_a_message_due_without_a_turn_is_ready(store: Store) -> None:
    """A resting mailbox claims nothing; a message due later is not ready."""
    await accept(store, acceptance(lane=Lane.BULK, due_at=NOW + 10), acceptance(lane=Lane.URGENT, due_at=NOW + 1000))
    assert (await store.backlog([POOL], NOW)).oldest == {}
    assert (await store.backlog([POOL], NOW + 60)).oldest == {(POOL, Lane.BULK): NOW + 10}


async def test_pending_deliveries_of_enabled_webhooks_are_counted(store: Store) -> None:
    """A disabled one waits for an operator."""
    one = Webhook(uuid4(), "https://a.example/", (EventType.SCHEDULED,), NOW, (Secret("whsec_eA=="),))
    other = replace(one, id=uuid4())
    await store.create_webhook(one)
    await store.create_webhook(other)
    await accept(store, *(acceptance(due_at=NOW + 99, scheduled_at=NOW + 99) for _ in range(3)))
    found = await store.backlog([POOL], NOW)
    assert (found.events, found.events_since) == (6, NOW)
    await store.revise_webhook(Revision(other.id, NOW, status=WebhookStatus.DISABLED))
    assert (await store.backlog([POOL], NOW)).events == 3
    assert [await store.webhook_backlog(id) for id in (one.id, other.id, uuid4())] == [3, 3, 0]
    assert (await store.backlog([], NOW)).waiting == {}


async def test_counts_are_bounded(sqlite_url: str, steps: list[int]) -> None:
    """So that their cost is, too."""
    store = await Store.open(sqlite_url)
    await accept(store, acceptance(key_id=KEY))
    costs = []
    for first, last in ((1, 12_000), (12_001, 30_000)):
        fill(sqlite_url, first, last)
        found = await store.backlog([POOL], NOW)
        assert found.waiting[Waiting(POOL, Lane.NORMAL, "ready")] == backlog.COUNT_LIMIT
        steps.clear()
        await store.backlog([POOL], NOW)
        costs.append(len(steps))
    await store.close()
    assert costs[1] <= costs[0] * 1.1
