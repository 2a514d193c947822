"""Audit page: changes by people and API keys, reads of content, and refused sends, newest first."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from app.console import days
from app.console.request import ConsoleRequest
from app.store.keys.audit import AuditAction, AuditFilter, AuditRecord

ROWS_PER_PAGE = 50
_TEXTS = ("action", "actor", "subject")
_DAYS = {"since": ("start", days.first_id), "until": ("end", days.first_id_after)}  # by name: field and its rule
_PAGES = {  # by the first part of an action
    "key": "/keys/{}",
    "email": "/emails/{}",
    "mailbox": "/mailboxes/{}",
    "suppression": "/suppressions?id={}",
    "webhook": "/webhooks/{}",
}


async def show_audit(request: ConsoleRequest) -> Response:
    """GET /console/audit."""
    before = request.cursor("before", "an id of the audit")
    given = {name: request.query.get(name, "").strip() for name in (*_TEXTS, *_DAYS)}
    records, error = [], ""
    try:
        records = await request.context.store.audit(before, ROWS_PER_PAGE + 1, _filter(given))
    except ValueError as invalid:
        error = str(invalid)
    older = {**given, "before": records[ROWS_PER_PAGE - 1].id} if len(records) > ROWS_PER_PAGE else {}
    return request.page(
        "audit/list.html",
        error=error,
        records=[(record, target(record), [*_details(record)]) for record in records[:ROWS_PER_PAGE]],
        given={**given, **{name: days.as_input(given[name]) for name in _DAYS}},
        filtered=any(given.values()),
        actions=[*AuditAction],
        older=urlencode({name: value for name, value in older.items() if value}),
    )


def _filter(given: Mapping[str, str]) -> AuditFilter:
    """Return the filter of the given texts. Raises ValueError with a sentence for people."""
    values: dict[str, Any] = {name: given[name] for name in _TEXTS}
    for name, (field, rule) in _DAYS.items():
        if given[name]:
            try:
                values[field] = rule(given[name])
            except ValueError as error:
                raise ValueError(f"{name.capitalize()}: {error}") from None
    return AuditFilter(**values)


def target(record: AuditRecord) -> str:
    """Return the path of the page about the subject, below the console; "" if there is none."""
    page = _PAGES.get(record.entry.action.partition(".")[0])
    return page.format(quote(record.entry.subject, safe="@")) if page else ""


def _details(record: AuditRecord) -> Iterator[tuple[str, str]]:
    """Yield the details as names and texts. Those of a refused send are shown elsewhere in its row."""
    for name, value in record.entry.details.items():
        if record.entry.action is AuditAction.SEND_REFUSED and name in ("name", "message"):
            continue
        if isinstance(value, dict) and value.keys() == {"before", "after"}:
            yield name, f"{_text(value['before'])} → {_text(value['after'])}"
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    match value:
        case None | "" | [] | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
    return str(value)
