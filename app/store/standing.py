"""The table of app/store/last_event.py as SQL, so that emails can be found by it. A test holds the two together."""

from sqlalchemy import ColumnElement, Double, and_, case, exists, func, literal, not_, or_

from app.mail.last_event import LastEvent
from app.mail.lifecycle import MessageState, RecipientState
from app.mail.schedule import PATIENCE
from app.store.schema import messages, recipients

_S, _E = MessageState, LastEvent

_PENDING = frozenset({_S.QUEUED, _S.ACTIVE, _S.HELD})

STATES = {
    _E.QUEUED: _PENDING,
    _E.SCHEDULED: _PENDING,
    _E.DELIVERY_DELAYED: _PENDING | {_S.DEFERRED},
    _E.SENT: frozenset({_S.DONE}),
    _E.FAILED: frozenset({_S.DONE}),
    _E.CANCELED: frozenset({_S.CANCELLED}),
}
"""The states in which a message may have the event."""

_m = messages.c
_of = recipients.alias("of")
_NOT_RELAYED = exists().where(_of.c.message_id == _m.id, _of.c.state != RecipientState.RELAYED)
_TRIED = _m.attempts > case((_m.state == _S.ACTIVE, 1), else_=0)
_DUE = func.coalesce(_m.scheduled_at, _m.created_at)


def stands(event: LastEvent, state: ColumnElement[str], now: float) -> ColumnElement[bool]:
    """Whether a message has this event; `state` is its state, in whatever form; `now` in epoch seconds."""
    moment = literal(now, Double)
    pending = state.in_(sorted(_PENDING))
    ahead = moment < _DUE
    late = or_(_TRIED, moment - _DUE >= PATIENCE)
    match event:
        case LastEvent.CANCELED:
            return state == _S.CANCELLED
        case LastEvent.SENT:
            return and_(state == _S.DONE, not_(_NOT_RELAYED))
        case LastEvent.FAILED:
            return and_(state == _S.DONE, _NOT_RELAYED)
        case LastEvent.SCHEDULED:
            return and_(pending, ahead)
        case LastEvent.DELIVERY_DELAYED:
            return or_(state == _S.DEFERRED, and_(pending, not_(ahead), late))
        case LastEvent.QUEUED:
            return and_(pending, not_(ahead), not_(late))
