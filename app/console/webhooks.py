"""The webhooks: whether each is told anything, what waits for it, and how its last events went. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import Response

from app.console.context import ConsoleContext
from app.console.request import ConsoleRequest
from app.store.webhooks.records import Delivery, DeliveryState, Webhook

EVENTS = 20  # of each, the newest


@dataclass(frozen=True, slots=True)
class WebhookView:
    """One endpoint. Its address is shown without its query, in which people put secrets."""

    webhook: Webhook
    waiting: int
    troubled: Sequence[Delivery]  # of the newest, those that were not taken at once

    @property
    def address(self) -> str:
        """Where it leads."""
        parts = urlsplit(self.webhook.endpoint)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


class WebhookPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/webhooks."""
        store = self._desk.store
        views = [
            WebhookView(
                one, await store.webhook_backlog(one.id), _troubled(await store.deliveries(one.id, None, EVENTS))
            )
            for one in await store.webhooks()
        ]
        return visit.page("webhooks.html", webhooks=views, looked_at=EVENTS)


def _troubled(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [one for one in deliveries if one.state is not DeliveryState.DELIVERED and one.history]
