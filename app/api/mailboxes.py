"""GET /mailboxes, and what a person wishes for one. The relay holds and releases; nothing here waits for it."""

import json
from dataclasses import asdict
from typing import Annotated, Literal, NotRequired, cast

from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api import body, document
from app.api.edge import Edge
from app.api.errors import Flaw, Invalid, NotFound
from app.api.fields import kind
from app.api.keys import Keyring, actor
from app.api.memory import SMALL
from app.api.openapi import Answer, Body, Needs, Parameter, Place, Tag, operation
from app.api.openapi_errors import invalid
from app.api.openapi_types import AT, Timestamp, says
from app.api.wire import success, timestamp
from app.mail.ending import Ending
from app.mail.explain import named
from app.mail.health import LONGEST_REASON, Health, one_line
from app.mail.moment import iso
from app.mail.verdict import Explanation
from app.store.explanation import standing
from app.store.records import MailboxRecord, MailboxUsage, Wish


class Why(TypedDict):
    """In plain words: what is so, and what mends it."""

    summary: str
    fix: str


class UsageObject(TypedDict):
    """What it has used of its limits, whichever process relayed."""

    connections: Annotated[int, says("Those that carry a message at this moment.")]
    messages_last_minute: int
    recipients_last_day: Annotated[int, says("Of the last 24 hours; the window slides.")]


class LimitsObject(TypedDict):
    """What the settings allow it."""

    connections: int
    messages_per_minute: int
    recipients_per_day: int


class CredentialObject(TypedDict):
    """What it logs in with ends by its date."""

    what: Annotated[str, says("`password` or `client certificate`.", examples=["password"])]
    ends_at: Timestamp
    explanation: Why


class MailboxObject(TypedDict):
    """Where a mailbox stands."""

    object: Literal["mailbox"]
    name: str
    pool: str
    health: Annotated[Health, says("`open` relays, `paused` rests until a moment, `held` until its login works.")]
    since: Timestamp
    until: Annotated[Timestamp | None, says("The end of a pause, or the next login of a held one.")]
    connections: Annotated[int | None, says("So many at once; null: as many as the settings allow.")]
    owner: Annotated[str | None, says("The replica that relays through it; null: none just now.")]
    wish: Annotated[Literal["hold", "release"] | None, says("What a person asked for and its relay has not heard.")]
    usage: UsageObject
    limits: Annotated[LimitsObject | None, says("null: it is not in the settings of this process any more.")]
    credential: Annotated[CredentialObject | None, says("null: it has no end that can be known.")]
    explanation: Why | None


class MailboxList(TypedDict):
    """All mailboxes."""

    object: Literal["list"]
    has_more: Literal[False]
    data: list[MailboxObject]


class HoldInput(TypedDict):
    """Why it is held. The body may be empty too."""

    reason: NotRequired[
        Annotated[
            Annotated[str, WithJsonSchema({"type": "string", "format": "printable", "maxLength": LONGEST_REASON})]
            | None,
            says("Shown wherever the mailbox is; 200 characters of it."),
        ]
    ]


class Wished(TypedDict):
    """What was asked for is written down, and its relay does it in a moment."""

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
    "limits": {"connections": 3, "messages_per_minute": 30, "recipients_per_day": 10_000},
    "credential": None,
    "explanation": {
        "summary": "The mailbox noreply@contoso.com may not log in: SMTP AUTH is switched off for it.",
        "fix": "Set-CASMailbox -Identity noreply@contoso.com -SmtpClientAuthenticationDisabled $false",
    },
}
_NAME_PART = Parameter("name", str, "The mailbox's address.", "noreply@contoso.com", Place.PATH)
_NO_MAILBOX = NotFound("There is no mailbox nobody@contoso.com. GET /mailboxes names them all.")


