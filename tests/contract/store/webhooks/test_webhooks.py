"""Events are stored in the commit of their cause, and deliveries are neither lost nor mixed up."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.webhook.payload import credential_event
from app.mail.webhook.rules import EventType
from app.store import AlreadyStoredError, Store
from app.store.queue.accept import Acceptance
from app.store.retention import RetentionCutoffs
from app.store.webhooks.records import (
    ClaimedDelivery,
    DeliveryAttempt,
    DeliveryResult,
    DeliveryState,
    Revision,
    Rotation,
    Secret,
    Webhook,
    WebhookStatus,
)
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    LOST,
    MAILBOX,
    NOW,
    POOL,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    evaluated,
    settle,
)

WHY = Explanation("It ends.", "Make a new one.")


async def listen(store: Store, *events: str) -> UUID:
    """Create a webhook for these types (or all)."""
    webhook = Webhook(uuid4(), "https://example.com/", events or tuple(EventType), NOW, (Secret("whsec_AAAA"),))
    await store.create_webhook(webhook)
    return webhook.id


async def take(store: Store, webhook: UUID, now: float = NOW, limit: int = 100) -> list[ClaimedDelivery]:
    """Claim for half a minute."""
    return await store.claim_deliveries(webhook, limit, now, now + 30)


async def deliver(
    store: Store, due: ClaimedDelivery, now: float = NOW, *, again: float | None = None, ok: bool = True
) -> bool:
    """Settle a delivery: sent, or due again at that time."""
    attempt = DeliveryAttempt(now, 200 if ok else 500, "")
    return await store.settle_delivery(DeliveryResult(due, attempt, delivered=ok, next_at=again))


async def deliver_all(store: Store, webhook: UUID, now: float = NOW) -> list[str]:
    """Deliver everything in order; return the types."""
    types: list[str] = []
    while dues := await take(store, webhook, now):
        for due in dues:
            types.append(due.type)
            assert await deliver(store, due, now)
    return types


def scheduled() -> Acceptance:
    """Return a message for tomorrow."""
    return acceptance(due_at=NOW + DAY, scheduled_at=NOW + DAY)


async def test_no_event_is_stored_without_a_subscriber(store: Store) -> None:
    """Without a webhook, for a disabled one, and for another type."""
    disabled, other = await listen(store), await listen(store, "email.failed")
    await store.revise_webhook(Revision(disabled, NOW, status=WebhookStatus.DISABLED))
    await accept(store)
    await settle(store, await claim_one(store), RELAYED)
    await store.revise_webhook(Revision(disabled, NOW, status=WebhookStatus.ENABLED))
    for webhook in (disabled, other):
        assert await store.deliveries(webhook, None, 10) == []


async def test_events_of_an_email(store: Store) -> None:
    """Scheduled at acceptance; sent or failed at the final settlement; canceled."""
    webhook = await listen(store)
    one, two, three = await accept(store, acceptance(), scheduled(), scheduled())
    await settle(store, await claim_one(store), RELAYED)
    await store.cancel(two, NOW)
    assert await deliver_all(store, webhook) == ["email.scheduled", "email.scheduled", "email.sent", "email.canceled"]
    await settle(store, await claim_one(store, NOW + DAY), REFUSED, NOW + DAY)
    assert await deliver_all(store, webhook, NOW + DAY) == ["email.failed"]
    assert {one, two, three} == {UUID(due.subject) for due in await every(store, webhook)}


async def every(store: Store, webhook: UUID) -> Sequence[ClaimedDelivery]:
    """Return all its events, replayed and claimed."""
    for delivery in await store.deliveries(webhook, None, 100):
        assert await store.replay(webhook, delivery.event_id, NOW + DAY)
    return [due for _ in range(2) for due in await take(store, webhook, NOW + DAY)]


async def test_an_earlier_failed_recipient_makes_it_failed(store: Store) -> None:
    """Even if the others were relayed later, as `last_event` has it."""
    webhook = await listen(store, "email.sent", "email.failed")
    await accept(store, acceptance("a@example.com", "b@example.com"))
    first = await claim_one(store)
    settlement, record = evaluated(first, DEFERRED)
    refused = evaluated(first, REFUSED)[0].recipients["a@example.com"]
    mixed = {**settlement.recipients, "a@example.com": refused}
    assert await store.settle(first, type(settlement)(settlement.event, NOW, mixed, False, None), record)
    await settle(store, await claim_one(store), RELAYED)
    assert await deliver_all(store, webhook) == ["email.failed"]


async def test_operator_commands_expiry_and_recovery_emit_events(store: Store) -> None:
    webhook = await listen(store)
    await accept(store, acceptance(on_unknown="hold"), acceptance(expires_at=NOW + 10))
    held, overdue = await claim(store)
    await settle(store, held, LOST)
    await store.give_back([overdue])
    await store.expire(NOW + 20)
    await store.confirm(held.id, NOW + 20)
    await accept(store, acceptance(on_unknown="assume_sent"))
    crashed = await claim_one(store)
    await store.mark_dot(crashed)
    await store.recover(NOW + 100)
    assert await deliver_all(store, webhook, NOW + 100) == ["email.failed", "email.sent", "email.sent"]


async def test_a_rolled_back_change_emits_no_event(store: Store) -> None:
    """A failed acceptance, a settlement without its lease."""
    webhook = await listen(store)
    stored = scheduled()
    await accept(store, stored)
    with pytest.raises(AlreadyStoredError):
        await store.accept([scheduled(), stored])
    await accept(store)
    claimed = await claim_one(store)
    await store.recover(NOW, everything=True)
    assert not await settle(store, claimed, RELAYED)
    assert await deliver_all(store, webhook) == ["email.scheduled"]


async def test_a_coalesced_message_emits_canceled(store: Store) -> None:
    """In the commit of the newer one, also in the same batch."""
    webhook = await listen(store, "email.canceled")
    older, middle, _ = [await accept(store, acceptance(coalesce="code")) for _ in range(3)]
    dues = await take(store, webhook)
    assert [UUID(due.subject) for due in dues] == [*older, *middle]
    first, second = acceptance(coalesce="a"), acceptance(coalesce="a")
    await store.accept([first, second])
    assert [UUID(due.subject) for due in await take(store, webhook)] == [first.id]


async def test_a_delay_is_reported_once_an_hour_after_the_due_time(store: Store) -> None:
    """Not for an ended message; for a retried or scheduled one an hour after its new time."""
    webhook = await listen(store, "email.delivery_delayed")
    sent, failed, waits, later = await accept(store, acceptance(), acceptance(), acceptance(), scheduled())
    one, two, three = await claim(store)
    await settle(store, one, RELAYED)
    await settle(store, two, REFUSED)
    await settle(store, three, DEFERRED)
    await store.retry(failed, NOW + 1800)
    await store.write_delay_notices(NOW + 3599)
    assert await take(store, webhook, NOW + 3599) == []
    await store.write_delay_notices(NOW + 3600)
    assert await deliver_all(store, webhook, NOW + 3600) == ["email.delivery_delayed"]
    await store.write_delay_notices(NOW + 1800 + 3600)
    await store.write_delay_notices(NOW + DAY + 3600)
    await store.write_delay_notices(NOW + 2 * DAY)
    assert await deliver_all(store, webhook, NOW + 2 * DAY) == ["email.delivery_delayed"] * 2
    subjects = {UUID(due.subject) for due in await every(store, webhook)}
    assert subjects == {waits, failed, later}
    assert sent not in subjects


async def test_held_and_released_mailboxes_emit_events(store: Store) -> None:
    """A pause and a longer hold do not."""
    webhook = await listen(store, "mailbox.held", "mailbox.released")
    for health in (Health.OPEN, Health.PAUSED, Health.HELD, Health.HELD, Health.OPEN, Health.PAUSED, Health.HELD):
        await store.save_condition(MAILBOX, POOL, MailboxCondition(health, NOW))
    assert await deliver_all(store, webhook) == ["mailbox.held", "mailbox.released", "mailbox.held"]


async def test_an_expiry_notice_is_emitted_once(store: Store) -> None:
    """By all processes together; the next step is a new one."""
    webhook = await listen(store)
    for step in ("30", "30", "7"):
        await store.publish_event(credential_event(NOW, MAILBOX, "password", NOW + DAY, WHY, step=step))
    assert await deliver_all(store, webhook) == ["credential.expiring"] * 2


async def test_events_of_one_email_are_delivered_in_order(store: Store) -> None:
    """The next waits while the first may still be delivered."""
    webhook = await listen(store)
    (id,) = await accept(store, scheduled())
    await store.cancel(id, NOW)
    await accept(store, scheduled())
    first, other = await take(store, webhook)
    assert {first.type, other.type} == {EventType.SCHEDULED}
    assert await take(store, webhook) == []
    await deliver(store, first, NOW + 1, again=NOW + 300, ok=False)
    await deliver(store, other)
    assert await take(store, webhook, NOW + 299) == []
    (again,) = await take(store, webhook, NOW + 300)
    assert (again.event_id, again.tries) == (first.event_id, 1)
    await deliver(store, again, NOW + 301, ok=False)  # given up
    (second,) = await take(store, webhook, NOW + 301)
    assert second.type == EventType.CANCELED
    (delivery,) = [one for one in await store.deliveries(webhook, None, 10) if one.event_id == first.event_id]
    assert (delivery.state, [one.status for one in delivery.history]) == (DeliveryState.FAILED, [500, 500])


async def test_a_claimed_delivery_is_due_again_after_its_lease(store: Store) -> None:
    """With the same id; the former owner's result is refused."""
    webhook = await listen(store)
    await accept(store, scheduled())
    (taken,) = await take(store, webhook)
    assert await take(store, webhook, NOW + 29) == []
    (again,) = await take(store, webhook, NOW + 30)
    assert (again.event_id, again.payload) == (taken.event_id, taken.payload)
    assert not await deliver(store, taken)
    assert await deliver(store, again)


