"""Is the process alive (/healthz), can it take mail now (/readyz)?

For machines inside, so without a key: the gateway before Postern passes none of them on. Only what names mailboxes or
logs in to them asks for a key with full access.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http.headers import header, json_ok, timestamp
from app.api.openapi.errors import USUAL, Error
from app.api.openapi.operation import Answer, ErrorFormat, Parameter, RequiredPermission, Tag, operation
from app.api.openapi.types import Timestamp, describe
from app.api.problems.problem import InvalidKey, MissingKey, NotReady, Problem, RestrictedKey
from app.mail.readiness import NO_DATABASE, STOPPING, Readiness, Status
from app.store import StoreError, StoreUnavailableError
from app.store.keys.records import Permission


class Alive(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class ReasonObject(TypedDict):
    """One thing that is not as it should be, and what mends it."""

    check: Annotated[str, describe("`process`, `store`, `schema`, `disk`, `mailbox`, or the step of a deep look.")]
    mailbox: NotRequired[Annotated[str, describe("Whose it is, where it is one mailbox's; only with full access.")]]
    summary: str
    fix: str


class FindingObject(TypedDict):
    """What the doctor has found at one step, as `postern check --json` gives it."""

    step: str
    outcome: Literal["ok", "warn", "failed", "skipped"]
    summary: str
    fix: str
    facts: Mapping[str, str]
    about: Annotated[str, describe("The host and port, or the mailbox.")]


class ReadinessObject(TypedDict):
    """How it stands, whatever the answer's status. What a deep look adds is there only when it was asked for."""

    status: Annotated[Status, describe("`not_ready` comes with 503.")]
    relaying: Annotated[bool, describe("One mailbox at least is not held.")]
    reasons: list[ReasonObject]
    examined_at: NotRequired[Timestamp]
    age_seconds: NotRequired[Annotated[float, describe("Since then: a deep look is shared for a minute.")]]
    findings: NotRequired[list[FindingObject]]


class ReadinessError(Error):
    """An error; how it stands is beside it where that is the cause."""

    status: NotRequired[Status]
    relaying: NotRequired[bool]
    reasons: NotRequired[list[ReasonObject]]
    examined_at: NotRequired[Timestamp]
    age_seconds: NotRequired[float]
    findings: NotRequired[list[FindingObject]]


_HELD = {
    "status": "degraded",
    "relaying": False,
    "reasons": [
        {
            "check": "mailbox",
            "summary": "A mailbox is held: SMTP AUTH is switched off for this mailbox. "
            "Its messages wait and go by themselves.",
            "fix": "Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false",
        }
    ],
}
_READY = {"status": "ready", "relaying": True, "reasons": []}
_NOT_READY = {
    "status": "not_ready",
    "relaying": False,
    "reasons": [NO_DATABASE.shown(names=False)],
}
_NO_ADMINISTRATOR = (Permission.SENDING_ACCESS, RequiredPermission.FULL_ACCESS.value)
_FLAG = Annotated[str, WithJsonSchema({"type": "string", "description": "Yes, but for an empty one, `0` and `false`."})]
_PARAMETERS = (
    Parameter("deep", _FLAG, "`1`: the doctor logs in to every mailbox. Asks for a key with full access.", "1"),
    Parameter("relaying", _FLAG, "`1`: 503 too when every mailbox is held.", "1"),
)
_KEY_ANSWERS = 5.0  # seconds in which the store has to find the key


class HealthRoutes:
    """The two routes."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @operation(
        "getHealth",
        "Ask whether the process lives",
        tag=Tag.OPERATION,
        needs=RequiredPermission.NONE,
        answer=Answer("It does.", Alive, {"alive": {"status": "ok"}}),
        uses_store=False,
        refused_while_stopping=False,
    )
    async def alive(self, _: Request) -> Response:
        """GET /healthz: 200 as long as the process answers."""
        return json_ok(b'{"status":"ok"}')

    @operation(
        "getReadiness",
        "Ask whether emails can be accepted",
        tag=Tag.OPERATION,
        needs=RequiredPermission.NONE,
        parameters=_PARAMETERS,
        answer=Answer("They can.", ReadinessObject, {"ready": _READY, "a mailbox is held": _HELD}),
        errors=(NotReady(_NOT_READY), InvalidKey(), MissingKey(), RestrictedKey(*_NO_ADMINISTRATOR)),
        refused_while_stopping=False,
        error_format=ErrorFormat(ReadinessError, USUAL.render),
        description="A 503 has the same members beside the error. The names of mailboxes are told with full access.",
    )
    async def ready(self, request: Request) -> Response:
        """GET /readyz: 200 as long as emails can be accepted, else 503; the reasons in both.

        `?deep=1` has the doctor log in to every mailbox; `?relaying=1` makes it 503 too when all of them are held.
        """
        deep, relaying = _asked(request, "deep"), _asked(request, "relaying")
        stands = await self._context.readiness()
        # Without a store no key can be found: nobody gets names then.
        names = stands.status is not Status.NOT_READY and await self._may_see_names(request, must=deep)
        if self._context.draining():
            stands = replace(stands, reasons=(STOPPING, *stands.reasons))
        more: dict[str, Any] = {}
        if deep and stands.status is not Status.NOT_READY:
            stands, more = await self._deep_checked(stands)
        body = {**_shown(stands, names=names), **more}
        if stands.status is Status.NOT_READY or (relaying and not stands.relaying):
            raise NotReady(body)
        return json_ok(json.dumps(body).encode())

    async def _deep_checked(self, stands: Readiness) -> tuple[Readiness, dict[str, Any]]:
        examined = await self._context.deep_check()
        told = {
            "examined_at": timestamp(examined.at),
            "age_seconds": round(max(0.0, self._context.clock.now() - examined.at), 1),
            "findings": examined.findings,
        }
        return replace(stands, reasons=(*stands.reasons, *examined.reasons)), told

    async def _may_see_names(self, request: Request, *, must: bool) -> bool:
        """Whether the request has a key with full access. `must`: without one it is refused."""
        if not must and header(request.scope, b"authorization") is None:
            return False
        try:
            async with asyncio.timeout(_KEY_ANSWERS):
                await self._authenticator.full_access(request)
        except (Problem, StoreError):
            if must:
                raise
            return False
        except TimeoutError:
            if must:
                raise StoreUnavailableError(f"It did not find the key in {_KEY_ANSWERS:g} s.") from None
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
