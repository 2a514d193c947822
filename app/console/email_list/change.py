"""Changes of several emails: the selected ones, or all that match a search. A page asks for the confirmation first."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from starlette.responses import Response

from app import logs
from app.console.email.page import allowed_actions, may_duplicate
from app.console.email_list.query import ListQuery
from app.console.request import ACTOR, ConsoleRequest, PageError
from app.mail.lifecycle import LastEvent, MessageState
from app.store import Store
from app.store.records import Change, Email

MAX_EMAILS = 1_000  # of one change
_AT_ONCE = 100  # commands that wait for the writer
_PAGE = 500  # emails read at once


@dataclass(frozen=True, slots=True)
class Action:
    """Command for emails, with its words on the pages, and the events of the emails that may allow it."""

    name: str
    title: str
    effect: str
    done: str
    events: frozenset[MessageState | LastEvent]
    command: Callable[..., Awaitable[Change | None]]
    log: Callable[..., None]
    final: bool = False  # it cannot be undone


_UNSENT = (MessageState.HELD, LastEvent.QUEUED, LastEvent.SCHEDULED, LastEvent.DELIVERY_DELAYED)
ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(
            "retry",
            "Retry",
            "An email is sent again to those of its recipients that have not received it and are not suppressed.",
            "in the queue again",
            frozenset({MessageState.HELD, LastEvent.FAILED}),
            Store.retry,
            logs.retried,
        ),
        Action(
            "confirm",
            "Confirm",
            "A confirmed email counts as sent. Confirm what Message trace shows as arrived.",
            "confirmed as sent",
            frozenset({MessageState.HELD}),
            Store.confirm,
            logs.confirmed,
        ),
        Action(
            "cancel",
            "Cancel",
            "A cancelled email is not sent. This cannot be undone.",
            "cancelled",
            frozenset(_UNSENT),
            Store.cancel,
            logs.canceled,
            final=True,
        ),
    )
}
NO_ACTION = PageError(400, "Not done", "The only actions for emails are retry, cancel and confirm.")
NOTHING_SELECTED = PageError(400, "Not done", "No email is selected. Tick emails, or all that match.")
UNCHECKED = PageError(
    400,
    "Not done",
    "Some of the emails may have arrived already. Search Message trace for their Message-IDs, then tick the box.",
)


async def change_emails(request: ConsoleRequest) -> Response:
    """POST /console/emails/change: show how many emails change, and with `confirmed` change them."""
    action, query = ACTIONS.get(request.form.get("action", "")), ListQuery.from_fields(request.form)
    if action is None:
        raise NO_ACTION
    selected, more = await _selected(request, query)
    changing = [email for email in selected if action.name in allowed_actions(email)]
    doubtful = sum(map(may_duplicate, changing)) if action.name == "retry" else 0
    if request.form.get("confirmed") == "yes":
        if doubtful and request.form.get("checked") != "yes":
            raise UNCHECKED
        return await _change(request, action, query, changing)
    return request.page(
        "emails/change.html",
        action=action,
        query=query,
        ids=() if request.form.get("all") else [email.id for email in selected],
        newest=request.form.get("newest", ""),
        selected=len(selected),
        number=len(changing),
        doubtful=doubtful,
        more=more,
    )


def done_text(query: Mapping[str, str]) -> str:
    """Return the sentence about a change that the parameters of the list report; "" if they report none."""
    action, changed, late = ACTIONS.get(query.get("done", "")), query.get("changed", ""), query.get("late", "")
    if action is None or not (changed.isdecimal() and late.isdecimal()):
        return ""
    rest = f" {_emails(int(late))} had changed in the meantime and stayed as before." if int(late) else ""
    return f"{_emails(int(changed))} {'is' if int(changed) == 1 else 'are'} {action.done}.{rest}"


def _emails(number: int) -> str:
    return "1 email" if number == 1 else f"{number:,} emails"


async def _selected(request: ConsoleRequest, query: ListQuery) -> tuple[Sequence[Email], bool]:
    """Return the selected emails, up to MAX_EMAILS, and whether there are more."""
    store = request.context.store
    if request.form.get("all"):
        return await _matching(request, query)
    ids = [UUID(text) for text in request.form.getlist("id") if _is_id(text)]
    if not ids:
        raise NOTHING_SELECTED
    return [email for id in ids if (email := await store.get(id)) is not None], False


async def _matching(request: ConsoleRequest, query: ListQuery) -> tuple[Sequence[Email], bool]:
    """Return the emails that match the search, without those that were accepted after the page was shown."""
    store = request.context.store
    keys = await store.key_names()
    try:
        selection = query.selection(keys, request.now)
    except ValueError as error:
        raise PageError(400, "Not done", str(error)) from None
    if _is_id(newest := request.form.get("newest", "")):
        selection = replace(selection, end=min(selection.end, UUID(int=UUID(newest).int + 1)))
    found: list[Email] = []
    while len(found) < MAX_EMAILS:
        page = await store.list_emails(selection, min(_PAGE, MAX_EMAILS - len(found)), request.now)
        found += page.emails
        if page.next_id is None:
            return found, False
        selection = replace(selection, end=page.next_id)
    return found, True


async def _change(request: ConsoleRequest, action: Action, query: ListQuery, emails: Sequence[Email]) -> Response:
    store, changed = request.context.store, 0
    for start in range(0, len(emails), _AT_ONCE):
        some = emails[start : start + _AT_ONCE]
        commands = (action.command(store, email.id, request.now, by=request.actor) for email in some)
        for email, change in zip(some, await asyncio.gather(*commands), strict=True):
            if change is not None and change.applied:
                action.log(email.id, key=ACTOR)
                changed += 1
    report = {"done": action.name, "changed": str(changed), "late": str(len(emails) - changed)}
    return request.redirect("/emails", **query.filters, **report)


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