async def test_a_forced_recovery_makes_claimed_deliveries_due(store: Store) -> None:
    """As at the start of the only process; delayed ones stay delayed."""
    webhook = await listen(store)
    await accept(store, scheduled(), scheduled())
    taken, rests = await take(store, webhook)
    await deliver(store, rests, again=NOW + 20, ok=False)
    await store.recover_deliveries(NOW + 1, NOW + 31)
    (again,) = await take(store, webhook, NOW + 1)
    assert again.event_id == taken.event_id
    assert not await deliver(store, taken)


async def test_a_failing_endpoint_does_not_delay_others(store: Store) -> None:
    one, two = await listen(store), await listen(store)
    await accept(store, scheduled())
    (first,) = await take(store, one)
    await deliver(store, first, again=NOW + 300, ok=False)
    assert await deliver_all(store, two) == ["email.scheduled"]
    assert [webhook.id for webhook in await store.webhooks_with_work(NOW)] == []
    assert [webhook.id for webhook in await store.webhooks_with_work(NOW + 300)] == [one]


async def test_410_disables_the_webhook(store: Store) -> None:
    """Once, with the reason; after it is enabled, waiting events are due."""
    webhook = await listen(store)
    await accept(store, scheduled())
    (due,) = await take(store, webhook)
    await store.settle_delivery(
        DeliveryResult(
            due, DeliveryAttempt(NOW, 410, ""), delivered=False, next_at=NOW, disable_reason="It answered 410 Gone."
        )
    )
    found = await store.webhook(webhook)
    assert found is not None
    assert (found.status, found.reason) == (WebhookStatus.DISABLED, "It answered 410 Gone.")
    assert await store.webhooks_with_work(NOW) == []
    assert await store.revise_webhook(Revision(webhook, NOW, status=WebhookStatus.ENABLED))
    assert [one.id for one in await store.webhooks_with_work(NOW)] == [webhook]


