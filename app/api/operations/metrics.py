"""GET /metrics: what was counted. For machines inside, so without a key: the gateway must not pass it on.

On the port of the API, or as all there is on a port of its own.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.metrics import CONTENT_TYPE


class MetricsRoute:
    """The route. `text` gives what it answers."""

    def __init__(self, text: Callable[[], Awaitable[bytes]]) -> None:
        self._text = text

    @operation(
        "getMetrics",
        "Read what was counted",
        tag=Tag.OPERATION,
        needs=RequiredPermission.NONE,
        answer=Answer("Prometheus' text format.", media_type="text/plain"),
        uses_store=False,  # what it reads of the store it leaves out when that does not answer
        refused_while_stopping=False,
    )
    async def get(self, _: Request) -> Response:
        """GET /metrics: in Prometheus' text format, also while Postern stops."""
        return Response(await self._text(), headers={"content-type": CONTENT_TYPE})
