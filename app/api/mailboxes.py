"""Routes under /mailboxes: list, hold and release. The relay carries requests out asynchronously."""

from dataclasses import asdict
from typing import Annotated, Literal, NotRequired, cast

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api.auth.authenticator import Authenticator, actor
from app.api.context import ApiContext
from app.api.http import body, params, strict_json
from app.api.http.headers import json_object, timestamp
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, Body, Parameter, ParameterIn, RequiredPermission, Tag, operation
from app.api.openapi.types import AT, Timestamp, describe
from app.api.problems.problem import FieldError, Invalid, NotFound
from app.api.submission.fields import json_type
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import MAX_REASON, Health, one_line
from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.mail.outcome.verdict import Explanation
from app.mail.times import iso
from app.store.mailboxes.records import HoldRequest, MailboxRecord, MailboxUsage
from app.store.read.status import condition_at


class ExplanationObject(TypedDict):
    """Explanation of a state and how to fix it."""

    summary: str
    fix: str


class UsageObject(TypedDict):
    """Usage of the limits, over all processes."""

    connections: Annotated[int, describe("Connections that are sending a message now.")]
    messages_last_minute: int
    recipients_last_day: Annotated[int, describe("Recipients in the last 24 hours, a sliding window.")]


class LimitsObject(TypedDict):
    """Limits from the settings."""

    connections: int
    messages_per_minute: int
    recipients_per_day: int


class CredentialObject(TypedDict):
    """A credential that expires."""

    what: Annotated[str, describe("`password` or `client certificate`.", examples=["password"])]
    ends_at: Timestamp
    explanation: ExplanationObject


class MailboxObject(TypedDict):
    """State of a mailbox."""

    object: Literal["mailbox"]
    name: str
    pool: str
    health: Annotated[
        Health, describe("`open`: relays. `paused`: waits until `until`. `held`: waits until its login succeeds.")
    ]
    since: Timestamp
    until: Annotated[Timestamp | None, describe("End of the pause, or time of the next login of a held mailbox.")]
    connections: Annotated[int | None, describe("Reduced number of connections; null: as in the settings.")]
    owner: Annotated[str | None, describe("The replica that relays through this mailbox; null: none now.")]
    wish: Annotated[
        Literal["hold", "release"] | None, describe("Request of an operator that the relay has not carried out yet.")
    ]
    usage: UsageObject
    limits: Annotated[LimitsObject | None, describe("null: the mailbox is not in the settings of this process.")]
    credential: Annotated[CredentialObject | None, describe("null: no known expiry date.")]
    explanation: ExplanationObject | None


class MailboxList(TypedDict):
    """All mailboxes."""

    object: Literal["list"]
    has_more: Literal[False]
    data: list[MailboxObject]


class HoldInput(TypedDict):
    """Reason of a hold. The body may be empty."""

    reason: NotRequired[
        Annotated[
            Annotated[str, WithJsonSchema({"type": "string", "format": "printable", "maxLength": MAX_REASON})] | None,
            describe("Shown with the mailbox; at most 200 characters."),
        ]
    ]


class MailboxHoldResponse(TypedDict):
    """A stored request, which the relay carries out within seconds."""

    object: Literal["mailbox"]
    name: str
    wish: Literal["hold", "release"]


_MAILBOX = {
    "object": "mailbox",
    "name": "noreply@contoso.com",
    "pool": "default",
    "health": "held",
    "since": AT,
    "until": "2026-11-24T09:05:00.000Z",
    "connections": None,
    "owner": "postern-1:8025",
    "wish": None,
    "usage": {"connections": 0, "messages_last_minute": 12, "recipients_last_day": 1840},
    "limits": {
        "connections": CONNECTIONS,
        "messages_per_minute": MESSAGES_PER_MINUTE,
        "recipients_per_day": RECIPIENTS_PER_DAY,
    },
    "credential": None,
    "explanation": {
        "summary": "The mailbox noreply@contoso.com may not log in: SMTP AUTH is switched off for it.",
        "fix": "Set-CASMailbox -Identity noreply@contoso.com -SmtpClientAuthenticationDisabled $false",
    },
}
_NAME_PART = Parameter("name", str, "The mailbox's address.", "noreply@contoso.com", ParameterIn.PATH)
_NO_MAILBOX = NotFound("There is no mailbox nobody@contoso.com. GET /mailboxes names them all.")