async def test_failed_events_since_a_time_are_replayed(store: Store) -> None:
    """Only of this endpoint."""
    webhook = await listen(store)
    for at in (NOW, NOW + 100, NOW + 200):
        await accept(store, acceptance(created_at=at, due_at=NOW + DAY, scheduled_at=NOW + DAY))
    early, middle, late = sorted(await take(store, webhook, NOW + 200), key=lambda due: due.event_id)
    await deliver(store, early, ok=False)
    await deliver(store, middle, ok=False)
    await deliver(store, late)
    assert await store.replay_failed(webhook, NOW + 50, NOW + 300) == 1
    (due,) = await take(store, webhook, NOW + 300)
    assert (due.event_id, due.tries, len(due.history)) == (middle.event_id, 0, 1)
    assert not await store.replay(webhook, uuid4(), NOW)


async def test_secrets_overlap(store: Store) -> None:
    """The current one first; each old one until its end."""
    webhook = await listen(store)
    assert await store.rotate_webhook(Rotation(webhook, "whsec_BBBB", NOW, NOW + DAY))
    assert await store.rotate_webhook(Rotation(webhook, "whsec_CCCC", NOW + 10, NOW + 10 + DAY))
    assert await secrets(store, webhook) == [
        ("whsec_CCCC", None),
        ("whsec_BBBB", NOW + 10 + DAY),
        ("whsec_AAAA", NOW + DAY),
    ]
    assert await store.rotate_webhook(Rotation(webhook, "whsec_DDDD", NOW + DAY + 5, NOW + 2 * DAY))
    assert [value for value, _ in await secrets(store, webhook)] == ["whsec_DDDD", "whsec_CCCC", "whsec_BBBB"]
    assert not await store.rotate_webhook(Rotation(uuid4(), "whsec_EEEE", NOW, NOW))
    assert "whsec_" not in repr(await store.webhook(webhook))


