"""GET /metrics in the text format of Prometheus. It needs no API key, and gateways must not forward it.

Served on the port of the API, or alone on POSTERN_METRICS_PORT.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.metrics import CONTENT_TYPE


class MetricsRoute:
    """Route of the metrics. `text` returns the content."""

    def __init__(self, text: Callable[[], Awaitable[bytes]]) -> None:
        self._text = text

    @operation(
        "getMetrics",
        "Get the metrics",
        tag=Tag.OPERATION,
        needs=RequiredPermission.NONE,
        answer=Answer("Metrics in the text format of Prometheus.", media_type="text/plain"),
        uses_store=False,  # metrics from the store are left out while it is unavailable
        refused_while_stopping=False,
    )
    async def get(self, _: Request) -> Response:
        """GET /metrics, also during a shutdown."""
        return Response(await self._text(), headers={"content-type": CONTENT_TYPE})
