"""Is the process alive (/healthz), can it take mail now (/readyz), what has it counted (/metrics)?

For machines inside, so without a key: the gateway before Postern passes none of them on.
"""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import metrics
from app.api.edge import Edge
from app.api.errors import Unavailable
from app.api.openapi import Answer, Needs, Tag, operation
from app.api.wire import success


class Alive(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Ready(TypedDict):
    """Emails can be accepted."""

    status: Literal["ready"]


class Health:
    """The three routes."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @operation(
        "getHealth",
        "Ask whether the process lives",
        tag=Tag.OPERATION,
        needs=Needs.NOTHING,
        answer=Answer("It does.", Alive, {"alive": {"status": "ok"}}),
        asks_store=False,
        drains=False,
    )
    async def alive(self, _: Request) -> Response:
        """GET /healthz: 200 as long as the process answers."""
        return success(b'{"status":"ok"}')

    @operation(
        "getReadiness",
        "Ask whether emails can be accepted",
        tag=Tag.OPERATION,
        needs=Needs.NOTHING,
        answer=Answer("They can.", Ready, {"ready": {"status": "ready"}}),
    )
    async def ready(self, _: Request) -> Response:
        """GET /readyz: 200, or 503 with every reason in `details`."""
        reasons = await self._edge.ready()
        if self._edge.draining():
            reasons = ["Postern is stopping.", *reasons]
        if reasons:
            details = [{"message": reason} for reason in reasons]
            raise Unavailable(f"Postern is not ready: {' '.join(reasons)}", retry_after=5, details=details)
        return success(b'{"status":"ready"}')

    @operation(
        "getMetrics",
        "Read what was counted",
        tag=Tag.OPERATION,
        needs=Needs.NOTHING,
        answer=Answer("Prometheus' text format.", media_type="text/plain"),
        asks_store=False,
        drains=False,
    )
    async def counted(self, _: Request) -> Response:
        """GET /metrics: in Prometheus' text format, also while Postern stops."""
        return Response(metrics.expose(), headers={"content-type": metrics.CONTENT_TYPE})
