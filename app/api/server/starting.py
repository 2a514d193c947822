"""Responses before the database is open: alive, not ready, metrics of the process, 503 for everything else."""

from typing import NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app import metrics
from app.api.http.headers import JsonResponse
from app.api.problems.problem import NotReady, Unavailable
from app.mail.readiness import NO_DATABASE, Status

RETRY_AFTER = 5  # seconds


async def healthz(_: Request) -> Response:
    """GET /healthz: the process is alive; a restart would fix nothing."""
    return JsonResponse(b'{"status":"ok"}')


async def readyz(_: Request) -> Response:
    """GET /readyz: not ready."""
    reasons = [NO_DATABASE.as_json(names=False)]
    raise NotReady({"status": Status.NOT_READY, "relaying": False, "reasons": reasons})


async def metrics_text() -> bytes:
    """Return the text of GET /metrics."""
    return metrics.expose()


async def starting_application(_scope: Scope, _receive: Receive, _send: Send) -> NoReturn:
    """Refuse all other requests with 503."""
    sorry = "Postern is starting, and waits for its database. Nothing was kept; try again."
    raise Unavailable(sorry, retry_after=RETRY_AFTER)
