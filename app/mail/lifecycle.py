"""The life of a message as a table, and the one pure function that moves it on after an attempt.

Rule 1: every change of a message's state is a row of TRANSITIONS; what is not there cannot happen.
Rule 2: a message ends by age (`expires_at`), never by a count of attempts.
Rule 3: trouble beyond the message (mailbox, tenant, host) puts it back unspent; the mailbox waits, not the message.
Rule 4: an attempt in doubt is offered again only as `on_unknown` says, and never silently.
Rule 5: a recipient that was relayed or has failed is never offered again by itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from app.frozen import frozen
from app.mail import retry_schedule
from app.mail.message.message import OnUnknown
from app.mail.outcome.verdict import Action, Explanation, Verdict


class MessageState(StrEnum):
    """Where a message stands. Stored."""

    QUEUED = "queued"
    ACTIVE = "active"
    DEFERRED = "deferred"
    HELD = "held"
    DONE = "done"
    CANCELLED = "cancelled"


class RecipientState(StrEnum):
    """Where one recipient stands. Stored."""

    PENDING = "pending"
    RELAYED = "relayed"
    FAILED = "failed"


class LastEvent(StrEnum):
    """State of an email as callers and their SDKs read it. Computed from the message's state, never stored."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENT = "sent"
    DELIVERY_DELAYED = "delivery_delayed"
    FAILED = "failed"
    CANCELED = "canceled"


class Event(StrEnum):
    """What can befall a message."""

    CLAIM = "claim"  # a worker takes it: lease and open attempt
    GIVE_BACK = "give back"  # not judged: the trouble lies beyond it, or the worker stopped before offering it
    DEFER = "defer"  # some recipients are to be offered again later
    FINISH = "finish"  # every recipient is relayed or failed
    HOLD = "hold"  # the outcome is unknown, or a person said so
    RELEASE = "release"  # a person puts a held message back
    RETRY = "retry"  # a person puts the failed recipients of an ended message back
    EXPIRE = "expire"  # its age is over
    CANCEL = "cancel"  # the caller took it back
    CONFIRM = "confirm"  # a person says that it has arrived


_S, _E = MessageState, Event

TRANSITIONS: Mapping[MessageState, Mapping[Event, MessageState]] = {
    _S.QUEUED: {_E.CLAIM: _S.ACTIVE, _E.HOLD: _S.HELD, _E.EXPIRE: _S.DONE, _E.CANCEL: _S.CANCELLED},
    _S.ACTIVE: {
        _E.GIVE_BACK: _S.QUEUED,
        _E.DEFER: _S.DEFERRED,
        _E.FINISH: _S.DONE,
        _E.HOLD: _S.HELD,
        _E.EXPIRE: _S.DONE,
    },
    _S.DEFERRED: {_E.CLAIM: _S.ACTIVE, _E.HOLD: _S.HELD, _E.EXPIRE: _S.DONE, _E.CANCEL: _S.CANCELLED},
    _S.HELD: {_E.RELEASE: _S.QUEUED, _E.CANCEL: _S.CANCELLED, _E.CONFIRM: _S.DONE},
    _S.DONE: {_E.RETRY: _S.QUEUED},
    _S.CANCELLED: {},
}


class InvalidTransitionError(Exception):
    """A bug: `event` cannot befall a message in `state`."""


