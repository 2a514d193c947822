"""State machine of a message: transitions, settlement of a delivery attempt, expiry, and the explanations of final and
held states. Pure.

Rule 1: every change of a message's state is in TRANSITIONS; any other raises InvalidTransitionError.
Rule 2: a message expires by age (`expires_at`), never by the number of attempts.
Rule 3: a problem of the mailbox, tenant or host requeues the message without a delay of its own; the mailbox pauses.
Rule 4: after an attempt with unknown result the message is sent again only if `on_unknown` permits it.
Rule 5: a recipient that was relayed or failed is never attempted again automatically.
Rule 6: a recipient that was on the suppression list at the acceptance, or when the message was claimed, is never
attempted.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import StrEnum

from app.frozen import frozen
from app.mail import retry_schedule
from app.mail.message.message import OnUnknown
from app.mail.outcome.verdict import Action, Explanation, Verdict
from app.mail.suppression import Bounce


class MessageState(StrEnum):
    """State of a message. Stored."""

    QUEUED = "queued"
    ACTIVE = "active"
    DEFERRED = "deferred"
    HELD = "held"
    DONE = "done"
    CANCELLED = "cancelled"


class RecipientState(StrEnum):
    """State of one recipient. Stored."""

    PENDING = "pending"
    RELAYED = "relayed"
    FAILED = "failed"
    SUPPRESSED = "suppressed"  # on the suppression list when the message was accepted or claimed


class LastEvent(StrEnum):
    """State of an email as callers and their SDKs read it. Computed from the message's state, never stored."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENT = "sent"
    DELIVERY_DELAYED = "delivery_delayed"
    FAILED = "failed"
    CANCELED = "canceled"
    DELIVERED = "delivered"  # to every recipient, according to Exchange's message trace
    BOUNCED = "bounced"  # for one recipient at least


class Event(StrEnum):
    """Event that changes the state of a message."""

    CLAIM = "claim"  # a worker starts an attempt under a lease
    GIVE_BACK = "give back"  # requeued: a mailbox, tenant or host problem, or the worker stopped before the attempt
    DEFER = "defer"  # some recipients are attempted again later
    FINISH = "finish"  # every recipient was relayed or failed
    HOLD = "hold"  # the result is unknown, or an operator holds it
    RELEASE = "release"  # an operator requeues a held message
    RETRY = "retry"  # an operator requeues the failed recipients of a finished message
    SUPPRESS = "suppress"  # every pending recipient of a message is suppressed
    EXPIRE = "expire"  # it reached its maximum age
    CANCEL = "cancel"  # the caller cancelled it
    CONFIRM = "confirm"  # an operator confirms that it was delivered


_S, _E = MessageState, Event

