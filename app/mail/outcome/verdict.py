"""Verdict on one recipient of a delivery attempt, with its effect on the mailbox and its explanation. Types only."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """Result for the recipient."""

    RELAYED = "relayed"
    DEFER = "defer"
    FAIL = "fail"


class Scope(StrEnum):
    """Scope of a problem. From MAILBOX up the message waits, without using up an attempt (design guarantee 3)."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    MAILBOX = "mailbox"
    TENANT = "tenant"
    HOST = "host"

    @property
    def beyond_message(self) -> bool:
        """True if the mailbox waits instead of the message."""
        return self not in (Scope.RECIPIENT, Scope.MESSAGE)


class Responsible(StrEnum):
    """Party responsible for a refusal: the one that can remove its cause."""

    SENDER = "sender"  # setup of the sender's mailbox, organization or domain, or the message itself
    ADDRESS = "address"  # the recipient's address is wrong or dead
    RECEIVER = "receiver"  # policy, limits or servers of the recipient's organization
    REPUTATION = "reputation"  # of the sender's mail, organization or IP address
    MICROSOFT = "microsoft"  # a fault or a limit of Office 365


class LoginMethod(StrEnum):
    """Method by which a mailbox logs in. The same reply can need another fix for each."""

    PASSWORD = "password"  # noqa: S105 - a name
    OAUTH = "oauth"


class Confidence(StrEnum):
    """Confidence that Office 365 sends this (a rule's reply on port 587, a bounce's code) with this meaning."""

    HIGH = "H"  # documented by Microsoft, or several independent logs
    MEDIUM = "M"  # one real log, or one good secondary source
    LOW = "L"  # inferred, or seen elsewhere only


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation for people: a summary and a fix. Names in <angle brackets> are placeholders."""

    summary: str
    fix: str


class Verdict(NamedTuple):
    """Verdict on one recipient of one attempt. A tuple for speed: every message has one."""

    action: Action
    scope: Scope
    explanation: Explanation
    rule: str  # name of the policy rule
    reply: str | None = None  # the reply as it is shown
    in_doubt: bool = False  # the server may have accepted it
    delay: float | None = None  # seconds to the next attempt; None: by age
    pause: float = 0.0  # seconds; with `hold` the earliest time of the first probe
    hold: bool = False  # the mailbox waits for a probe or an operator
    reduce_concurrency: bool = False  # fewer connections for a while
    lockout_class: str = ""  # class of repeated errors that lead to a lockout; "" for none
    known: bool = True  # False: no rule of Exchange matched, the code alone decided
    confidence: Confidence = Confidence.HIGH
