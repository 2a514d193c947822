"""The `last_event` of an email: computed for one email, and as SQL to find emails by it."""

from sqlalchemy import ColumnElement, Double, and_, case, exists, func, literal, not_, or_

from app.mail.lifecycle import LastEvent, MessageState, RecipientState
from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from app.store.records import Email
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


def last_event_is(event: LastEvent, state: ColumnElement[str], now: float) -> ColumnElement[bool]:
    """Whether a message has this event; `state` is its state, in whatever form; `now` in epoch seconds."""
    moment = literal(now, Double)
    pending = state.in_(sorted(_PENDING))
    ahead = moment < _DUE
    late = or_(_TRIED, moment - _DUE >= DELAY_NOTICE_AFTER)
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


def last_event(email: Email, now: float) -> LastEvent:
    """The event of an email as read with its recipients; `now` in epoch seconds.

    | state                  | when                                          | event            |
    |------------------------|-----------------------------------------------|------------------|
    | cancelled              | always                                        | canceled         |
    | done                   | every recipient was relayed                   | sent             |
    | done                   | a recipient failed, whoever was relayed       | failed           |
    | deferred               | always: an attempt was made                   | delivery_delayed |
    | queued, active or held | its scheduled time is ahead                   | scheduled        |
    | queued, active or held | an attempt has ended, or an hour has passed   | delivery_delayed |
    | queued, active or held | otherwise                                     | queued           |

    `stands` is the same table as SQL; a test holds the two together.
    """
    match email.state:
        case MessageState.CANCELLED:
            return LastEvent.CANCELED
        case MessageState.DONE:
            relayed = all(recipient.state is RecipientState.RELAYED for recipient in email.recipients)
            return LastEvent.SENT if relayed else LastEvent.FAILED
        case MessageState.DEFERRED:
            return LastEvent.DELIVERY_DELAYED
        case MessageState.QUEUED | MessageState.ACTIVE | MessageState.HELD:
            return _waiting(email, now)


def _waiting(email: Email, now: float) -> LastEvent:
    due = email.created_at if email.scheduled_at is None else email.scheduled_at
    if due > now:
        return LastEvent.SCHEDULED
    return LastEvent.DELIVERY_DELAYED if email.tried or now - due >= DELAY_NOTICE_AFTER else LastEvent.QUEUED