class Mailboxes:
    """The routes under /mailboxes, all of them for administrators."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "listMailboxes",
        "See where the mailboxes stand",
        tag=Tag.MAILBOXES,
        needs=Needs.ADMINISTRATOR,
        answer=Answer(
            "All of them, and why each that does not relay does not.",
            MailboxList,
            {"one is held": {"object": "list", "has_more": False, "data": [_MAILBOX]}},
        ),
    )
    async def list_(self, request: Request) -> Response:
        """GET /mailboxes: where each stands, and why."""
        await self._keyring.administrator(request)
        now = self._edge.clock.now()
        records, used = await self._edge.store.mailboxes(), await self._edge.store.usage(now)
        data = [self._mailbox(record, used[record.name], now) for record in records if record.name in used]
        return success(json.dumps({"object": "list", "has_more": False, "data": data}).encode())

    @operation(
        "holdMailbox",
        "Hold a mailbox",
        tag=Tag.MAILBOXES,
        needs=Needs.ADMINISTRATOR,
        parameters=(_NAME_PART,),
        body=Body(HoldInput, {"a reason": {"reason": "audit"}}, required=False),
        answer=Answer(
            "It relays nothing more until a person releases it.",
            Wished,
            {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "hold"}},
        ),
        refuses=(_NO_MAILBOX, invalid("reason", "It has 201 characters; give 200 at most.")),
    )
    async def hold(self, request: Request) -> Response:
        """POST /mailboxes/{name}/hold: it relays nothing more until a person releases it."""
        return await self._wish(request, hold=True)

    @operation(
        "releaseMailbox",
        "Release a mailbox",
        tag=Tag.MAILBOXES,
        needs=Needs.ADMINISTRATOR,
        parameters=(_NAME_PART,),
        answer=Answer(
            "It logs in once, and relays if that works.",
            Wished,
            {"wished": {"object": "mailbox", "name": "noreply@contoso.com", "wish": "release"}},
        ),
        refuses=(_NO_MAILBOX,),
        description="A body is not read.",
    )
    async def release(self, request: Request) -> Response:
        """POST /mailboxes/{name}/release: it logs in once, and relays if that works."""
        return await self._wish(request, hold=False)

    def _mailbox(self, record: MailboxRecord, used: MailboxUsage, now: float) -> MailboxObject:
        condition = standing(record, now)
        capacity, ending = self._edge.capacities.get(record.name), self._edge.endings.get(record.name, _no_end)()
        return {
            "object": "mailbox",
            "name": record.name,
            "pool": record.pool,
            "health": condition.health,
            "since": iso(condition.since),
            "until": timestamp(condition.until),
            "connections": condition.connections,
            "owner": record.owner,
            "wish": None if record.wish is None else record.wish.word,
            "usage": cast("UsageObject", asdict(used)),
            "limits": None if capacity is None else cast("LimitsObject", asdict(capacity)),
            "credential": None if ending is None else _credential(ending, record.name),
            "explanation": None if condition.explanation is None else _why(condition.explanation),
        }

    async def _wish(self, request: Request, *, hold: bool) -> Response:
        key = await self._keyring.administrator(request)
        reason = _reason(await body.read(request, self._edge.limits, SMALL)) if hold else ""
        name: str = request.path_params["name"]
        wish = Wish(self._edge.clock.now(), hold, reason)
        if not (name.isprintable() and await self._edge.store.wish(name, wish, actor(request, key))):
            raise NotFound(f"There is no mailbox {name}. GET /mailboxes names them all.")
        logs.wished(name, wish=wish.word, key=key.name)
        return success(json.dumps({"object": "mailbox", "name": name, "wish": wish.word}).encode())


def _credential(ending: Ending, mailbox: str) -> CredentialObject:
    why = named(ending.explanation, {"mailbox": mailbox})
    return {"what": ending.what, "ends_at": iso(ending.at), "explanation": _why(why)}


def _why(explanation: Explanation) -> Why:
    return {"summary": explanation.summary, "fix": explanation.fix}


def _no_end() -> None:
    """It is not in the settings."""


def _reason(raw: bytes | bytearray) -> str:
    if not raw.strip():
        return ""
    value = document.parse(raw)
    if not isinstance(value, dict):
        raise Invalid([Flaw("", f"The request body must be one JSON object or empty, not {kind(value)}.")])
    given = value.get("reason")
    if given is None:
        return ""
    if not isinstance(given, str):
        raise Invalid([Flaw("reason", f"It must be a string, not {kind(given)}.")])
    try:
        return one_line(given)
    except ValueError as error:
        raise Invalid([Flaw("reason", str(error))]) from None
