"""Webhook dispatcher: claims due deliveries from the store, sends them, stores the results. At least once, in order.

The store alone is authoritative: a delivery that was claimed and not settled, because the process died, is due again
when its lease expires, under the same id. Several processes may dispatch at the same time.
"""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass

from app import logs, metrics
from app.background import run_periodically
from app.clock import Clock
from app.mail import retry_schedule
from app.mail.webhook.rules import MAX_RETRY_AFTER, retry_delay
from app.store import Store, StoreUnavailableError
from app.store.webhooks.records import ClaimedDelivery, DeliveryAttempt, DeliveryResult, Webhook
from app.webhooks.sender import WebhookResponse, WebhookSender

POLL_INTERVAL = 1.0  # real seconds between polls for due deliveries
LEASE_SECONDS = 30.0  # real seconds, longer than an attempt can take
CLAIM_BATCH = 8  # concurrent attempts for one endpoint; one after a failure
MAX_IN_FLIGHT = 64  # concurrent attempts for all endpoints
STOP_TIMEOUT = 5.0  # real seconds for attempts under way at a stop; they would be repeated after it
FIRST_PAUSE, MAX_PAUSE = 5.0, 60.0  # seconds of pause for an unreachable endpoint

_OVERLOADED = frozenset({429, 502, 503, 504})
_UNREACHED = _OVERLOADED | {0}
_GONE = 410


@dataclass(slots=True)
class EndpointState:
    """State of one endpoint in this process. During a pause its deliveries wait without an attempt."""

    in_flight: int = 0  # attempts under way
    failing: bool = False  # the last attempt failed: one at a time until one succeeds
    failures: int = 0  # consecutive attempts that found it unreachable or overloaded
    paused_until: float = 0.0  # epoch seconds

    def capacity(self, now: float) -> int:
        """Return how many deliveries to claim; a larger claim costs one commit as well."""
        limit = 1 if self.failing else CLAIM_BATCH
        return 0 if now < self.paused_until or self.in_flight > limit // 2 else limit - self.in_flight

    def record_result(self, answer: WebhookResponse, now: float) -> None:
        """Update the state from one response."""
        self.failing = not 200 <= answer.status < 300
        if answer.status not in _UNREACHED:
            self.failures = 0
        elif now >= self.paused_until:  # else it repeats the result of a concurrent attempt
            self.failures += 1
            rest = retry_schedule.backoff(self.failures, 0.0, first_delay=FIRST_PAUSE, max_delay=MAX_PAUSE)
            self.paused_until = now + max(rest, min(answer.retry_after, MAX_RETRY_AFTER))


class WebhookDispatcher:
    """Tasks that deliver webhooks, and the order in which they stop."""

    def __init__(self, store: Store, clock: Clock, sender: WebhookSender) -> None:
        self._store = store
        self._clock = clock
        self._sender = sender
        self._endpoints: dict[object, EndpointState] = defaultdict(EndpointState)
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._delays_checked_at = 0.0  # by the loop's time
        self._dispatcher: asyncio.Task[None] | None = None

    async def start(self, *, single_node: bool) -> None:
        """Start. `single_node`: no other process dispatches, so deliveries claimed earlier are due immediately.

        Raises StoreUnavailable.
        """
        if single_node:
            now = self._clock.now()
            await self._store.recover_deliveries(now, now + LEASE_SECONDS * self._clock.speed)
        self._dispatcher = asyncio.create_task(
            run_periodically(
                "webhooks", self._advance, interval=POLL_INTERVAL, wake=self._wake, stopping=lambda: self._stopping
            )
        )

    async def stop(self, drain: float) -> None:
        """Stop claiming and wait briefly for attempts under way; the rest is delivered after the restart."""
        if self._dispatcher is None:
            return
        self._stopping = True
        self._wake.set()
        await self._dispatcher
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=min(drain, STOP_TIMEOUT))
        for task in self._attempts:
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        await self._sender.close()

    async def _advance(self) -> None:
        now, moment = self._clock.now(), asyncio.get_running_loop().time()
        if moment >= self._delays_checked_at:
            await self._store.write_delay_notices(now)
            self._delays_checked_at = moment + POLL_INTERVAL
        for webhook in await self._store.webhooks_with_work(now):
            await self._claim(webhook, now)

    async def _claim(self, webhook: Webhook, now: float) -> None:
        line = self._endpoints[webhook.id]
        room = min(line.capacity(now), MAX_IN_FLIGHT - len(self._attempts))
        if room < 1:
            return
        until = now + LEASE_SECONDS * self._clock.speed
        for due in await self._store.claim_deliveries(webhook.id, room, now, until):
            line.in_flight += 1
            task = asyncio.create_task(self._attempt(webhook, line, due))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)

    async def _attempt(self, webhook: Webhook, line: EndpointState, due: ClaimedDelivery) -> None:
        began = self._clock.monotonic()
        try:
            answer = await self._sender.send(webhook, due)
            now = self._clock.now()
            line.record_result(answer, now)
            told = classify(due, answer, now, random.uniform(-1, 1))  # noqa: S311 - it spreads load, it keeps no secret
            if await self._store.settle_delivery(told):
                _report(told, self._clock.monotonic() - began)
        except StoreUnavailableError as error:
            logs.store_failed("webhooks", error)  # the lease expires, and the delivery is repeated
        except Exception as error:  # a bug costs this event one lease, not the loop
            logs.crashed(f"telling {due.event_id}", error)
        finally:
            line.in_flight -= 1
            if line.capacity(self._clock.now()):
                self._wake.set()


def classify(due: ClaimedDelivery, answer: WebhookResponse, now: float, jitter: float) -> DeliveryResult:
    """Return the result of an attempt. Only 2xx is a success, not a redirect. `jitter` is in -1..1. Pure."""
    attempt = DeliveryAttempt(now, answer.status, answer.text)
    if 200 <= answer.status < 300:
        return DeliveryResult(due, attempt, delivered=True)
    if answer.status == _GONE:  # the event waits until the endpoint is enabled again
        return DeliveryResult(due, attempt, delivered=False, next_at=now, disable_reason="It answered 410 Gone.")
    rest = retry_delay(due.tries + 1, jitter)
    if rest is None:
        return DeliveryResult(due, attempt, delivered=False)
    wish = min(answer.retry_after, MAX_RETRY_AFTER) if answer.status in _OVERLOADED else 0.0
    return DeliveryResult(due, attempt, delivered=False, next_at=now + max(rest, wish))


def _report(told: DeliveryResult, seconds: float) -> None:
    outcome = _outcome(told)
    metrics.webhook_sent(outcome)
    logs.webhook_sent(
        told.delivery.event_id,
        webhook=told.delivery.webhook_id,
        kind=told.delivery.type,
        number=told.delivery.tries + 1,
        outcome=outcome,
        status=told.attempt.status,
        reason="" if told.attempt.status else told.attempt.response,  # a response's text belongs to the receiver
        seconds=seconds,
    )
    if told.disable_reason:
        logs.webhook_disabled(told.delivery.webhook_id, reason=told.disable_reason)


def _outcome(told: DeliveryResult) -> str:
    if told.delivered:
        return "delivered"
    if told.disable_reason:
        return "gone"
    return "given up" if told.next_at is None else "again"
