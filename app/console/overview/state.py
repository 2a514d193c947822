"""State of the store for the overview, shared by all visitors: mailboxes, lanes, webhooks, numbers of emails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.console.context import ConsoleContext
from app.console.overview.lanes import LaneView, lane_views
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.times import DAY, hour_text
from app.store import Store
from app.store.email_counts import UNFINISHED_LIMIT, hour_of
from app.store.mailboxes.records import MailboxRecord
from app.store.read.records import BoundedCount, NumbersSince, Selection
from app.store.webhooks.records import Delivery, DeliveryState, Webhook, WebhookStatus

RECENT_DELIVERIES = 20  # of each webhook
MAX_WEBHOOKS = 50  # of which the deliveries are read
UNFINISHED = (MessageState.HELD, LastEvent.QUEUED, LastEvent.DELIVERY_DELAYED)
Numbers = Mapping[MessageState | LastEvent, BoundedCount]


@dataclass(frozen=True, slots=True)
class WebhookState:
    """Webhook and its recent events that it did not accept, the newest first."""

    webhook: Webhook
    failing: Sequence[Delivery]

    @property
    def address(self) -> str:
        """Host of the endpoint; path and query may contain secrets."""
        return urlsplit(self.webhook.endpoint).hostname or ""


@dataclass(frozen=True, slots=True)
class StoreState:
    """Mailboxes, backlog, webhooks, and numbers of emails by event."""

    mailboxes: Mapping[str, MailboxRecord]
    sending: Mapping[str, int]  # by mailbox, messages that it is sending
    lanes: Sequence[LaneView]
    oldest: float | None  # due time of the oldest waiting email (epoch seconds)
    webhooks: Sequence[WebhookState]
    now: Numbers  # of UNFINISHED
    day: NumbersSince  # of the emails that were accepted in the last 24 to 25 hours

    @property
    def waiting(self) -> BoundedCount:
        """Number of emails that wait for a mailbox."""
        queued, late = self.now[LastEvent.QUEUED], self.now[LastEvent.DELIVERY_DELAYED]
        return BoundedCount(queued.number + late.number, queued.more or late.more)

    @property
    def day_query(self) -> str:
        """Query string of the list of the emails that `day` counts."""
        return f"q=since:{hour_text(self.day.since)}"


async def load_state(context: ConsoleContext) -> StoreState:
    """Read the state."""
    store, now = context.store, context.clock.now()
    backlog = await store.backlog([*dict.fromkeys(context.pools.values())], now)
    return StoreState(
        {record.name: record for record in await store.mailboxes()},
        await store.active_sends([*context.pools], now),
        lanes=lane_views(backlog, context.pools.values(), now),
        oldest=min(backlog.oldest.values(), default=None),
        webhooks=await _webhooks(store),
        now=await store.count_by_event(Selection(), now, UNFINISHED_LIMIT, UNFINISHED),
        day=await store.numbers_since(hour_of(now - DAY)),
    )


async def _webhooks(store: Store) -> list[WebhookState]:
    states = []
    for webhook in (await store.webhooks())[:MAX_WEBHOOKS]:
        enabled = webhook.status is WebhookStatus.ENABLED
        recent = await store.deliveries(webhook.id, None, RECENT_DELIVERIES) if enabled else ()
        states.append(
            WebhookState(webhook, [d for d in recent if d.state is not DeliveryState.DELIVERED and d.history])
        )
    return states
