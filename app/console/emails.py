"""Email list page, with the filters of GET /emails."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from app.console.request import ConsoleRequest
from app.mail.lifecycle import MessageState
from app.mail.message.message import Lane
from app.store.read import email_filters
from app.store.read.last_event import EVENTS, operator_event
from app.store.read.records import MessagePage, Selection

ROWS_PER_PAGE = 50
_CURSORS = ("before", "after")  # emails beside a page
STATES = {
    str(event): "held: an operator decides" if event is MessageState.HELD else event.replace("_", " ")
    for event in EVENTS
}


async def show_emails(request: ConsoleRequest) -> Response:
    """GET /console/emails. If a filter is invalid, the page shows the error and no emails."""
    given = {name: request.query.get(name, "").strip() for name in _RULES}
    error = ""
    found = MessagePage((), None)
    backwards = bool(given["before"])
    try:
        selection = _selection(given)
    except ValueError as invalid:
        error = str(invalid)
    else:
        found = await request.context.store.list_emails(selection, ROWS_PER_PAGE, request.now, oldest_first=backwards)
    rows = [(email, str(operator_event(email, request.now))) for email in found.emails]
    older, newer = _adjacent_pages(found, given)
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


def _adjacent_pages(found: MessagePage, given: Mapping[str, str]) -> tuple[UUID | None, UUID | None]:
    """Return the cursors of the next older and the next newer page; None if there is none."""
    first, last = (found.emails[0].id, found.emails[-1].id) if found.emails else (None, None)
    if given["before"]:
        return last, found.next_id
    return found.next_id, first if given["after"] else None


def _query_string(given: Mapping[str, str], direction: str, cursor: UUID | None) -> str:
    """Return the query of another page with the same filters; "" without a cursor."""
    if cursor is None:
        return ""
    filters = {name: value for name, value in given.items() if value and name not in _CURSORS}
    return "?" + urlencode({**filters, direction: str(cursor)})


_RULES: Mapping[str, email_filters.Rule] = {
    "state": email_filters.event,
    "to": email_filters.address,
    "from": email_filters.address,
    "lane": email_filters.lane,
    "subject": email_filters.subject,
    **dict.fromkeys(_CURSORS, email_filters.email_id),
}


def _selection(given: Mapping[str, str]) -> Selection:
    """Return the selection of the parameters that are not empty. Raise ValueError with a message for people."""
    found: dict[str, Any] = {}
    errors = []
    for name, text in given.items():
        if text:
            try:
                found[name] = _RULES[name](text)
            except ValueError as error:
                errors.append(f"{name.capitalize()}: {error}")
    if errors:
        raise ValueError(" ".join(errors))
    event = found.pop("state", None)
    return email_filters.selection({**found, "event": event})
