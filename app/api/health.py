"""Is the process alive (/healthz), can it take mail now (/readyz), what has it counted (/metrics)?

For machines inside, so without a key: the gateway before Postern passes none of them on.
"""

from starlette.requests import Request
from starlette.responses import Response

from app import metrics
from app.api.edge import Edge
from app.api.errors import Unavailable
from app.api.wire import success


class Health:
    """The three routes."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def alive(self, _: Request) -> Response:
        """GET /healthz: 200 as long as the process answers."""
        return success(b'{"status":"ok"}')

    async def ready(self, _: Request) -> Response:
        """GET /readyz: 200, or 503 with every reason in `details`."""
        reasons = await self._edge.ready()
        if self._edge.draining():
            reasons = ["Postern is stopping.", *reasons]
        if reasons:
            details = [{"message": reason} for reason in reasons]
            raise Unavailable(f"Postern is not ready: {' '.join(reasons)}", retry_after=5, details=details)
        return success(b'{"status":"ready"}')

    async def counted(self, _: Request) -> Response:
        """GET /metrics: in Prometheus' text format, also while Postern stops."""
        return Response(metrics.expose(), headers={"content-type": metrics.CONTENT_TYPE})
