"""Is the process alive (/healthz), can it take mail now (/readyz), what has it counted (/metrics)?

For machines inside, so without a key: the gateway before Postern passes none of them on. Only what names mailboxes or
logs in to them asks for a key with full access.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NotRequired

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import metrics
from app.api.edge import Edge
from app.api.errors import NotReady, Problem
from app.api.keys import Keyring
from app.api.openapi import Answer, Needs, Tag, operation
from app.api.wire import header, success, timestamp
from app.mail.readiness import STOPPING, Readiness, Status
from app.store import StoreError


class Alive(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class ReasonObject(TypedDict):
    """One thing that is not as it should be, and what mends it."""

    check: str
    mailbox: NotRequired[str]
    summary: str
    fix: str


class Ready(TypedDict):
    """Emails can be accepted."""

    status: Literal["ready", "degraded"]
    relaying: bool
    reasons: list[ReasonObject]


class Health:
    """The three routes."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

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
        answer=Answer("They can.", Ready, {"ready": {"status": "ready", "relaying": True, "reasons": []}}),
    )
    async def ready(self, request: Request) -> Response:
        """GET /readyz: 200 as long as emails can be accepted, else 503; the reasons in both.

        `?deep=1` has the doctor log in to every mailbox; `?relaying=1` makes it 503 too when all of them are held.
        """
        deep, relaying = _asked(request, "deep"), _asked(request, "relaying")
        names = await self._may_see_names(request, must=deep)
        stands = await self._edge.ready()
        if self._edge.draining():
            stands = replace(stands, reasons=(STOPPING, *stands.reasons))
        more: dict[str, Any] = {}
        if deep and stands.status is not Status.NOT_READY:
            stands, more = await self._examined(stands)
        body = {**_shown(stands, names=names), **more}
        if stands.status is Status.NOT_READY or (relaying and not stands.relaying):
            raise NotReady(body)
        return success(json.dumps(body).encode())

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

    async def _examined(self, stands: Readiness) -> tuple[Readiness, dict[str, Any]]:
        examined = await self._edge.examine()
        told = {
            "examined_at": timestamp(examined.at),
            "age_seconds": round(max(0.0, self._edge.clock.now() - examined.at), 1),
            "findings": examined.findings,
        }
        return replace(stands, reasons=(*stands.reasons, *examined.reasons)), told

    async def _may_see_names(self, request: Request, *, must: bool) -> bool:
        """Whether the request has a key with full access. `must`: without one it is refused."""
        if not must and header(request.scope, b"authorization") is None:
            return False
        try:
            await self._keyring.administrator(request)
        except (Problem, StoreError):
            if must:
                raise
            return False
        return True


def _asked(request: Request, name: str) -> bool:
    return request.query_params.get(name, "0") not in ("", "0", "false")


def _shown(stands: Readiness, *, names: bool) -> Mapping[str, Any]:
    return {
        "status": stands.status,
        "relaying": stands.relaying,
        "reasons": [reason.shown(names=names) for reason in stands.reasons],
    }
