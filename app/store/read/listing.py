"""Finds the messages that somebody asks for, page by page. What a page costs does not grow with what is stored.

A page is a walk along one index in the order of the ids, which is that of acceptance. What the index cannot answer is
asked of each message on the way, and after SCAN_LIMIT of them the page ends, to be continued from there. So a
rare thing that no index knows is found in several pages, and none of them keeps a reader for long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Select, Text, cast, exists, func, select

from app.mail.lifecycle import LastEvent, MessageState
from app.store.db.engine import as_json
from app.store.read import last_event
from app.store.read import messages as find
from app.store.read.records import Page, Selection
from app.store.schema import FAILED, SETTLED, messages, recipients

SCAN_LIMIT = 10_000  # entries of an index looked at for one page

T = TypeVar("T")

_m, _r = messages.c, recipients.c
_DONE = frozenset({MessageState.DONE})  # nearly everything is: for one key, its own messages are fewer


@dataclass(frozen=True, slots=True)
class _IndexScan:
    """A way through ids in their order: the column that has them, the conditions that enter its index, and what has
    to be asked of each message on this way only."""

    id: Column[UUID]
    enter: tuple[ColumnElement[bool], ...] = ()
    ask: tuple[ColumnElement[bool], ...] = ()

    def ids(self, start: UUID, end: UUID, oldest_first: bool) -> Select[UUID]:
        """From `start` and before `end`, in order. There is one bound at each end: SQLite seeks by one only."""
        order = self.id.asc() if oldest_first else self.id.desc()
        return select(self.id).where(*self.enter, self.id >= start, self.id < end).order_by(order)


def list_emails(connection: Connection, asked: Selection, limit: int, now: float, oldest_first: bool = False) -> Page:
    """At most `limit` messages: the newest, or with `oldest_first` the oldest. Either way the newest stands first."""
    walks, rest = _walks(asked)
    conditions = _conditions(rest, now)
    found: set[UUID] = set()
    cut: UUID | None = None
    for walk in walks:
        narrowing = (*walk.ask, *conditions)
        last = _last(connection, walk, asked, oldest_first) if narrowing else None
        if last is not None:
            cut = last if cut is None else min(cut, last) if oldest_first else max(cut, last)
        steps = walk.ids(*_reach(asked, last, oldest_first), oldest_first)
        found.update(connection.execute(_narrowed(steps, walk, narrowing).limit(limit + 1)).scalars())
    # Where one walk was cut off, the others have gone further than all have been.
    reached = [id for id in found if cut is None or (id <= cut if oldest_first else id >= cut)]
    reached.sort(reverse=not oldest_first)
    ids = reached[:limit]
    return Page(tuple(find.emails(connection, ids)), ids[-1] if len(reached) > limit else cut)


def _last(connection: Connection, walk: _IndexScan, asked: Selection, oldest_first: bool) -> UUID | None:
    """The last id that is looked at on this way; None: all are."""
    steps = walk.ids(asked.start, asked.end, oldest_first)
    found: UUID | None = connection.execute(steps.offset(SCAN_LIMIT - 1).limit(1)).scalar()
    return found


def _reach(asked: Selection, last: UUID | None, oldest_first: bool) -> tuple[UUID, UUID]:
    """From which id to before which a walk goes."""
    if last is None:
        return asked.start, asked.end
    return (asked.start, UUID(int=last.int + 1)) if oldest_first else (last, asked.end)


def _walks(asked: Selection) -> tuple[list[_IndexScan], Selection]:
    """Along the index that knows most of what is asked, and what it leaves to be asked.

    There is a walk for each state, since the ids are in order within one only.
    """
    if asked.recipient is not None:
        return _to(asked.recipient, _states(asked) or frozenset(MessageState)), replace(asked, recipient=None)
    if asked.last_event is LastEvent.FAILED:
        return [_IndexScan(_r.message_id, (FAILED,))], asked
    if (states := _states(asked)) and not (states == _DONE and asked.key_id is not None):
        return _in(states), replace(asked, state=None)
    if asked.key_id is not None:
        return [_IndexScan(_m.id, (_m.key_id == asked.key_id,))], replace(asked, key_id=None)
    return [_IndexScan(_m.id)], asked


def _states(asked: Selection) -> frozenset[MessageState]:
    """Those in which it can be; empty: in all."""
    if asked.state is not None:
        return frozenset({asked.state})
    return frozenset() if asked.last_event is None else last_event.STATES[asked.last_event]


def _in(states: Iterable[MessageState], *ask: ColumnElement[bool]) -> list[_IndexScan]:
    return [_IndexScan(_m.id, (_m.state == state,), ask) for state in sorted(states)]


def _to(address: str, states: frozenset[MessageState]) -> list[_IndexScan]:
    """The index by address has the recipients that were offered: whoever accepts an email does not pay for it. Those
    still pending are of messages that wait, or were cancelled."""
    this = func.lower(_r.address) == func.lower(address)
    pending = exists().where(_r.message_id == _m.id, this)
    return [_IndexScan(_r.message_id, (SETTLED, this)), *_in(states - _DONE, pending)]


def _narrowed(steps: Select[UUID], walk: _IndexScan, narrowing: Sequence[ColumnElement[bool]]) -> Select[UUID]:
    """Those steps of the walk that are what is asked for, each message once."""
    if walk.id.table is messages:
        return steps.where(*narrowing)
    if narrowing:
        steps = steps.join(messages, _m.id == walk.id).where(*narrowing)
    return steps.group_by(walk.id)


def _conditions(asked: Selection, now: float) -> list[ColumnElement[bool]]:
    """What has to be asked of each message on the way."""
    conditions: list[ColumnElement[bool]] = []
    if asked.key_id is not None:
        conditions.append(_unindexed(_m.key_id) == asked.key_id)
    if asked.state is not None:
        conditions.append(_unindexed(_m.state) == asked.state)
    if asked.last_event is not None:
        conditions.append(last_event.last_event_is(asked.last_event, _unindexed(_m.state), now))
    if asked.sender is not None:
        conditions.append(func.lower(_m.mail_from) == func.lower(asked.sender))
    if asked.tag is not None:
        conditions.append(_tagged(*asked.tag))
    if asked.lane is not None:
        conditions.append(_m.lane == asked.lane.rank)
    if asked.subject is not None:
        conditions.append(_m.head["subject"].as_string().icontains(asked.subject, autoescape=True))
    return conditions


def _unindexed(column: Column[T]) -> ColumnElement[T]:
    """The same value, but nothing that an index could be chosen by: the walk's index has the order."""
    return func.coalesce(column, column)


def _tagged(name: str, value: str | None) -> ColumnElement[bool]:
    """By the text of the JSON, where tags are written `["name","value"]`. Nothing else in it can look so: within a text
    the quotation marks are escaped, and the other lists hold addresses."""
    head: ColumnElement[Any] = cast(_m.head, Text)
    mark = as_json([name])[:-1] + "," if value is None else as_json([name, value])
    return func.replace(head, mark, "") != head
