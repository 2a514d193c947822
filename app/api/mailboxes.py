"""GET /mailboxes, and what a person wishes for one. The relay holds and releases; nothing here waits for it."""

import json
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import logs
from app.api import body, document
from app.api.edge import Edge
from app.api.errors import Flaw, Invalid, NotFound
from app.api.fields import kind
from app.api.keys import Keyring
from app.api.wire import success, timestamp
from app.mail.explain import named
from app.mail.health import Condition, Health
from app.store.records import MailboxRecord, Wish

LONGEST_REASON = 200  # characters


class Mailboxes:
    """The routes under /mailboxes, all of them for administrators."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    async def list_(self, request: Request) -> Response:
        """GET /mailboxes: where each stands, and why."""
        await self._keyring.administrator(request)
        now = self._edge.clock.now()
        data = [_mailbox(record, now) for record in await self._edge.store.mailboxes()]
        return success(json.dumps({"object": "list", "has_more": False, "data": data}).encode())

    async def hold(self, request: Request) -> Response:
        """POST /mailboxes/{name}/hold: it relays nothing more until a person releases it."""
        return await self._wish(request, hold=True)

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


def word_of(wish: Wish) -> str:
    """As callers read it."""
    return "hold" if wish.hold else "release"


def _mailbox(record: MailboxRecord, now: float) -> dict[str, Any]:
    condition = standing(record, now)
    why = condition.explanation
    return {
        "object": "mailbox",
        "name": record.name,
        "pool": record.pool,
        "health": condition.health,
        "since": timestamp(condition.since),
        "until": timestamp(condition.until),
        "connections": condition.connections,
        "wish": record.wish and word_of(record.wish),
        "explanation": why and {"summary": why.summary, "fix": why.fix},
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