async def secrets(store: Store, webhook: UUID) -> list[tuple[str, float | None]]:
    """Return its secrets with their ends."""
    found = await store.webhook(webhook)
    assert found is not None
    return [(secret.value, secret.until) for secret in found.secrets]


async def test_old_events_are_removed(store: Store) -> None:
    """With their deliveries, also those of a deleted webhook."""
    webhook, removed = await listen(store), await listen(store)
    await accept(store, scheduled())
    assert await store.remove_webhook(removed, NOW)
    assert not await store.remove_webhook(removed, NOW)
    assert await store.prune(RetentionCutoffs(NOW, contents=0.0, messages=0.0, events=NOW)) == 0
    assert len(await store.deliveries(webhook, None, 10)) == 1
    assert await store.prune(RetentionCutoffs(NOW, contents=0.0, messages=0.0, events=NOW + 1)) > 0
    assert await store.deliveries(webhook, None, 10) == []
    assert await take(store, webhook) == []


async def test_events_by_state(store: Store) -> None:
    """Failed ones, the newest first, and pending ones in the order of their next attempt."""
    webhook = await listen(store, "email.scheduled")
    for n in range(5):
        await accept(store, acceptance(created_at=NOW + n, due_at=NOW + DAY, scheduled_at=NOW + DAY))
    every = await store.deliveries(webhook, None, 10)
    claimed = sorted(await store.claim_deliveries(webhook, 10, NOW + 60, NOW + 90), key=lambda one: one.event_id)
    for n, next_at in ((0, None), (1, NOW + 900), (2, NOW + 300), (3, None)):
        attempt = DeliveryAttempt(NOW + 60, 500, "")
        await store.settle_delivery(DeliveryResult(claimed[n], attempt, delivered=False, next_at=next_at))
    ids = [one.event_id for one in every][::-1]
    failed = await store.deliveries(webhook, None, 10, failed=True)
    assert [one.event_id for one in failed] == [ids[3], ids[0]]
    assert await store.deliveries(webhook, ids[3], 10, failed=True) == failed[1:]
    assert [one.event_id for one in await store.next_deliveries(webhook, 10)] == [ids[4], ids[2], ids[1]]
    assert len(await store.next_deliveries(webhook, 2)) == 2


async def test_events_are_paged(store: Store) -> None:
    """The newest first, each once."""
    webhook = await listen(store, "email.scheduled")
    for n in range(5):
        await accept(store, acceptance(created_at=NOW + n, due_at=NOW + DAY, scheduled_at=NOW + DAY))
    every = await store.deliveries(webhook, None, 10)
    assert [one.at for one in every] == [NOW + n for n in (4, 3, 2, 1, 0)]
    assert await store.deliveries(webhook, every[2].event_id, 10) == every[3:]
    assert await store.delivery(webhook, every[2].event_id) == every[2]
    assert await store.delivery(uuid4(), every[2].event_id) is None
    assert KEY.hex not in every[0].payload