def next_state(state: MessageState, event: Event) -> MessageState:
    """The state after `event`. Raises ImpossibleTransition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InvalidTransitionError(f"{event} cannot befall a message that is {state}") from None


def sources(event: Event) -> frozenset[MessageState]:
    """The states in which `event` is possible."""
    return frozenset(state for state, row in TRANSITIONS.items() if event in row)


WAITING_STATES = sources(Event.CLAIM)  # QUEUED and DEFERRED: a worker may claim the message when it is due
ENDED_STATES = frozenset({MessageState.DONE, MessageState.CANCELLED})


@frozen
class DeliveryState:
    """What is known of an ACTIVE message before its attempt is settled. Times are epoch seconds."""

    due_since: float  # when it was first to be relayed: its age counts from here
    expires_at: float
    on_unknown: OnUnknown
    unknown_before: int  # attempts of it that were in doubt before this one


@frozen
class Outcome:
    """One recipient after the attempt. `reply` is what a person reads."""

    state: RecipientState
    reply: str | None


@frozen
class Settlement:
    """What one attempt changes: written in one commit, fenced by the lease."""

    event: Event
    due_at: float | None  # epoch seconds of the next offer; None when there is none
    recipients: Mapping[str, Outcome]  # every recipient that was offered, by address
    in_doubt: bool
    explanation: Explanation | None  # None when all were relayed

    @property
    def state(self) -> MessageState:
        """The state the message takes."""
        return next_state(MessageState.ACTIVE, self.event)


EXPIRED = Explanation(
    "It was not relayed before its time was over.",
    "Read the last attempt for the cause, mend it, then retry the message or send it anew.",
)
SUPERSEDED = Explanation(
    "A newer message with the same `coalesce` value took its place before it was relayed.",
    "Nothing to do. Leave `coalesce` out if every one of them is to be relayed.",
)
SUNK = Explanation(
    "Its API key has a sink for recipients: it was accepted and recorded, and is never relayed.",
    "Nothing to do. Send such mail with another key, or take the sink off with `postern keys update`.",
)
_TRACE = (
    "Look in Message trace for its Message-ID: if it is there, `postern emails confirm <id>`; "
    "if not, `postern emails retry <id>`."
)
UNKNOWN_TWICE = Explanation(
    "Twice the connection died between the end of the message and Exchange's answer, so it may have been delivered.",
    _TRACE,
)
UNKNOWN_HELD = Explanation(
    "The connection died between the end of the message and Exchange's answer, so it may have been delivered.",
    _TRACE,
)
RESTORED = Explanation(
    "It waited when the backup was made that was restored since, so it may have been relayed already.",
    _TRACE,
)
CONFIRMED = Explanation(
    "The connection died before Exchange's answer to the whole message; a person has confirmed that it arrived.",
    "Nothing to do.",
)
ASSUMED_SENT = Explanation(
    "The connection died before Exchange's answer to the whole message; it counts as sent, as on_unknown asks.",
    "Nothing to do. Message trace shows by its Message-ID whether it arrived.",
)


def settle(standing: DeliveryState, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    """What becomes of an ACTIVE message judged so, one verdict for each recipient offered.

    `now` is in epoch seconds; `jitter` in -1..1 spreads the next offers. Pure.
    """
    if any(verdict.in_doubt for verdict in verdicts.values()):
        return _in_doubt(standing, verdicts, now, jitter)
    return _settle(standing, verdicts, now, jitter)


def _settle(standing: DeliveryState, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    pending = [verdict for verdict in verdicts.values() if verdict.action is Action.DEFER]
    recipients = {address: _outcome(verdict) for address, verdict in verdicts.items()}
    if not pending:
        return Settlement(Event.FINISH, None, recipients, False, _failed(verdicts))
    if now >= standing.expires_at:
        return Settlement(Event.EXPIRE, None, expire(recipients), False, EXPIRED)
    why = pending[0].explanation
    if all(verdict.scope.beyond_message for verdict in pending):
        return Settlement(Event.GIVE_BACK, now, recipients, False, why)
    delay = _delay(pending, retry_schedule.retry_delay(now - standing.due_since, jitter), len(pending) < len(verdicts))
    return Settlement(Event.DEFER, min(now + delay, standing.expires_at), recipients, False, why)


def _delay(pending: list[Verdict], by_age: float, progress: bool) -> float:
    """Seconds to the next offer: as the age says and not sooner than the verdicts do.

    A transaction that got on with some, while every verdict on the others names a delay, needs no rest beyond
    that delay: the others go at once in the next one (RFC 5321 §4.5.3.1.10).
    """
    named = [verdict.delay for verdict in pending if verdict.delay is not None]
    return max(named) if progress and len(named) == len(pending) else max([by_age, *named])


def expire(recipients: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Whoever is still pending has failed by age; the last reply stays readable."""
    return {
        address: Outcome(RecipientState.FAILED, outcome.reply or "expired")
        if outcome.state is RecipientState.PENDING
        else outcome
        for address, outcome in recipients.items()
    }


def _in_doubt(standing: DeliveryState, verdicts: Mapping[str, Verdict], now: float, jitter: float) -> Settlement:
    if standing.on_unknown is OnUnknown.ASSUME_SENT:
        assumed = {address: _assume_sent(verdict) for address, verdict in verdicts.items()}
        settlement = _settle(standing, assumed, now, jitter)
        return replace(settlement, in_doubt=True, explanation=settlement.explanation or ASSUMED_SENT)
    recipients = {address: _outcome(verdict) for address, verdict in verdicts.items()}
    if standing.on_unknown is OnUnknown.RETRY_ONCE and standing.unknown_before == 0:
        doubted = next(verdict for verdict in verdicts.values() if verdict.in_doubt)
        return Settlement(Event.DEFER, now + (doubted.delay or 0.0), recipients, True, doubted.explanation)
    explanation = UNKNOWN_TWICE if standing.unknown_before else UNKNOWN_HELD
    return Settlement(Event.HOLD, None, recipients, True, explanation)


def _assume_sent(verdict: Verdict) -> Verdict:
    return verdict._replace(action=Action.RELAYED) if verdict.in_doubt else verdict


def _outcome(verdict: Verdict) -> Outcome:
    match verdict.action:
        case Action.RELAYED:
            return Outcome(RecipientState.RELAYED, verdict.reply)
        case Action.FAIL:
            return Outcome(RecipientState.FAILED, verdict.reply)
        case Action.DEFER:
            return Outcome(RecipientState.PENDING, verdict.reply)


def _failed(verdicts: Mapping[str, Verdict]) -> Explanation | None:
    return next((v.explanation for v in verdicts.values() if v.action is Action.FAIL), None)
