"""Webhook dispatcher: claims due deliveries from the store, sends them, stores the results. At least once, in order.
Every second it also publishes the delay notices that are due.

The store alone is authoritative: a delivery that was claimed and not settled, because the process died, is due again
when its lease expires, under the same id. Several processes may dispatch at the same time.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app import logs, metrics
from app.background import run_periodically
from app.clock import Clock
from app.mail import retry_schedule
from app.mail.webhook.rules import MAX_RETRY_AFTER, redelivery_delay
from app.store import Store, StoreUnavailableError
from app.store.webhooks.records import ClaimedDelivery, DeliveryAttempt, DeliveryResult, Webhook

if TYPE_CHECKING:
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

    leases: list[float] = field(default_factory=list)  # ends of the leases of attempts under way, epoch seconds
    failing: bool = False  # the last attempt failed: one at a time until one succeeds
    failures: int = 0  # consecutive attempts that found it unreachable or overloaded
    paused_until: float = 0.0  # epoch seconds

    def capacity(self, now: float) -> int:
        """Return how many deliveries to claim; a larger claim costs one commit as well.

        It is 0 while a lease of an attempt under way has expired, as after the wall clock was set ahead: the claim
        would include its delivery, and the event would be sent twice.
        """
        limit = 1 if self.failing else CLAIM_BATCH
        if now < self.paused_until or len(self.leases) > limit // 2 or any(end <= now for end in self.leases):
            return 0
        return limit - len(self.leases)

    def record_result(self, response: "WebhookResponse", now: float) -> None:
        """Update the state from one response."""
        self.failing = not 200 <= response.status < 300
        if response.status not in _UNREACHED:
            self.failures = 0
        elif now >= self.paused_until:  # else it repeats the result of a concurrent attempt
            self.failures += 1
            pause = retry_schedule.backoff(self.failures, 0.0, first_delay=FIRST_PAUSE, max_delay=MAX_PAUSE)
            self.paused_until = now + max(pause, min(response.retry_after, MAX_RETRY_AFTER))


class WebhookDispatcher:
    """Tasks that deliver webhooks, and the order in which they stop."""

    def __init__(self, store: Store, clock: Clock, make_sender: "Callable[[], WebhookSender]") -> None:
        """`make_sender` is called in a thread before the first delivery: few processes need its HTTP client."""
        self._store = store
        self._clock = clock
        self._make_sender = make_sender
        self._sender: WebhookSender | None = None
        self._endpoints: dict[object, EndpointState] = defaultdict(EndpointState)
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._delays_checked_at = 0.0  # by the loop's time
        self._dispatcher: asyncio.Task[None] | None = None

    async def start(self, *, single_node: bool) -> None:
        """Start. `single_node`: no other process dispatches, so deliveries claimed earlier are due immediately.

        Raises StoreUnavailableError.
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
        if self._sender is not None:
            await self._sender.close()

    async def _advance(self) -> None:
        now, moment = self._clock.now(), asyncio.get_running_loop().time()
        if moment >= self._delays_checked_at:
            await self._store.write_delay_notices(now)
            self._delays_checked_at = moment + POLL_INTERVAL
        for webhook in await self._store.webhooks_with_work(now):
            if self._sender is None:
                self._sender = await asyncio.to_thread(self._make_sender)
            await self._claim(webhook, self._sender, now)

    async def _claim(self, webhook: Webhook, sender: "WebhookSender", now: float) -> None:
        endpoint = self._endpoints[webhook.id]
        limit = min(endpoint.capacity(now), MAX_IN_FLIGHT - len(self._attempts))
        if limit < 1:
            return
        lease_until = now + LEASE_SECONDS * self._clock.speed
        for due in await self._store.claim_deliveries(webhook.id, limit, now, lease_until):
            endpoint.leases.append(lease_until)
            task = asyncio.create_task(self._attempt(webhook, sender, endpoint, due, lease_until))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)

    async def _attempt(
        self,
        webhook: Webhook,
        sender: "WebhookSender",
        endpoint: EndpointState,
        due: ClaimedDelivery,
        lease_until: float,
    ) -> None:
        started = self._clock.monotonic()
        try:
            response = await sender.send(webhook, due)
            now = self._clock.now()
            endpoint.record_result(response, now)
            result = classify(due, response, now, random.uniform(-1, 1))  # noqa: S311 - jitter needs no secrecy
            if await self._store.settle_delivery(result):
                _report(result, self._clock.monotonic() - started)
        except StoreUnavailableError as error:
            logs.store_failed("webhooks", error)  # the lease expires, and the delivery is repeated
        except Exception as error:  # a bug costs this event one lease, not the loop
            logs.crashed(f"webhook delivery {due.event_id}", error)
        finally:
            endpoint.leases.remove(lease_until)
            if endpoint.capacity(self._clock.now()):
                self._wake.set()


def classify(due: ClaimedDelivery, response: "WebhookResponse", now: float, jitter: float) -> DeliveryResult:
    """Return the result of an attempt. Only 2xx is a success, not a redirect. `jitter` is in -1..1. Pure."""
    attempt = DeliveryAttempt(now, response.status, response.text)
    if 200 <= response.status < 300:
        return DeliveryResult(due, attempt, delivered=True)
    if response.status == _GONE:  # the event waits until the endpoint is enabled again
        return DeliveryResult(due, attempt, delivered=False, next_at=now, disable_reason="It answered 410 Gone.")
    delay = redelivery_delay(due.tries + 1, jitter)
    if delay is None:
        return DeliveryResult(due, attempt, delivered=False)
    requested = min(response.retry_after, MAX_RETRY_AFTER) if response.status in _OVERLOADED else 0.0
    return DeliveryResult(due, attempt, delivered=False, next_at=now + max(delay, requested))


def _report(result: DeliveryResult, seconds: float) -> None:
    outcome = _outcome(result)
    metrics.webhook_sent(outcome)
    logs.webhook_sent(
        result.delivery.event_id,
        webhook=result.delivery.webhook_id,
        kind=result.delivery.type,
        number=result.delivery.tries + 1,
        outcome=outcome,
        status=result.attempt.status,
        reason="" if result.attempt.status else result.attempt.response,  # a response's text belongs to the receiver
        seconds=seconds,
    )
    if result.disable_reason:
        logs.webhook_disabled(result.delivery.webhook_id, reason=result.disable_reason)


def _outcome(result: DeliveryResult) -> str:
    if result.delivered:
        return "delivered"
    if result.disable_reason:
        return "gone"
    return "given up" if result.next_at is None else "again"
