"""The list of emails, with the filters of GET /emails. A page costs what one of the API's costs."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from app.console.context import ConsoleContext
from app.console.request import ConsoleRequest
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.address import AddressError, parse_address
from app.mail.message.message import Lane
from app.store.read.last_event import last_event
from app.store.read.records import Page, Selection
from app.store.records import FIRST_ID, LAST_ID, Email

ROWS = 50
LONGEST = 200  # characters of a part of the subject
STATES = {
    str(MessageState.HELD): "held: a person decides",
    **{str(event): event.replace("_", " ") for event in LastEvent},
}
FILTERS = ("state", "to", "from", "lane", "subject")


class EmailListPage:
    """The page."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._desk = desk

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/emails. What is wrong with a filter is said, and nothing is looked for."""
        given = {name: visit.query.get(name, "").strip() for name in FILTERS}
        wrong = ""
        found = Page((), None)
        going_back = "before" in visit.query
        try:
            asked = _selection(given, visit.query)
        except ValueError as error:
            wrong = str(error)
        else:
            found = await self._desk.store.page(asked, ROWS, visit.now, oldest_first=going_back)
        rows = [(email, word(email, visit.now)) for email in found.emails]
        older, newer = _ways(found, visit.query, going_back=going_back)
        return visit.page(
            "emails.html",
            rows=rows,
            wrong=wrong,
            given=given,
            states=STATES,
            lanes=[*Lane],
            older=_address(given, "after", older),
            newer=_address(given, "before", newer),
        )


def word(email: Email, now: float) -> str:
    """Where an email stands, in the word that callers read, and held where only a person can help."""
    return str(MessageState.HELD if email.state is MessageState.HELD else last_event(email, now))


def _ways(found: Page, query: Mapping[str, str], *, going_back: bool) -> tuple[UUID | None, UUID | None]:
    """After which id older ones follow, and before which newer ones."""
    first, last = (found.emails[0].id, found.emails[-1].id) if found.emails else (None, None)
    if going_back:
        return last, found.rest
    return found.rest, first if "after" in query else None


def _address(given: Mapping[str, str], way: str, at: UUID | None) -> str:
    """The same filters from there on; "" when there is nothing."""
    if at is None:
        return ""
    return "?" + urlencode({**{name: value for name, value in given.items() if value}, way: str(at)})


def _selection(given: Mapping[str, str], query: Mapping[str, str]) -> Selection:
    """Raises ValueError with a sentence."""
    facts: dict[str, Any] = {}
    if state := given["state"]:
        if state not in STATES:
            raise ValueError("There is no such state.")
        held = state == MessageState.HELD
        facts |= {"state": MessageState.HELD} if held else {"last_event": LastEvent(state)}
    if given["lane"]:
        if given["lane"] not in set(Lane):
            raise ValueError("There is no such lane.")
        facts["lane"] = Lane(given["lane"])
    for name, field in (("to", "recipient"), ("from", "sender")):
        if given[name]:
            facts[field] = _addr_spec(given[name])
    if len(given["subject"]) > LONGEST or "\0" in given["subject"]:
        raise ValueError(f"Give at most {LONGEST} characters of the subject.")
    start, end = _cursor(query, "before"), _cursor(query, "after")
    return Selection(
        **facts,
        subject=given["subject"] or None,
        start=UUID(int=min(start.int + 1, LAST_ID.int)) if start else FIRST_ID,
        end=end or LAST_ID,
    )


def _addr_spec(text: str) -> str:
    try:
        return parse_address(text).addr_spec
    except AddressError:
        raise ValueError("An address is whole: name@example.com.") from None


def _cursor(query: Mapping[str, str], name: str) -> UUID | None:
    try:
        return UUID(query[name]) if name in query else None
    except ValueError:
        raise ValueError("The page is not one that the list has given.") from None
