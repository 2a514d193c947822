"""The `last_event` of an email, from one table: for an email that was read, as an SQL condition, and by event the
states that a message may have then (STATES). For operators the display states (EVENTS): `held` is one of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sqlalchemy import ColumnElement, Double, and_, case, exists, func, literal, not_, or_, true

from app.mail.delivery.states import ARRIVED, DeliveryState
from app.mail.lifecycle import ENDED_STATES, LastEvent, MessageState, RecipientState, is_relayed
from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from app.store.records import Email
from app.store.schema import messages, recipients, traces

_S, _E = MessageState, LastEvent
_Condition = Literal["always", "bounced", "delivered", "relayed", "ahead", "late"]

_UNSENT = frozenset({_S.QUEUED, _S.ACTIVE, _S.HELD})
_TABLE: tuple[tuple[frozenset[MessageState], _Condition, LastEvent], ...] = (
    (frozenset({_S.CANCELLED}), "always", _E.CANCELED),
    (frozenset({_S.DONE}), "bounced", _E.BOUNCED),  # for one recipient at least
    (frozenset({_S.DONE}), "delivered", _E.DELIVERED),  # to every recipient that is not suppressed
    (frozenset({_S.DONE}), "relayed", _E.SENT),  # to every recipient that is not suppressed
    (frozenset({_S.DONE}), "always", _E.FAILED),  # for one recipient at least, or all are suppressed
    (frozenset({_S.DEFERRED}), "always", _E.DELIVERY_DELAYED),
    (_UNSENT, "ahead", _E.SCHEDULED),  # the scheduled time is in the future
    (_UNSENT, "late", _E.DELIVERY_DELAYED),  # an attempt has ended, or it is DELAY_NOTICE_AFTER past its time
    (_UNSENT, "always", _E.QUEUED),
)
"""States, condition and event. The first row that applies decides."""

STATES = {
    event: frozenset[MessageState]().union(*(states for states, _, given in _TABLE if given is event))
    for event in LastEvent
}
"""By event, the states in which a message may have it."""

EVENTS: tuple[MessageState | LastEvent, ...] = (MessageState.HELD, *LastEvent)
"""Display states for operators: HELD, and for messages that are not held the last event."""

_m = messages.c
_r, _t = recipients.alias("of"), traces.alias("reported")
_EITHER = (RecipientState.RELAYED, RecipientState.SUPPRESSED)
_RELAYED = and_(  # as `is_relayed`
    not_(exists().where(_r.c.message_id == _m.id, _r.c.state.not_in(_EITHER))),
    exists().where(_r.c.message_id == _m.id, _r.c.state == RecipientState.RELAYED),
)
_BOUNCED = exists().where(_t.c.message_id == _m.id, _t.c.state == DeliveryState.BOUNCED)
_ALL_DELIVERED = not_(
    exists()
    .select_from(_r.outerjoin(_t, and_(_t.c.message_id == _r.c.message_id, _t.c.address == _r.c.address)))
    .where(
        _r.c.message_id == _m.id,
        _r.c.state == RecipientState.RELAYED,
        func.coalesce(_t.c.state, "").not_in(sorted(ARRIVED)),
    )
)
_ATTEMPTED = _m.attempts > case((_m.state == _S.ACTIVE, 1), else_=0)
_DUE = func.coalesce(_m.scheduled_at, _m.created_at)


_OF_ENDED: Mapping[_Condition, ColumnElement[bool]] = {
    "always": true(),
    "bounced": _BOUNCED,
    "delivered": and_(_RELAYED, _ALL_DELIVERED),
    "relayed": _RELAYED,
}


def _event(
    rows: Iterable[tuple[frozenset[MessageState], _Condition, LastEvent]],
    state: ColumnElement[str],
    holds: Mapping[_Condition, ColumnElement[bool]],
) -> ColumnElement[Any]:
    return case(*((and_(state.in_(sorted(states)), holds[rule]), literal(given)) for states, rule, given in rows))


_ENDED_ROWS = [row for row in _TABLE if row[0] <= ENDED_STATES]
ENDED_EVENTS: tuple[LastEvent, ...] = tuple(event for _, _, event in _ENDED_ROWS)
ENDED_EVENT = _event(_ENDED_ROWS, _m.state, _OF_ENDED)
"""Event of a message as an expression; NULL for one that has not ended."""


def last_event_is(event: LastEvent, state: ColumnElement[str], now: float) -> ColumnElement[bool]:
    """Return the condition that a message has this event. `state`: expression of its state. `now`: epoch seconds."""
    moment = literal(now, Double)
    late = or_(_ATTEMPTED, moment - _DUE >= DELAY_NOTICE_AFTER)
    return _event(_TABLE, state, {**_OF_ENDED, "ahead": moment < _DUE, "late": late}) == event


def last_event(email: Email, now: float) -> LastEvent:
    """Return the event of an email that was read with its recipients. `now`: epoch seconds."""
    due = email.created_at if email.scheduled_at is None else email.scheduled_at
    relayed = is_relayed([recipient.state for recipient in email.recipients])
    sent_to = [recipient for recipient in email.recipients if recipient.state is not RecipientState.SUPPRESSED]
    deliveries = [recipient.delivery and recipient.delivery.state for recipient in sent_to]
    holds: Mapping[_Condition, bool] = {
        "always": True,
        "bounced": DeliveryState.BOUNCED in deliveries,
        "delivered": relayed and all(state in ARRIVED for state in deliveries),
        "relayed": relayed,
        "ahead": now < due,
        "late": email.attempted or now - due >= DELAY_NOTICE_AFTER,
    }
    return next(event for states, rule, event in _TABLE if email.state in states and holds[rule])


def operator_event(email: Email, now: float) -> MessageState | LastEvent:
    """Return the display state of an email, a member of EVENTS. `now`: epoch seconds."""
    return MessageState.HELD if email.state is MessageState.HELD else last_event(email, now)
