"""GET /mailboxes, and what a person wishes for one. The relay holds and releases; nothing here waits for it."""

import json
from dataclasses import replace
from typing import Annotated, Literal, NotRequired

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api import body, document
from app.api.edge import Edge
from app.api.errors import Flaw, Invalid, NotFound
from app.api.fields import kind
from app.api.keys import Keyring
from app.api.openapi import Answer, Body, Needs, Parameter, Place, Tag, operation
from app.api.openapi_errors import invalid
from app.api.openapi_types import AT, Timestamp, says
from app.api.wire import success, timestamp
from app.mail.explain import named
from app.mail.health import Condition, Health
from app.mail.moment import iso
from app.store.records import MailboxRecord, Wish

LONGEST_REASON = 200  # characters


class Why(TypedDict):
    """In plain words: what is so, and what mends it."""

    summary: str
    fix: str


class MailboxObject(TypedDict):
    """Where a mailbox stands."""

    object: Literal["mailbox"]
    name: str
    pool: str
    health: Annotated[Health, says("`open` relays, `paused` rests until a moment, `held` until its login works.")]
    since: Timestamp
    until: Annotated[Timestamp | None, says("The end of a pause, or the next login of a held one.")]
    connections: Annotated[int | None, says("So many at once; null: as many as the settings allow.")]
    wish: Annotated[Literal["hold", "release"] | None, says("What a person asked for and its relay has not heard.")]
    explanation: Why | None


class MailboxList(TypedDict):
    """All mailboxes."""

    object: Literal["list"]
    has_more: Literal[False]
    data: list[MailboxObject]


class HoldInput(TypedDict):
    """Why it is held. The body may be empty too."""

    reason: NotRequired[
        Annotated[str | None, says("Shown wherever the mailbox is; 200 characters of it.", max_length=LONGEST_REASON)]
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
    "wish": None,
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
        data = [_mailbox(record, now) for record in await self._edge.store.mailboxes()]
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

    async def _wish(self, request: Request, *, hold: bool) -> Response:
        key = await self._keyring.administrator(request)
        reason = _reason(await body.read(request, self._edge.limits)) if hold else ""
        name: str = request.path_params["name"]
        wish = Wish(self._edge.clock.now(), hold, reason)
        if not (name.isprintable() and await self._edge.store.wish(name, wish)):
            raise NotFound(f"There is no mailbox {name}. GET /mailboxes names them all.")
        word = word_of(wish)
        logs.wished(name, wish=word, key=key.name)
        return success(json.dumps({"object": "mailbox", "name": name, "wish": word}).encode())


def one_line(reason: str) -> str:
    """Why a person holds a mailbox, as it is shown. Raises ValueError with a sentence."""
    line = " ".join(reason.split())
    if len(line) > LONGEST_REASON:
        raise ValueError(f"It has {len(line)} characters; give {LONGEST_REASON} at most.")
    if not line.isprintable():
        raise ValueError("It has characters that cannot be shown; remove them.")
    return line


def standing(record: MailboxRecord, now: float) -> Condition:
    """Its condition at `now` (epoch seconds), with its name in the words for people.

    A pause ends by time alone, which its relay need not have written yet.
    """
    condition = record.condition
    if condition.health is Health.PAUSED and condition.until is not None and condition.until <= now:
        return replace(condition, health=Health.OPEN, since=condition.until, until=None, explanation=None)
    if condition.explanation is not None:
        return replace(condition, explanation=named(condition.explanation, {"mailbox": record.name}))
    return condition


def word_of(wish: Wish) -> Literal["hold", "release"]:
    """As callers read it."""
    return "hold" if wish.hold else "release"


def _mailbox(record: MailboxRecord, now: float) -> MailboxObject:
    condition = standing(record, now)
    why = condition.explanation
    return {
        "object": "mailbox",
        "name": record.name,
        "pool": record.pool,
        "health": condition.health,
        "since": iso(condition.since),
        "until": timestamp(condition.until),
        "connections": condition.connections,
        "wish": None if record.wish is None else word_of(record.wish),
        "explanation": None if why is None else {"summary": why.summary, "fix": why.fix},
    }


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
