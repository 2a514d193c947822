"""The one word for where an email stands that the SDKs know. Computed, never stored."""

from app.mail.last_event import LastEvent
from app.mail.lifecycle import MessageState, RecipientState
from app.mail.schedule import PATIENCE
from app.store.records import Email


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

    The same table is in app/store/standing.py, to find them by; a test holds the two together.
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
    return LastEvent.DELIVERY_DELAYED if email.tried or now - due >= PATIENCE else LastEvent.QUEUED
