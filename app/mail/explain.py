"""Explanation (summary and fix) of every state of a message, of its deliveries and bounces, and of a mailbox. Pure.

It also replaces the <names> in an explanation by their values.
"""

from collections.abc import Mapping, Sequence

from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import ARRIVED, DeliveryState
from app.mail.erasure import ERASED
from app.mail.lifecycle import WAITING_STATES, MessageState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.bounces.lookup import explain_bounce
from app.mail.outcome.verdict import Explanation
from app.mail.times import minute_text

_NOTHING = "Nothing to do."
QUEUED = Explanation("It waits in the queue.", _NOTHING)
ACTIVE = Explanation("It is being sent now.", _NOTHING)
SENT = Explanation(
    "Office 365 has accepted the email. This does not mean that it was delivered.",
    "Nothing to do. To see whether it was delivered, search Message trace (Exchange admin center) for its Message-ID.",
)
DELIVERED = Explanation(
    "The email was delivered: the server of every recipient has accepted it, according to Exchange's message trace.",
    "Nothing to do.",
)
TWICE = Explanation(
    "Exchange has accepted this email twice: its message trace contains two messages with its Message-ID, and the "
    "recipient has two copies.",
    "Nothing to do. To rule this out for further emails, submit them with on_unknown: hold.",
)
QUARANTINED = Explanation(
    "Exchange has put the email into quarantine for a recipient.",
    "An administrator can release it at https://security.microsoft.com under Review, Quarantine.",
)
CANCELLED = Explanation("It was cancelled before it was sent.", "If it is needed after all, submit it again.")
DEFERRED = Explanation("It has not been sent yet.", "Nothing to do: Postern tries again automatically.")
HELD = Explanation("It is held until an operator decides.", "Retry it, confirm that it was delivered, or cancel it.")
FAILED = Explanation("It was not sent.", "1. Read the cause in the last reply. 2. Remove it. 3. Retry the email.")

_SUBMIT_AGAIN = "If it is still needed, submit it again: its content was removed, so it cannot be retried."

_OTHER = {
    MessageState.QUEUED: QUEUED,
    MessageState.ACTIVE: ACTIVE,
    MessageState.DEFERRED: DEFERRED,
    MessageState.HELD: HELD,
    MessageState.DONE: FAILED,
    MessageState.CANCELLED: CANCELLED,
}
_BEFORE_ATTEMPT = frozenset({MessageState.QUEUED, MessageState.ACTIVE})  # a stored reason is of an earlier attempt


def explain(
    state: MessageState,
    recorded: Explanation | None,
    *,
    relayed: bool,
    scheduled_at: float | None = None,
    mailbox: tuple[str, MailboxCondition] | None = None,
    content_stored: bool = True,
) -> Explanation:
    """Return the explanation of a message's state.

    `recorded` is the explanation stored with the message; `relayed`: all recipients were relayed; `scheduled_at` is in
    the future or None; `mailbox` is the mailbox that the queue waits for, None if one is open; `content_stored`: the
    content was not removed. A queued message has no explanation of its own: a mailbox problem put it back (lifecycle,
    rule 3).
    """
    if recorded == ERASED:
        return ERASED
    if state in WAITING_STATES and scheduled_at is not None:
        return Explanation(
            f"It is scheduled for {minute_text(scheduled_at)}.", "Nothing to do. Until then it can be cancelled."
        )
    if state in WAITING_STATES and mailbox is not None and mailbox[1].health is not Health.OPEN:
        return explain_mailbox(*mailbox)
    if recorded is None or state in _BEFORE_ATTEMPT:
        recorded = SENT if relayed and state is MessageState.DONE else _OTHER[state]
    return recorded if content_stored or relayed else Explanation(recorded.summary, _SUBMIT_AGAIN)


def explain_cause(state: DeliveryState, cause: Cause) -> str | None:
    """Return the meaning of the cause of a bounce or a delay in plain words; None for other states."""
    if state not in (DeliveryState.BOUNCED, DeliveryState.DELAYED):
        return None
    return explain_bounce(cause.code, cause.text).rule.explanation.summary


def explain_delivery(
    relayed: Explanation, deliveries: Sequence[tuple[DeliveryState, Cause, bool] | None]
) -> Explanation:
    """Return the explanation of a relayed email from its deliveries: state, cause, and whether there are two copies.

    A recipient without a report has None. `relayed` is the explanation without any report.
    """
    known = [delivery for delivery in deliveries if delivery is not None]
    if any(twice for _, _, twice in known):
        return TWICE
    for state, cause, _ in known:
        if state is DeliveryState.BOUNCED:
            return explain_bounce(cause.code, cause.text).rule.explanation
        if state is DeliveryState.QUARANTINED:
            return QUARANTINED
    if relayed == SENT and len(known) == len(deliveries) and all(state in ARRIVED for state, _, _ in known):
        return DELIVERED
    return relayed


def explain_mailbox(name: str, condition: MailboxCondition) -> Explanation:
    """Return the reason why a mailbox sends nothing, for the explanation of a waiting message."""
    why = fill_placeholders(condition.explanation or QUEUED, {"mailbox": name})
    state_text = "held" if condition.health is Health.HELD else "paused"
    until = "" if condition.until is None else f", next attempt at {minute_text(condition.until)}"
    return Explanation(
        f"Mailbox {name} has been {state_text} since {minute_text(condition.since)}{until}. {why.summary} "
        "Its emails wait in the queue and are sent when it works again.",
        why.fix,
    )


def fill_placeholders(explanation: Explanation, known: Mapping[str, str]) -> Explanation:
    """Return the explanation with each <name> of its fix replaced by its value in `known`."""
    return Explanation(explanation.summary, fill_text(explanation.fix, known))


def fill_text(text: str, known: Mapping[str, str]) -> str:
    """Return `text` with each <name> replaced by its value in `known`. Other names stay."""
    for name, value in known.items():
        text = text.replace(f"<{name}>", value)
    return text
