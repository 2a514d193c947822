"""Pages of the messages that match filters, and their number, also by display state.

The cost does not grow with the number of messages.

A page is a scan of one index in the order of the ids, the order of acceptance. Conditions that the index does not cover
are checked on each message, and a page ends after `scan_limit` of them, even if it is short or empty; the next page
continues there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Select, Text, cast, exists, func, select

from app.mail.delivery.matching import email_id
from app.mail.delivery.states import ARRIVED, DeliveryState
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.times import HOUR
from app.store import email_counts
from app.store.db import uuid7
from app.store.db.dialect import BeginsWith, JsonMayContain
from app.store.db.prepared import as_json
from app.store.read import last_event
from app.store.read import messages as find
from app.store.read.records import BoundedCount, MessagePage, Selection
from app.store.schema import CALLERS_MESSAGE_ID, FAILED, SETTLED, SUPPRESSED, messages, recipients, traces

T = TypeVar("T")

_m, _r, _t = messages.c, recipients.c, traces.c
_REPORTED: Mapping[LastEvent | None, Set[DeliveryState]] = {
    LastEvent.BOUNCED: {DeliveryState.BOUNCED},
    LastEvent.DELIVERED: ARRIVED,
}
COUNT_LIMIT = 500  # messages of one event; a larger number is reported as this one
FIRST_SCAN = 200  # messages; a page that they do not fill is scanned again, up to its limit
RARE = 1_000  # recipients with a prefix, up to which all of them are read
_LIKE_SPECIAL = re.compile("[/%_]")
_HELD = frozenset({MessageState.HELD})
_DONE = frozenset({MessageState.DONE})  # most messages are: the index by key is smaller than this one


@dataclass(frozen=True, slots=True)
class _IndexScan:
    """Scan of ids in order: their column, the conditions of its index, and the `filters` for this scan only."""

    id: Column[UUID]
    index: tuple[ColumnElement[bool], ...] = ()
    filters: tuple[ColumnElement[bool], ...] = ()

    def ids(self, start: UUID, end: UUID, oldest_first: bool) -> Select[UUID]:
        """Select the ids from `start` and before `end`, in order. SQLite seeks by one bound only at each end."""
        order = self.id.asc() if oldest_first else self.id.desc()
        return select(self.id).where(*self.index, self.id >= start, self.id < end).order_by(order)


def list_emails(
    connection: Connection, asked: Selection, limit: int, now: float, oldest_first: bool = False
) -> MessagePage:
    """Return up to `limit` messages: the newest, or with `oldest_first` the oldest. The newest comes first."""
    first = replace(asked, scan_limit=min(asked.scan_limit, FIRST_SCAN))
    ids, next_id = _find(connection, first, limit, now, oldest_first)
    if next_id is not None and len(ids) < limit and first.scan_limit < asked.scan_limit:
        ids, next_id = _find(connection, asked, limit, now, oldest_first)
    return MessagePage(tuple(find.emails(connection, ids)), next_id)


def count_by_event(
    connection: Connection,
    asked: Selection,
    now: float,
    limit: int = COUNT_LIMIT,
    events: Iterable[MessageState | LastEvent] = last_event.EVENTS,
) -> dict[MessageState | LastEvent, BoundedCount]:
    """Return by display state the number of messages of a selection, up to `limit` of each, whatever its event is.

    The numbers that are stored by hour have no limit.
    """
    stored = _stored_numbers(connection, replace(asked, state=None, last_event=None, held=True), now)
    return {
        event: BoundedCount(stored[event], more=False)
        if isinstance(event, LastEvent) and event in stored
        else count(connection, _with_event(asked, event), now, limit)
        for event in events
    }


def _stored_numbers(connection: Connection, asked: Selection, now: float) -> Mapping[LastEvent, int]:
    """Return by event the numbers that are stored; none unless the selection is only a start on a stored full hour."""
    hour = email_counts.hour_of(uuid7.timestamp_of(asked.start))
    full = asked == Selection(start=uuid7.first_at(hour * HOUR), scan_limit=asked.scan_limit)
    kept = hour > email_counts.hour_of(now) - email_counts.HOURS_KEPT
    return email_counts.ended_since(connection, hour) if full and kept else {}


def count(connection: Connection, asked: Selection, now: float, limit: int = COUNT_LIMIT) -> BoundedCount:
    """Return the number of messages of a selection among the newest `limit` that its index has."""
    ids, next_id = _find(connection, replace(asked, scan_limit=limit), limit, now, oldest_first=False)
    return BoundedCount(len(ids), next_id is not None)


def _with_event(asked: Selection, event: MessageState | LastEvent) -> Selection:
    if isinstance(event, LastEvent):
        return replace(asked, state=None, last_event=event, held=False)
    return replace(asked, state=event, last_event=None)


def _find(
    connection: Connection, asked: Selection, limit: int, now: float, oldest_first: bool
) -> tuple[list[UUID], UUID | None]:
    """Return the ids of a page, and its `next_id`."""
    scans, rest = _scans(connection, asked)
    conditions = _conditions(rest, now)
    found: set[UUID] = set()
    cut: UUID | None = None
    for scan in scans:
        filters = (*scan.filters, *conditions)
        last = _last(connection, scan, asked, oldest_first) if filters else None
        if last is not None:
            cut = last if cut is None else min(cut, last) if oldest_first else max(cut, last)
        ids_of_scan = scan.ids(*_range(asked, last, oldest_first), oldest_first)
        found.update(connection.execute(_filtered(ids_of_scan, scan, filters).limit(limit + 1)).scalars())
    # The page ends where the first scan ended, because the ids behind it are not complete.
    reached = [id for id in found if cut is None or (id <= cut if oldest_first else id >= cut)]
    reached.sort(reverse=not oldest_first)
    ids = reached[:limit]
    return ids, ids[-1] if len(reached) > limit else cut


def _last(connection: Connection, scan: _IndexScan, asked: Selection, oldest_first: bool) -> UUID | None:
    """Return the last id that this scan reads; None: it reads all."""
    ids = scan.ids(asked.start, asked.end, oldest_first)
    found: UUID | None = connection.execute(ids.offset(asked.scan_limit - 1).limit(1)).scalar()
    return found


def _range(asked: Selection, last: UUID | None, oldest_first: bool) -> tuple[UUID, UUID]:
    """Return the first id of a scan, and the id before which it ends."""
    if last is None:
        return asked.start, asked.end
    return (asked.start, UUID(int=last.int + 1)) if oldest_first else (last, asked.end)


def _scans(connection: Connection, asked: Selection) -> tuple[list[_IndexScan], Selection]:
    """Return scans of the index that covers most of the filters, and the remaining filters.

    There is one scan for each state, because the ids are in order within one state only.
    """
    if asked.message_id is not None:
        return _called(asked.message_id), replace(asked, message_id=None)
    if asked.recipient_prefix is not None:
        return _to_prefix(connection, asked), replace(asked, recipient_prefix=None)
    if asked.recipient is not None:
        return _to(asked.recipient, _states(asked) or frozenset(MessageState)), replace(asked, recipient=None)
    if asked.last_event is LastEvent.FAILED:
        return [_IndexScan(_r.message_id, (state,)) for state in (FAILED, SUPPRESSED)], asked
    if reported := _REPORTED.get(asked.last_event):
        return [_IndexScan(_t.message_id, (_t.state == state,)) for state in sorted(reported)], asked
    if (states := _states(asked)) and not (states == _DONE and asked.key_id is not None):
        return _in(states), replace(asked, state=None)
    if asked.key_id is not None:
        return [_IndexScan(_m.id, (_m.key_id == asked.key_id,))], replace(asked, key_id=None)
    return [_IndexScan(_m.id)], asked


def _states(asked: Selection) -> frozenset[MessageState]:
    """Return the possible states; empty: all."""
    if asked.state is not None:
        return frozenset({asked.state})
    if asked.last_event is None:
        return frozenset()
    states = last_event.STATES[asked.last_event]
    return states if asked.held else states - _HELD


def _in(states: Iterable[MessageState], *filters: ColumnElement[bool]) -> list[_IndexScan]:
    return [_IndexScan(_m.id, (_m.state == state,), filters) for state in sorted(states)]


def _to(address: str, states: frozenset[MessageState]) -> list[_IndexScan]:
    """Return scans by recipient.

    The index by address leaves out pending recipients, so that an accept need not write to it. Messages that wait or
    were cancelled are found by their state.
    """
    (this,) = _addresses(Selection(recipient=address))
    done = [_IndexScan(_r.message_id, (SETTLED, this))] if states & _DONE else []
    return [*done, *_in(states - _DONE, _is_to(this))]


def _to_prefix(connection: Connection, asked: Selection) -> list[_IndexScan]:
    """Return scans by the first characters of a recipient.

    The index by address has no order by id within a prefix, so the ids of a rare prefix are collected first. A frequent
    one is found soon among the newest messages.
    """
    (this,) = _addresses(Selection(recipient_prefix=asked.recipient_prefix))
    begins = _is_to(this)
    states = _states(asked) or frozenset(MessageState)
    if not states & _DONE:
        return _in(states, begins)
    rare = min(RARE, asked.scan_limit)
    matching = select(_r.message_id).where(SETTLED, this)
    if connection.execute(matching.offset(rare).limit(1)).first() is not None:
        return _in(states, begins) if _states(asked) else [_IndexScan(_m.id, (), (begins,))]
    found = connection.execute(matching).scalars()
    return [_IndexScan(_m.id, (_m.id.in_(sorted({*found})),)), *_in(states - _DONE, begins)]


def _called(message_id: str) -> list[_IndexScan]:
    """Return scans by Message-ID: those that callers chose, and Postern's own, which begins with the id."""
    this = _m.message_id == message_id
    own = email_id(message_id)
    scans = [_IndexScan(_m.id, (CALLERS_MESSAGE_ID, this))]
    return scans if own is None else [*scans, _IndexScan(_m.id, (_m.id == own, this))]


