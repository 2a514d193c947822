"""Page of the list: one search box, tabs with numbers, and the emails of one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.responses import Response

from app.cached_result import CachedResult
from app.console.context import ConsoleContext
from app.console.email_list.change import ACTIONS, done_text
from app.console.email_list.query import ListQuery, event_of
from app.console.request import ConsoleRequest
from app.mail.lifecycle import LastEvent, MessageState
from app.store.read.last_event import operator_event
from app.store.read.records import BoundedCount, MessagePage, Selection
from app.store.records import Email

ROWS_PER_PAGE = 50
CACHE_LIFETIME = 3.0  # seconds; all visitors share the numbers of all emails
NOTHING: Mapping[MessageState | LastEvent, str] = {
    MessageState.HELD: "An email is held if it may have been delivered and its `on_unknown` is `hold`, and after a "
    "restored backup. You then search Message trace and confirm, retry or cancel it here.",
    LastEvent.QUEUED: "An accepted email is here until a mailbox has sent it, usually for less than a second.",
    LastEvent.SCHEDULED: "An email with `scheduled_at` is here until that time, and can be cancelled until then.",
    LastEvent.SENT: "An email is here when Office 365 has accepted it for every recipient.",
    LastEvent.DELIVERY_DELAYED: "An email is here after a temporary refusal, and when it has waited for an hour.",
    LastEvent.FAILED: "An email is here if Office 365 refused it for a recipient, or could not take it for five days.",
    LastEvent.CANCELED: "An email is here if it was cancelled before it was sent, or if its API key has a sink.",
    LastEvent.DELIVERED: "An email is here when Exchange's message trace says that every recipient has it.",
    LastEvent.BOUNCED: "An email is here if Exchange accepted it and could not deliver it to a recipient.",
}
_Numbers = Mapping[MessageState | LastEvent | None, BoundedCount]


@dataclass(frozen=True, slots=True)
class Tab:
    """Link to the emails of one event; `event` "" is all."""

    event: str
    number: BoundedCount
    url: str
    current: bool


class EmailListPage:
    """Route of the list."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._numbers = CachedResult(self._count_all, CACHE_LIFETIME, context.clock.monotonic)

    async def show(self, request: ConsoleRequest) -> Response:
        """GET /console/emails. If a filter is invalid, the page shows the error and no emails."""
        query, error = ListQuery.from_fields(request.query), ""
        keys = await request.context.store.key_names()
        found, selection = MessagePage((), None), Selection()
        numbers: _Numbers = {}
        try:
            selection = query.selection(keys, request.now)
        except ValueError as invalid:
            error = str(invalid)
        else:
            found = await request.context.store.list_emails(
                selection, ROWS_PER_PAGE, request.now, oldest_first=bool(query.before)
            )
            numbers = await self._count(query, keys, request.now)
        older, newer = _adjacent_pages(found, query)
        event = event_of(selection)
        return request.page(
            "emails/list.html",
            rows=[_row(email, keys, request.now) for email in found.emails],
            error=error,
            query=query,
            tabs=_tabs(numbers, query),
            matching=numbers.get(event),
            actions=()
            if error or not request.operator
            else [action for action in ACTIONS.values() if event is None or event in action.events],
            nothing=NOTHING.get(event, "") if event else "",
            newest=str(found.emails[0].id) if found.emails else "",
            older=query.url(after=str(older)) if older else "",
            newer=query.url(before=str(newer)) if newer else "",
            done=done_text(request.query),
        )

    async def _count(self, query: ListQuery, keys: Mapping[UUID, str], now: float) -> _Numbers:
        if not query.is_search:
            return await self._numbers.get()
        filters = ListQuery(q=query.q, since=query.since, until=query.until)
        return await self._count_matching(filters.selection(keys, now), now)

    async def _count_all(self) -> _Numbers:
        return await self._count_matching(Selection(), self._context.clock.now())

    async def _count_matching(self, selection: Selection, now: float) -> _Numbers:
        store = self._context.store
        by_event = await store.count_by_event(selection, now)
        total = BoundedCount(sum(number.number for number in by_event.values()), more=False)
        if any(number.more for number in by_event.values()):
            total = await store.count_emails(selection, now)
        all_: dict[MessageState | LastEvent | None, BoundedCount] = {None: total}
        return all_ | {**by_event}


def _row(email: Email, keys: Mapping[UUID, str], now: float) -> Mapping[str, object]:
    return {"email": email, "event": str(operator_event(email, now)), "key": keys.get(email.key_id, "")}


def _tabs(numbers: _Numbers, query: ListQuery) -> Sequence[Tab]:
    return [
        Tab(str(event or ""), number, query.url(state=str(event or "")), current=query.state == str(event or ""))
        for event, number in numbers.items()
    ]


def _adjacent_pages(found: MessagePage, query: ListQuery) -> tuple[UUID | None, UUID | None]:
    """Return the cursors of the next older and the next newer page; None if there is none."""
    first, last = (found.emails[0].id, found.emails[-1].id) if found.emails else (None, None)
    if query.before:
        return last, found.next_id
    return found.next_id, first if query.after else None
