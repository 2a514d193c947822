"""Cause of a bounce or a delay, from the details of the trace, and its type as Resend's webhooks have it. Pure."""

import re
from collections.abc import Sequence
from enum import StrEnum

from app.frozen import frozen
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceDetail

MAX_CAUSE = 500  # characters of the server's words that are stored

_CODE = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")  # RFC 3463 §2
_LAST_ERROR = re.compile(r"\{LED=([^}]*)\}")  # the last reply of the next server
_EVENTS = {DeliveryState.BOUNCED: ("Fail", "Drop"), DeliveryState.DELAYED: ("Defer",)}


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


def classify(code: str) -> tuple[BounceType, str]:
    """Return type and subtype of a bounce by its enhanced status code (RFC 3463 §3).

    Permanent: the address or its domain is wrong. Transient: another email may be delivered later.
    """
    if not code:
        return BounceType.UNDETERMINED, "Undetermined"
    kind, subject, detail = code.split(".")
    if kind == "4":
        return BounceType.TRANSIENT, "General"
    if (subject, detail) == ("2", "2"):
        return BounceType.TRANSIENT, "MailboxFull"
    if (subject, detail) in (("2", "3"), ("3", "4")):
        return BounceType.TRANSIENT, "MessageTooLarge"
    if subject in ("6", "7"):
        return BounceType.TRANSIENT, "ContentRejected"
    if subject in ("1", "2", "4"):
        return BounceType.PERMANENT, "General"
    return BounceType.UNDETERMINED, "Undetermined"
