"""What a reply or its absence means for a message and for its mailbox. Types only; policy fills them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What becomes of the recipient."""

    RELAYED = "relayed"
    DEFER = "defer"
    FAIL = "fail"


class Scope(StrEnum):
    """Whose trouble it is. From MAILBOX up a message spends nothing: it waits (design guarantee 3)."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    MAILBOX = "mailbox"
    TENANT = "tenant"
    HOST = "host"

    @property
    def beyond_message(self) -> bool:
        """True when the mailbox pauses or holds rather than the message."""
        return self not in (Scope.RECIPIENT, Scope.MESSAGE)


class Confidence(StrEnum):
    """How sure it is that the judged reply really comes from smtp.office365.com:587 and means this."""

    HIGH = "H"  # Microsoft says so, or several independent logs
    MEDIUM = "M"  # one real log, or one good secondary source
    LOW = "L"  # inference, or seen elsewhere only


@dataclass(frozen=True, slots=True)
class Explanation:
    """Plain words for a person: what is so, and what mends it. Names in <angle brackets> are for the reader to fill."""

    summary: str
    fix: str


class Verdict(NamedTuple):
    """The judgement on one recipient of one attempt. A tuple, because one is made for every message."""

    action: Action
    scope: Scope
    explanation: Explanation
    rule: str  # the name of the policy row that judged
    reply: str | None = None  # the reply that was judged, as a person reads it
    in_doubt: bool = False  # the upstream may have accepted it
    delay: float | None = None  # seconds to the message's next offer; None: by its age
    pause: float = 0.0  # seconds the mailbox rests; together with `hold`: the first probe comes not sooner
    hold: bool = False  # the mailbox rests until a probe or a person
    reduce_concurrency: bool = False  # fewer connections for a while: the mailbox was faster than Exchange allows
    lockout_class: str = ""  # class of errors that Exchange answers with a lockout when it repeats; "" for none
    known: bool = True  # False: no row for Exchange knows the reply, it was judged by its code alone
    confidence: Confidence = Confidence.HIGH
