"""Cause of a bounce or a delay, from the details of the trace, and its type as Resend's webhooks have it. Pure."""

import re
from collections.abc import Sequence
from enum import StrEnum

from app.frozen import frozen
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceDetail
from app.mail.office365.bounces.lookup import explain_bounce
from app.mail.outcome.verdict import Responsible

MAX_CAUSE = 500  # characters of the server's words that are stored

_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")  # RFC 3463 §2
_LAST_ERROR = re.compile(r"\{LED=([^}]*)\}")  # the last reply of the next server
_EVENTS = {DeliveryState.BOUNCED: ("Fail", "Drop"), DeliveryState.DELAYED: ("Defer",)}

_TRANSIENT: dict[tuple[int, ...], str] = {  # by subject and detail, or by subject alone
    (2, 2): "MailboxFull",
    (2, 3): "MessageTooLarge",
    (3, 4): "MessageTooLarge",
    (1,): "General",
    (2,): "General",
    (4,): "General",
    (6,): "ContentRejected",
    (7,): "ContentRejected",
}


class BounceType(StrEnum):
    """Type of a bounce in a webhook event."""

    PERMANENT = "Permanent"
    TRANSIENT = "Transient"
    UNDETERMINED = "Undetermined"


@frozen
class Cause:
    """Reason of a bounce or a delay: the enhanced status code ("" if none is known) and the server's words."""

    code: str
    text: str


NO_CAUSE = Cause("", "")


def cause_of(details: Sequence[TraceDetail], state: DeliveryState) -> Cause:
    """Return the cause in the last of the details that explains this state; NO_CAUSE if there is none."""
    wanted = _EVENTS.get(state, ())
    for detail in reversed(details):
        if detail.event in wanted and detail.description:
            last_error = _LAST_ERROR.search(detail.description)
            text = " ".join((last_error[1] if last_error else detail.description).split())
            code = _CODE.search(text)
            return Cause(code[1] if code else "", text[:MAX_CAUSE])
    return NO_CAUSE


def classify(cause: Cause) -> tuple[BounceType, str]:
    """Return type and subtype of a bounce by its enhanced status code (RFC 3463 §3).

    Permanent: the recipient's address is wrong or dead, so that callers remove it. Transient: another email may be
    delivered, or the sender has to change something first.
    """
    bounce = explain_bounce(cause.code, cause.text)
    if bounce.status is None:
        return BounceType.UNDETERMINED, "Undetermined"
    if bounce.permanent and bounce.rule.responsible is Responsible.ADDRESS:
        return BounceType.PERMANENT, "General"
    if bounce.status.klass == 4:
        return BounceType.TRANSIENT, "General"
    kind = _TRANSIENT.get(bounce.status[1:]) or _TRANSIENT.get(bounce.status[1:2])
    return (BounceType.TRANSIENT, kind) if kind else (BounceType.UNDETERMINED, "Undetermined")