def _filtered(ids: Select[UUID], scan: _IndexScan, filters: Sequence[ColumnElement[bool]]) -> Select[UUID]:
    """Select the ids of a scan that match the filters, each once."""
    if scan.id.table is messages:
        return ids.where(*filters)
    if filters:
        ids = ids.join(messages, _m.id == scan.id).where(*filters)
    return ids.group_by(scan.id)


def _conditions(asked: Selection, now: float) -> list[ColumnElement[bool]]:
    """Return the conditions that are checked on each message."""
    conditions = [_is_to(this) for this in _addresses(asked)]
    if asked.key_id is not None:
        conditions.append(_unindexed(_m.key_id) == asked.key_id)
    if asked.state is not None:
        conditions.append(_unindexed(_m.state) == asked.state)
    if asked.last_event is not None:
        conditions.append(last_event.last_event_is(asked.last_event, _unindexed(_m.state), now))
    if not asked.held:
        conditions.append(_unindexed(_m.state) != MessageState.HELD)
    if asked.sender is not None:
        conditions.append(func.lower(_m.mail_from) == func.lower(asked.sender))
    if asked.tag is not None:
        conditions.append(_tagged(*asked.tag))
    if asked.lane is not None:
        conditions.append(_m.lane == asked.lane.rank)
    if asked.subject is not None:
        conditions.extend(_subject_contains(asked.subject))
    return conditions