TRANSITIONS: Mapping[MessageState, Mapping[Event, MessageState]] = {
    _S.QUEUED: {
        _E.CLAIM: _S.ACTIVE,
        _E.HOLD: _S.HELD,
        _E.SUPPRESS: _S.DONE,
        _E.EXPIRE: _S.DONE,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.ACTIVE: {
        _E.GIVE_BACK: _S.QUEUED,
        _E.DEFER: _S.DEFERRED,
        _E.FINISH: _S.DONE,
        _E.HOLD: _S.HELD,
        _E.EXPIRE: _S.DONE,
    },
    _S.DEFERRED: {
        _E.CLAIM: _S.ACTIVE,
        _E.HOLD: _S.HELD,
        _E.SUPPRESS: _S.DONE,
        _E.EXPIRE: _S.DONE,
        _E.CANCEL: _S.CANCELLED,
    },
    _S.HELD: {_E.RELEASE: _S.QUEUED, _E.CANCEL: _S.CANCELLED, _E.CONFIRM: _S.DONE},
    _S.DONE: {_E.RETRY: _S.QUEUED},
    _S.CANCELLED: {},
}


class InvalidTransitionError(Exception):
    """Programming error: `event` is not possible in `state`."""


def next_state(state: MessageState, event: Event) -> MessageState:
    """Return the state after `event`. Raises InvalidTransitionError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InvalidTransitionError(f"event {event} is not possible for a message in state {state}") from None


def sources(event: Event) -> frozenset[MessageState]:
    """Return the states in which `event` is possible."""
    return frozenset(state for state, row in TRANSITIONS.items() if event in row)


WAITING_STATES = sources(Event.CLAIM)  # QUEUED and DEFERRED: a worker may claim the message when it is due
ENDED_STATES = frozenset({MessageState.DONE, MessageState.CANCELLED})


def is_relayed(recipients: Collection[RecipientState]) -> bool:
    """Return True if Office 365 has accepted a message for every recipient that is not suppressed, and for one."""
    return {*recipients} - {RecipientState.SUPPRESSED} == {RecipientState.RELAYED}


@frozen
class ActiveMessage:
    """ACTIVE message before its attempt is settled. Times are epoch seconds."""

    due_since: float  # first due time; the age counts from here
    expires_at: float
    on_unknown: OnUnknown
    unknown_before: int  # earlier attempts with unknown result


@frozen
class RecipientOutcome:
    """Result for one recipient. `reply` is the text that is shown."""

    state: RecipientState
    reply: str | None


@frozen
class Settlement:
    """Changes made by one attempt, written in one commit under its lease."""

    event: Event
    due_at: float | None  # epoch seconds of the next attempt; None without one
    recipients: Mapping[str, RecipientOutcome]  # every attempted recipient, by address
    in_doubt: bool
    explanation: Explanation | None  # None if all were relayed
    bounces: tuple[Bounce, ...] = ()  # of recipients that failed

    @property
    def state(self) -> MessageState:
        """Next state of the message."""
        return next_state(MessageState.ACTIVE, self.event)


EXPIRED = Explanation(
    "It could not be sent before it expired.",
    "1. Read the cause in the last attempt. 2. Remove it. 3. Retry the email or submit it again.",
)
SUPERSEDED = Explanation(
    "A newer email with the same `coalesce` value replaced it before it was sent.",
    "Nothing to do. If every one of these emails is needed, submit them without `coalesce`.",
)
TO_SINK = Explanation(
    "Its API key has a sink: the email was accepted and stored, but is never sent.",
    "Nothing to do. To send such mail, use another key or remove the sink with `postern keys update`.",
)
SUPPRESSED = Explanation(
    "Every recipient is on the suppression list, so the email was not sent.",
    "1. Read in the suppression list why the address is there. 2. Remove it from the list. 3. Submit the email again.",
)
_TRACE = (
    "Search Message trace for its Message-ID. If it is there, run `postern emails confirm <id>`; "
    "if not, run `postern emails retry <id>`."
)
UNKNOWN_TWICE = Explanation(
    "Twice the connection was lost after the whole email was sent and before Exchange replied. It may have been "
    "delivered.",
    _TRACE,
)
UNKNOWN_HELD = Explanation(
    "The connection was lost after the whole email was sent and before Exchange replied. It may have been delivered.",
    _TRACE,
)
RESTORED = Explanation(
    "The database was restored from a backup in which this email waited. It may have been sent since that backup.",
    _TRACE,
)
CONFIRMED = Explanation(
    "The connection was lost before Exchange replied. An operator has confirmed that the email was delivered.",
    "Nothing to do.",
)
TRACED = Explanation(
    "The connection was lost before Exchange replied. Exchange's message trace contains the email: it was accepted.",
    "Nothing to do.",
)
REPORTED = Explanation(
    "The connection was lost before Exchange replied. A non-delivery report names the email: it was accepted.",
    "Nothing to do.",
)
UNSEEN = Explanation(
    "The connection was lost before Exchange replied, and Exchange has not seen the email: its message trace does not "
    "contain it.",
    "Retry the email (`postern emails retry <id>`): it is not sent twice. Or cancel it.",
)
ASSUMED_SENT = Explanation(
    "The connection was lost before Exchange replied. The email counts as sent because its on_unknown is assume_sent.",
    "Nothing to do. To see whether it was delivered, search Message trace for its Message-ID.",
)


def settle(message: ActiveMessage, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    """Return the settlement of an ACTIVE message from the verdict of each attempted recipient, by address.

    `now` is in epoch seconds; `jitter` in -1..1 spreads the next attempts.
    """
    if any(verdict.in_doubt for verdict in verdicts.values()):
        return _in_doubt(message, verdicts, now, jitter)
    return _settle(message, verdicts, now, jitter)


def _settle(message: ActiveMessage, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    pending = [verdict for verdict in verdicts.values() if verdict.action is Action.DEFER]
    recipients = {address: _outcome(verdict) for address, verdict in verdicts.items()}
    if not pending:
        return Settlement(Event.FINISH, None, recipients, False, _failed(verdicts))
    if now >= message.expires_at:
        return Settlement(Event.EXPIRE, None, expire(recipients), False, EXPIRED)
    why = pending[0].explanation
    if all(verdict.scope.beyond_message for verdict in pending):
        return Settlement(Event.GIVE_BACK, now, recipients, False, why)
    delay = _delay(pending, retry_schedule.retry_delay(now - message.due_since, jitter), len(pending) < len(verdicts))
    return Settlement(Event.DEFER, min(now + delay, message.expires_at), recipients, False, why)


def _delay(pending: list[Verdict], by_age: float, progress: bool) -> float:
    """Return the seconds to the next attempt: by age, and not less than the delays of the verdicts.

    With `progress` (other recipients were settled) and a delay in every verdict, the delays alone count: the remaining
    recipients of a 452 go in the next transaction (RFC 5321 §4.5.3.1.10).
    """
    named = [verdict.delay for verdict in pending if verdict.delay is not None]
    return max(named) if progress and len(named) == len(pending) else max([by_age, *named])


def expire(recipients: Mapping[str, RecipientOutcome]) -> dict[str, RecipientOutcome]:
    """Return the outcomes with pending recipients failed by age. The last reply stays."""
    return {
        address: RecipientOutcome(RecipientState.FAILED, outcome.reply or "expired")
        if outcome.state is RecipientState.PENDING
        else outcome
        for address, outcome in recipients.items()
    }


def _in_doubt(message: ActiveMessage, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    if message.on_unknown is OnUnknown.ASSUME_SENT:
        assumed = {address: _assume_sent(verdict) for address, verdict in verdicts.items()}
        settlement = _settle(message, assumed, now, jitter)
        return replace(settlement, in_doubt=True, explanation=settlement.explanation or ASSUMED_SENT)
    recipients = {address: _outcome(verdict) for address, verdict in verdicts.items()}
    if message.on_unknown is OnUnknown.RETRY_ONCE and message.unknown_before == 0:
        in_doubt = next(verdict for verdict in verdicts.values() if verdict.in_doubt)
        return Settlement(Event.DEFER, now + (in_doubt.delay or 0.0), recipients, True, in_doubt.explanation)
    explanation = UNKNOWN_TWICE if message.unknown_before else UNKNOWN_HELD
    return Settlement(Event.HOLD, None, recipients, True, explanation)


def _assume_sent(verdict: Verdict) -> Verdict:
    return verdict._replace(action=Action.RELAYED) if verdict.in_doubt else verdict


def _outcome(verdict: Verdict) -> RecipientOutcome:
    match verdict.action:
        case Action.RELAYED:
            return RecipientOutcome(RecipientState.RELAYED, verdict.reply)
        case Action.FAIL:
            return RecipientOutcome(RecipientState.FAILED, verdict.reply)
        case Action.DEFER:
            return RecipientOutcome(RecipientState.PENDING, verdict.reply)


def _failed(verdicts: Mapping[str, Verdict]) -> Explanation | None:
    return next((v.explanation for v in verdicts.values() if v.action is Action.FAIL), None)