class MailboxRoutes:
    """Routes under /mailboxes. All require full access."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @operation(
        "listMailboxes",
        "List the mailboxes",
        tag=Tag.MAILBOXES,
        needs=RequiredPermission.FULL_ACCESS,
        answer=Answer(
            "All mailboxes, with an explanation for each that does not relay.",
            MailboxList,
            {"one is held": params.list_object([_MAILBOX])},
        ),
    )
    async def list_(self, request: Request) -> Response:
        """GET /mailboxes: the state of each and its explanation."""
        await self._authenticator.full_access(request)
        now = self._context.clock.now()
        records, used = await self._context.store.mailboxes(), await self._context.store.usage(now)
        data = [self._mailbox(record, used[record.name], now) for record in records if record.name in used]
        return json_object(params.list_object(data))

    @operation(
        "holdMailbox",
        "Hold a mailbox",
        tag=Tag.MAILBOXES,
        needs=RequiredPermission.FULL_ACCESS,
        parameters=(_NAME_PART,),
        body=Body(HoldInput, {"a reason": {"reason": "audit"}}, required=False),
        answer=Answer(
            "The mailbox stops relaying until it is released.",
            MailboxHoldResponse,
            {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "hold"}},
        ),
        errors=(_NO_MAILBOX, invalid("reason", "It has 201 characters; give 200 at most.")),
    )
    async def hold(self, request: Request) -> Response:
        """POST /mailboxes/{name}/hold: stop relaying until the mailbox is released."""
        return await self._wish(request, hold=True)

    @operation(
        "releaseMailbox",
        "Release a mailbox",
        tag=Tag.MAILBOXES,
        needs=RequiredPermission.FULL_ACCESS,
        parameters=(_NAME_PART,),
        answer=Answer(
            "The mailbox logs in once and relays if the login succeeds.",
            MailboxHoldResponse,
            {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "release"}},
        ),
        errors=(_NO_MAILBOX,),
        description="The request body is ignored.",
    )
    async def release(self, request: Request) -> Response:
        """POST /mailboxes/{name}/release: log in once, and relay if the login succeeds."""
        return await self._wish(request, hold=False)

    def _mailbox(self, record: MailboxRecord, used: MailboxUsage, now: float) -> MailboxObject:
        condition = condition_at(record, now)
        capacity, ending = (
            self._context.capacities.get(record.name),
            self._context.credential_expiries.get(record.name, _no_end)(),
        )
        return {
            "object": "mailbox",
            "name": record.name,
            "pool": record.pool,
            "health": condition.health,
            "since": iso(condition.since),
            "until": timestamp(condition.until),
            "connections": condition.connections,
            "owner": record.owner,
            "wish": None if record.hold_request is None else record.hold_request.description,
            "usage": cast("UsageObject", asdict(used)),
            "limits": None if capacity is None else cast("LimitsObject", asdict(capacity)),
            "credential": None if ending is None else _credential(ending, record.name),
            "explanation": None if condition.explanation is None else _why(condition.explanation),
        }

    async def _wish(self, request: Request, *, hold: bool) -> Response:
        key = await self._authenticator.full_access(request)
        reason = _reason(await body.read(request, self._context.limits, UNCHARGED_SIZE)) if hold else ""
        name: str = request.path_params["name"]
        wish = HoldRequest(self._context.clock.now(), hold, reason)
        if not (name.isprintable() and await self._context.store.request_hold(name, wish, actor(request, key))):
            raise NotFound(f"There is no mailbox {name}. GET /mailboxes names them all.")
        logs.mailbox_hold_requested(name, wish=wish.description, key=key.name)
        return json_object({"object": "mailbox", "name": name, "wish": wish.description})


def _credential(ending: CredentialExpiry, mailbox: str) -> CredentialObject:
    why = fill_placeholders(ending.explanation, {"mailbox": mailbox})
    return {"what": ending.what, "ends_at": iso(ending.at), "explanation": _why(why)}


def _why(explanation: Explanation) -> ExplanationObject:
    return {"summary": explanation.summary, "fix": explanation.fix}


def _no_end() -> None:
    """Return no expiry, for a mailbox that is not in the settings."""


def _reason(raw: bytes | bytearray) -> str:
    if not raw.strip():
        return ""
    value = strict_json.parse(raw)
    if not isinstance(value, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object or empty, not {json_type(value)}.")])
    given = value.get("reason")
    if given is None:
        return ""
    if not isinstance(given, str):
        raise Invalid([FieldError("reason", f"It must be a string, not {json_type(given)}.")])
    try:
        return one_line(given)
    except ValueError as error:
        raise Invalid([FieldError("reason", str(error))]) from None
