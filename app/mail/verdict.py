"""What a reply or its absence means for a message and for its mailbox. Types only; policy fills them."""

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Plain words for a person: what is so, and what mends it."""

    summary: str
    fix: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one recipient of one attempt."""

    action: Action
    scope: Scope
    explanation: Explanation
    rule: str  # the name of the policy row that judged
    reply: str | None = None  # the reply that was judged, as a person reads it
    in_doubt: bool = False  # the upstream may have accepted it
    delay: float = 0.0  # seconds: not sooner than this
    pause: float = 0.0  # seconds the mailbox rests
    hold: bool = False  # the mailbox rests until a probe or a person
