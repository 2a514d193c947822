"""A sentence and a mend for every state in which a person can meet a message. Pure; knows no store and no wire."""

from collections.abc import Mapping

from app.mail.erasure import ERASED
from app.mail.lifecycle import WAITING_STATES, MessageState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.timestamps import minute_text

_NOTHING = "Nothing to do."
QUEUED = Explanation("It waits for its turn.", _NOTHING)
ACTIVE = Explanation("It is being relayed now.", _NOTHING)
SENT = Explanation(
    "Office 365 has accepted it, which is not yet delivery.",
    "Nothing to do. Message trace in the Exchange admin center shows by its Message-ID what became of it.",
)
CANCELLED = Explanation("It was taken back before it was relayed.", "Send it anew if it is wanted after all.")
DEFERRED = Explanation("It was not relayed yet.", "Nothing to do; it is offered again by itself.")
HELD = Explanation("It is held until a person decides.", "Retry it, confirm that it has arrived, or cancel it.")
FAILED = Explanation("It was not relayed.", "Read the last reply for the cause, mend it, then retry the message.")

_ANEW = "Send it anew if it is still wanted: its content is not kept any more, so it cannot be retried."

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
    """Why a message stands where it does. `told` was kept with it; `relayed`: every recipient is; `scheduled_at` is in
    the future or None; `mailbox` is the one that its queue waits for, with its condition; None when one is open;
    `kept`: its content still is.

    A queued message has no reason of its own: what put it back was its mailbox's trouble (lifecycle, rule 3).
    """
    if recorded == ERASED:
        return ERASED
    if state in WAITING_STATES and scheduled_at is not None:
        return Explanation(
            f"It is to be sent at {minute_text(scheduled_at)}.", "Nothing to do; until then it can be cancelled."
        )
    if state in WAITING_STATES and mailbox is not None and mailbox[1].health is not Health.OPEN:
        return explain_mailbox(*mailbox)
    if recorded is None or state in _BEFORE_ATTEMPT:
        recorded = SENT if relayed and state is MessageState.DONE else _OTHER[state]
    return recorded if content_stored or relayed else Explanation(recorded.summary, _ANEW)


def explain_mailbox(name: str, condition: MailboxCondition) -> Explanation:
    """Why a mailbox relays nothing, as those read it whose messages wait."""
    why = fill_placeholders(condition.explanation or QUEUED, {"mailbox": name})
    rests = "Held" if condition.health is Health.HELD else "Paused"
    until = "" if condition.until is None else f", tried again at {minute_text(condition.until)}"
    return Explanation(
        f"{rests} since {minute_text(condition.since)}{until}: mailbox {name}. {why.summary} "
        "Its messages wait unspent and go by themselves afterwards.",
        why.fix,
    )


def fill_placeholders(explanation: Explanation, known: Mapping[str, str]) -> Explanation:
    """The same with each <name> of its fix that is known in its place."""
    return Explanation(explanation.summary, fill_text(explanation.fix, known))


def fill_text(text: str, known: Mapping[str, str]) -> str:
    """Return `text` with each <name> replaced by its value in `known`. Other names stay."""
    for name, value in known.items():
        text = text.replace(f"<{name}>", value)
    return text