def _subject_contains(text: str) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that a subject contains a text, in any case; the cheaper one first.

    The JSON of a message has plain ASCII as it is, so one without it need not be read.
    """
    if text.isascii() and text.isprintable() and not {'"', "\\"} & {*text}:
        yield JsonMayContain(_m.head, "%" + _LIKE_SPECIAL.sub(r"/\g<0>", text) + "%")
    yield _m.head["subject"].as_string().icontains(text, autoescape=True)


def _addresses(asked: Selection) -> list[ColumnElement[bool]]:
    """Return the conditions of a recipient's address."""
    conditions: list[ColumnElement[bool]] = []
    if asked.recipient is not None:
        conditions.append(func.lower(_r.address) == func.lower(asked.recipient))
    if asked.recipient_prefix is not None:
        conditions.append(BeginsWith(func.lower(_r.address), func.lower(asked.recipient_prefix)))
    return conditions


def _is_to(this: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a message has a recipient with this condition."""
    return exists().where(_r.message_id == _m.id, this)


def _unindexed(column: Column[T]) -> ColumnElement[T]:
    """Return the column as an expression that no index matches, so that the scan's index is used for the order."""
    return func.coalesce(column, column)


def _tagged(name: str, value: str | None) -> ColumnElement[bool]:
    """Return the condition that the JSON text contains the tag, as `["name","value"]`.

    Nothing else in it has this form: quotation marks inside strings are escaped, and the other lists hold addresses.
    """
    head: ColumnElement[Any] = cast(_m.head, Text)
    mark = as_json([name])[:-1] + "," if value is None else as_json([name, value])
    return func.replace(head, mark, "") != head
