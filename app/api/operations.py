"""Routes for operators: liveness (/healthz), readiness (/readyz) and metrics (/metrics).

Gateways must not forward them. They need no API key, but names of mailboxes and deep checks require full access.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import BaseModel, PlainValidator, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http.headers import FIELDS, timestamp
from app.api.openapi.errors import USUAL, Error
from app.api.openapi.operation import ErrorFormat, OperationTag, RequiredPermission, operation
from app.api.openapi.types import Timestamp, describe
from app.api.problems.problem import InvalidKey, MissingKey, NotReady, Problem, RestrictedKey
from app.mail.mailbox_health import with_release
from app.mail.office365.fixes import SMTP_AUTH_ON
from app.mail.outcome.fix_steps import steps_of
from app.mail.readiness import NO_DATABASE, STOPPING, Readiness, Status
from app.metrics import CONTENT_TYPE
from app.store import StoreError, StoreUnavailableError
from app.store.keys.records import Permission


class Alive(TypedDict):
    """The process is alive."""

    status: Literal["ok"]


_Steps: TypeAlias = Annotated[list[str], describe("Steps of the fix, in order.")]


class ReasonObject(TypedDict):
    """A problem and how to fix it."""

    check: Annotated[str, describe("`process`, `store`, `schema`, `disk`, `mailbox`, or the step of a deep check.")]
    mailbox: NotRequired[Annotated[str, describe("The affected mailbox, if it is one; only with full access.")]]
    summary: str
    fix: str
    steps: _Steps


class FindingObject(TypedDict):
    """Result of one step of a deep check, as in `postern check --json`."""

    step: str
    outcome: Literal["ok", "warn", "failed", "skipped"]
    summary: str
    fix: str
    facts: Mapping[str, str]
    about: Annotated[str, describe("The host and port, or the mailbox.")]
    cause: Annotated[str, describe("Name of the rule that explains a failure. Findings with one cause have one fix.")]
    steps: _Steps


class ReadinessObject(TypedDict):
    """Readiness, with any status code. The results of a deep check are present only if one was requested."""

    status: Annotated[Status, describe("`not_ready` comes with 503.")]
    relaying: Annotated[bool, describe("At least one mailbox is not held.")]
    reasons: list[ReasonObject]
    examined_at: NotRequired[Timestamp]
    age_seconds: NotRequired[Annotated[float, describe("Age of the results: a deep check is cached for one minute.")]]
    findings: NotRequired[list[FindingObject]]


class ReadinessError(Error):
    """An error. If Postern is not ready, it has the members of the readiness too."""

    status: NotRequired[Status]
    relaying: NotRequired[bool]
    reasons: NotRequired[list[ReasonObject]]
    examined_at: NotRequired[Timestamp]
    age_seconds: NotRequired[float]
    findings: NotRequired[list[FindingObject]]


_FIX = with_release(SMTP_AUTH_ON)
_HELD = {
    "status": "degraded",
    "relaying": False,
    "reasons": [
        {
            "check": "mailbox",
            "summary": "A mailbox is held: Sending by SMTP is switched off for this mailbox. "
            "Its emails wait and are sent when it works again.",
            "fix": _FIX,
            "steps": list(steps_of(_FIX)),
        }
    ],
}
_READY = {"status": "ready", "relaying": True, "reasons": []}
_NOT_READY = {
    "status": "not_ready",
    "relaying": False,
    "reasons": [NO_DATABASE.as_json(names=False)],
}
_NO_ADMINISTRATOR = (Permission.SENDING_ACCESS, RequiredPermission.FULL_ACCESS.value)
_FLAG = {"type": "string"}
_TRUE = "True, unless it is empty, `0` or `false`."
_Flag: TypeAlias = Annotated[
    bool, PlainValidator(lambda text: text not in ("", "0", "false"), Annotated[str, WithJsonSchema(_FLAG)])
]
_KEY_LOOKUP_TIMEOUT = 5.0  # seconds


class ReadinessQuery(BaseModel):
    """Depth of the check."""

    deep: _Flag = describe(
        f"`1`: log in to every mailbox. Requires a key with full access. {_TRUE}", default_factory=bool, examples=["1"]
    )
    relaying: _Flag = describe(
        f"`1`: also answer 503 if every mailbox is held. {_TRUE}", default_factory=bool, examples=["1"]
    )


_operation = partial(operation, tag=OperationTag.OPERATION, needs=RequiredPermission.NONE, refused_while_stopping=False)


class MetricsRoute:
    """GET /metrics, on the port of the API, or alone on POSTERN_METRICS_PORT. `text` returns the content."""

    def __init__(self, text: Callable[[], Awaitable[bytes]]) -> None:
        self._text = text

    @_operation(
        "GET /metrics",
        "Metrics in the text format of Prometheus.",
        media_type="text/plain",
        uses_store=False,  # metrics from the store are left out while it is unavailable
    )
    async def get_metrics(self, _: Request) -> Response:
        """Get the metrics."""
        return Response(await self._text(), headers={"content-type": CONTENT_TYPE})


class HealthRoutes:
    """Routes of the health checks."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @_operation("GET /healthz", "The process is alive.", {"alive": {"status": "ok"}}, type=Alive, uses_store=False)
    async def get_health(self, _: Request) -> bytes:
        """Check that the process is alive."""
        return b'{"status":"ok"}'

    @_operation(
        "GET /readyz",
        "Emails can be accepted.",
        {"ready": _READY, "a mailbox is held": _HELD},
        type=ReadinessObject,
        query=ReadinessQuery,
        errors=(NotReady(_NOT_READY), InvalidKey(), MissingKey(), RestrictedKey(*_NO_ADMINISTRATOR)),
        error_format=ErrorFormat(ReadinessError, USUAL.render),
    )
    async def get_readiness(self, request: Request) -> bytes:
        """Check that emails can be accepted.

        A 503 has the same members beside the error. Names of mailboxes require full access.
        """
        query = ReadinessQuery.model_validate(dict(request.query_params))
        readiness = await self._context.readiness()
        # Without a store no key can be checked, so names are left out.
        names = readiness.status is not Status.NOT_READY and await self._may_see_names(request, must=query.deep)
        if self._context.draining():
            readiness = replace(readiness, reasons=(STOPPING, *readiness.reasons))
        more: dict[str, Any] = {}
        if query.deep and readiness.status is not Status.NOT_READY:
            readiness, more = await self._deep_checked(readiness)
        body = {**_shown(readiness, names=names), **more}
        if readiness.status is Status.NOT_READY or (query.relaying and not readiness.relaying):
            raise NotReady(body)
        return json.dumps(body).encode()

    async def _deep_checked(self, readiness: Readiness) -> tuple[Readiness, dict[str, Any]]:
        examined = await self._context.deep_check()
        members = {
            "examined_at": timestamp(examined.at),
            "age_seconds": round(max(0.0, self._context.clock.now() - examined.at), 1),
            "findings": examined.findings,
        }
        return replace(readiness, reasons=(*readiness.reasons, *examined.reasons)), members

    async def _may_see_names(self, request: Request, *, must: bool) -> bool:
        """Return whether the request has a key with full access. With `must`, raise the error instead."""
        if not must and b"authorization" not in request.scope[FIELDS]:
            return False
        try:
            async with asyncio.timeout(_KEY_LOOKUP_TIMEOUT):
                await self._authenticator.require(request, RequiredPermission.FULL_ACCESS.value)
        except (Problem, StoreError):
            if must:
                raise
            return False
        except TimeoutError:
            if must:
                raise StoreUnavailableError(
                    f"The API key could not be looked up within {_KEY_LOOKUP_TIMEOUT:g} s."
                ) from None
            return False
        return True


def _shown(readiness: Readiness, *, names: bool) -> Mapping[str, Any]:
    return {
        "status": readiness.status,
        "relaying": readiness.relaying,
        "reasons": [reason.as_json(names=names) for reason in readiness.reasons],
    }
