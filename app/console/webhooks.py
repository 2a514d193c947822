"""Webhooks page: state, waiting events and recent failed deliveries of each endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import Response

from app.console.request import ConsoleRequest
from app.store.webhooks.records import Delivery, DeliveryState, Webhook

RECENT_DELIVERIES = 20  # of each webhook


@dataclass(frozen=True, slots=True)
class WebhookView:
    """Webhook as the page shows it."""

    webhook: Webhook
    waiting: int
    failing: Sequence[Delivery]  # recent undelivered events with failed attempts

    @property
    def address(self) -> str:
        """URL of the endpoint without user and query, which may contain secrets."""
        parts = urlsplit(self.webhook.endpoint)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


async def show_webhooks(request: ConsoleRequest) -> Response:
    """GET /console/webhooks."""
    store = request.context.store
    views = [
        WebhookView(
            one,
            await store.webhook_backlog(one.id),
            _failing(await store.deliveries(one.id, None, RECENT_DELIVERIES)),
        )
        for one in await store.webhooks()
    ]
    return request.page("webhooks.html", webhooks=views, recent=RECENT_DELIVERIES)


def _failing(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [one for one in deliveries if one.state is not DeliveryState.DELIVERED and one.history]
