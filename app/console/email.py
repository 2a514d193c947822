"""One email: where it stands and why, its recipients and attempts, and what a person decides about it.

Of its content only the structure is shown: which parts, how large. What they say stays between sender and recipient.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from starlette.responses import Response

from app import logs
from app.console.context import ConsoleContext
from app.console.emails import word
from app.console.request import WHO, ConsoleRequest, PageError
from app.mail.lifecycle import Event, MessageState, RecipientState, sources
from app.mail.message import stored_parts as mime
from app.store.keys.audit_records import Actor
from app.store.read.status import delivery_status, waits
from app.store.records import Change, Email

LARGE = 8 * 2**20  # octets, beyond which the structure is not looked for
NO_EMAIL = PageError(404, "Nothing here", "There is no such email; what is over is kept for a while only.")
UNSURE = PageError(
    400, "Not done", "It may have arrived already. Look for its Message-ID in Message trace first, then tick the box."
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an email's content."""

    type: str
    name: str
    size: int


DONE = {
    "retry": "It is in the queue again.",
    "cancel": "It is cancelled and will not be relayed.",
    "confirm": "It counts as sent.",
    "late": "Nothing was done: it stands differently by now.",
}


class EmailPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk
        store = desk.store
        self._words: Mapping[str, Callable[[UUID, float, Actor], Awaitable[Change | None]]] = {
            "retry": lambda id, now, by: store.retry(id, now, by=by),
            "cancel": lambda id, now, by: store.cancel(id, now, by=by),
            "confirm": lambda id, now, by: store.confirm(id, now, by=by),
        }

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/emails/{id}."""
        store, now = self._desk.store, visit.now
        if (email := await store.get(_id(visit))) is None:
            raise NO_EMAIL
        outlook = await store.queue_position(email.id, now) if waits(email, now) else None
        return visit.page(
            "email.html",
            email=email,
            word=word(email, now),
            prospect=delivery_status(email, outlook, self._desk.capacities, now),
            parts=await self._parts(email),
            may=may(email),
            doubtful=doubtful(email),
            done=DONE.get(visit.query.get("done", ""), ""),
        )

    async def decide(self, visit: ConsoleRequest) -> Response:
        """POST /console/emails/{id}: a person's word. What may send it twice asks for a tick as well."""
        id, what = _id(visit), visit.form.get("what", "")
        if what not in self._words:
            raise PageError(400, "Not done", "There is no such word about an email.")
        if what == "retry" and visit.form.get("sure") != "yes":
            email = await self._desk.store.get(id)
            if email is not None and doubtful(email):
                raise UNSURE
        change = await self._words[what](id, visit.now, visit.by)
        if change is None:
            raise NO_EMAIL
        if change.happened:
            _LOG[what](id, key=WHO)
        return visit.redirect(f"/emails/{id}", done=what if change.happened else "late")

    async def _parts(self, email: Email) -> list[Part] | None:
        """None: it is not kept any more, or too large to be taken apart for a page."""
        there = email.content_removed_at is None and email.size <= LARGE
        content = await self._desk.store.content(email.id) if there else None
        return None if content is None else await asyncio.to_thread(parts, content)


_LOG = {"retry": logs.retried, "cancel": logs.canceled, "confirm": logs.confirmed}


def may(email: Email) -> set[str]:
    """What a person may decide about it just now; the lifecycle says."""
    failed = any(one.state is RecipientState.FAILED for one in email.recipients)
    kept = email.content_removed_at is None
    retryable = email.state in sources(Event.RELEASE) or (failed and email.state in sources(Event.RETRY))
    possible = {
        "retry": kept and retryable,
        "cancel": email.state in sources(Event.CANCEL),
        "confirm": email.state in sources(Event.CONFIRM),
    }
    return {what for what, so in possible.items() if so}


def doubtful(email: Email) -> bool:
    """Whether a further offer may be a second copy for somebody."""
    in_doubt = any(attempt.in_doubt for attempt in email.attempts)
    return email.state in (MessageState.HELD, MessageState.DONE) and (email.possible_duplicate or in_doubt)


def parts(content: bytes) -> list[Part]:
    """The structure. Costs milliseconds: not for the event loop."""
    return [Part(one.head.get_content_type(), one.head.get_filename() or "", one.size) for one in mime.parts(content)]


def _id(visit: ConsoleRequest) -> UUID:
    id: UUID = visit.request.path_params["id"]
    return id
