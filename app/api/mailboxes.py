"""Routes under /mailboxes: list, hold and release. The relay carries requests out asynchronously."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, cast

from fastapi import Path
from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypedDict

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.headers import timestamp
from app.api.http.params import CompleteList, JsonInput, list_object
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import AT, ExplanationObject, Timestamp, describe
from app.api.problems.problem import NotFound
from app.api.problems.validation import string
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import MAX_REASON, Health, one_line, with_release
from app.mail.office365.fixes import SMTP_AUTH_ON
from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.mail.outcome.verdict import Explanation
from app.mail.times import iso
from app.store.mailboxes.records import HoldRequest, MailboxRecord, MailboxUsage
from app.store.read.status import condition_at


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


class MailboxList(CompleteList):
    """All mailboxes."""

    data: list[MailboxObject]


def _reason(value: Any) -> str:
    return one_line(string(value))


_REASON = {"type": "string", "format": "printable", "maxLength": MAX_REASON}


class HoldInput(JsonInput):
    """Reason of a hold. The body may be empty."""

    reason: Annotated[str, PlainValidator(_reason, Annotated[str, WithJsonSchema(_REASON)] | None)] = describe(
        f"Shown with the mailbox; at most {MAX_REASON} characters.", default=""
    )


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
        "summary": "Sending by SMTP is switched off for this mailbox.",
        "fix": with_release(SMTP_AUTH_ON).replace("<mailbox>", "noreply@contoso.com"),
    },
}
_Name: TypeAlias = Annotated[str, Path(description="The mailbox's address.", examples=["noreply@contoso.com"])]
_operation = partial(operation, tag=OperationTag.MAILBOXES, needs=RequiredPermission.FULL_ACCESS)
_NO_MAILBOX = NotFound("There is no mailbox nobody@contoso.com. GET /mailboxes names them all.")


class MailboxRoutes:
    """Routes under /mailboxes. All require full access."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "GET /mailboxes",
        "All mailboxes, with an explanation for each that does not relay.",
        {"one is held": list_object(MailboxList, [_MAILBOX])},
    )
    async def list_mailboxes(self) -> MailboxList:
        """List the mailboxes."""
        now = self._context.clock.now()
        records, used = await self._context.store.mailboxes(), await self._context.store.usage(now)
        data = [self._mailbox(record, used[record.name], now) for record in records if record.name in used]
        return list_object(MailboxList, data)

    @_operation(
        "POST /mailboxes/{name}/hold",
        "The mailbox stops relaying until it is released.",
        {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "hold"}},
        requests={"a reason": {"reason": "audit"}},
        errors=(_NO_MAILBOX, invalid("reason", "It has 201 characters; give 200 at most.")),
    )
    async def hold_mailbox(self, request: ApiRequest, name: _Name, body: HoldInput) -> MailboxHoldResponse:
        """Hold a mailbox."""
        return await self._request_hold(request, name, HoldRequest(self._context.clock.now(), True, body.reason))

    @_operation(
        "POST /mailboxes/{name}/release",
        "The mailbox logs in once and relays if the login succeeds.",
        {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "release"}},
        errors=(_NO_MAILBOX,),
    )
    async def release_mailbox(self, request: ApiRequest, name: _Name) -> MailboxHoldResponse:
        """Release a mailbox.

        The request body is ignored.
        """
        return await self._request_hold(request, name, HoldRequest(self._context.clock.now(), False, ""))

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

    async def _request_hold(self, request: ApiRequest, name: str, wish: HoldRequest) -> MailboxHoldResponse:
        if not (name.isprintable() and await self._context.store.request_hold(name, wish, request.actor)):
            raise NotFound(f"There is no mailbox {name}. GET /mailboxes names them all.")
        logs.mailbox_hold_requested(name, wish=wish.description, key=request.actor.name)
        return {"object": "mailbox", "name": name, "wish": wish.description}


def _credential(ending: CredentialExpiry, mailbox: str) -> CredentialObject:
    why = fill_placeholders(ending.explanation, {"mailbox": mailbox})
    return {"what": ending.what, "ends_at": iso(ending.at), "explanation": _why(why)}


def _why(explanation: Explanation) -> ExplanationObject:
    return {"summary": explanation.summary, "fix": explanation.fix}


def _no_end() -> None:
    """Return no expiry, for a mailbox that is not in the settings."""
