"""Email list page, with the filters of GET /emails."""

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

ROWS_PER_PAGE = 50
MAX_SUBJECT_LENGTH = 200  # characters
STATES = {
    str(MessageState.HELD): "held: an operator decides",
    **{str(event): event.replace("_", " ") for event in LastEvent},
}
FILTERS = ("state", "to", "from", "lane", "subject")


class EmailListPage:
    """Route of the email list."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def show(self, request: ConsoleRequest) -> Response:
        """GET /console/emails. If a filter is invalid, the page shows the error and no emails."""
        given = {name: request.query.get(name, "").strip() for name in FILTERS}
        error = ""
        found = Page((), None)
        backwards = "before" in request.query
        try:
            selection = _selection(given, request.query)
        except ValueError as invalid:
            error = str(invalid)
        else:
            found = await self._context.store.list_emails(selection, ROWS_PER_PAGE, request.now, oldest_first=backwards)
        rows = [(email, state_label(email, request.now)) for email in found.emails]
        older, newer = _adjacent_pages(found, request.query, backwards=backwards)
        return request.page(
            "emails.html",
            rows=rows,
            error=error,
            given=given,
            states=STATES,
            lanes=[*Lane],
            older=_query_string(given, "after", older),
            newer=_query_string(given, "before", newer),
        )


def state_label(email: Email, now: float) -> str:
    """Return the email's last event as in the API, or "held" if an operator has to decide."""
    return str(MessageState.HELD if email.state is MessageState.HELD else last_event(email, now))


def _adjacent_pages(found: Page, query: Mapping[str, str], *, backwards: bool) -> tuple[UUID | None, UUID | None]:
    """Return the cursors of the next older and the next newer page; None if there is none."""
    first, last = (found.emails[0].id, found.emails[-1].id) if found.emails else (None, None)
    if backwards:
        return last, found.next_id
    return found.next_id, first if "after" in query else None


def _query_string(given: Mapping[str, str], direction: str, cursor: UUID | None) -> str:
    """Return the query of another page with the same filters; "" without a cursor."""
    if cursor is None:
        return ""
    return "?" + urlencode({**{name: value for name, value in given.items() if value}, direction: str(cursor)})


def _selection(given: Mapping[str, str], query: Mapping[str, str]) -> Selection:
    """Return the selection of a query. Raise ValueError with a message for people."""
    filters: dict[str, Any] = {}
    if state := given["state"]:
        if state not in STATES:
            raise ValueError("There is no such state.")
        held = state == MessageState.HELD
        filters |= {"state": MessageState.HELD} if held else {"last_event": LastEvent(state)}
    if given["lane"]:
        if given["lane"] not in set(Lane):
            raise ValueError("There is no such lane.")
        filters["lane"] = Lane(given["lane"])
    for name, field in (("to", "recipient"), ("from", "sender")):
        if given[name]:
            filters[field] = _addr_spec(given[name])
    if len(given["subject"]) > MAX_SUBJECT_LENGTH or "\0" in given["subject"]:
        raise ValueError(f"Give at most {MAX_SUBJECT_LENGTH} characters of the subject, without NUL.")
    start, end = _cursor(query, "before"), _cursor(query, "after")
    return Selection(
        **filters,
        subject=given["subject"] or None,
        start=UUID(int=min(start.int + 1, LAST_ID.int)) if start else FIRST_ID,
        end=end or LAST_ID,
    )


def _addr_spec(text: str) -> str:
    try:
        return parse_address(text).addr_spec
    except AddressError:
        raise ValueError("Give a complete address, such as name@example.com.") from None


def _cursor(query: Mapping[str, str], name: str) -> UUID | None:
    try:
        return UUID(query[name]) if name in query else None
    except ValueError:
        raise ValueError(f"The value of `{name}` is not an email id.") from None
