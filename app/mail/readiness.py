"""Whether a Postern is of use just now, as a value with its reasons in words. Pure: whoever looks hands in the facts.

Rule 1: what cannot be kept must not be sent here: without a store that commits, or with another schema, `not_ready`.
Rule 2: what cannot be relayed just now can still be accepted: trouble of mailboxes is `degraded`, all of them included,
because taking every replica out of the gateway would refuse mail that is only to wait (design guarantee 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import Health, MailboxCondition, as_of
from app.mail.outcome.verdict import Explanation


class Status(StrEnum):
    """What the gateway before it, and a person, make of it."""

    READY = "ready"
    DEGRADED = "degraded"  # it accepts, and something is to be mended
    NOT_READY = "not_ready"  # callers should go elsewhere


class Check(StrEnum):
    """What is looked at each time. A deep look adds the doctor's own steps."""

    PROCESS = "process"
    STORE = "store"
    SCHEMA = "schema"
    DISK = "disk"
    MAILBOX = "mailbox"


_GRAVE = frozenset({Check.PROCESS, Check.STORE, Check.SCHEMA})


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is not as it should be. `mailbox` is "" where it is about none, or about all."""

    check: str
    why: Explanation
    mailbox: str = ""
    grave: bool = False  # no email can be accepted, whatever is checked

    def shown(self, *, names: bool) -> dict[str, str]:
        """For the wire; without `names` nobody learns which mailboxes there are."""
        why = fill_placeholders(self.why, {"mailbox": self.mailbox}) if names and self.mailbox else self.why
        whose = {"mailbox": self.mailbox} if names and self.mailbox else {}
        return {"check": self.check, **whose, "summary": why.summary, "fix": why.fix}


@dataclass(frozen=True, slots=True)
class Readiness:
    """How it stands. `relaying`: one mailbox at least is not held."""

    reasons: tuple[Reason, ...]
    relaying: bool

    @property
    def status(self) -> Status:
        """The gravest of the reasons decides."""
        if any(reason.grave or reason.check in _GRAVE for reason in self.reasons):
            return Status.NOT_READY
        return Status.DEGRADED if self.reasons else Status.READY


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """What the doctor found at every mailbox at the moment `at` (epoch seconds): each finding as `postern check` gives
    it, and of those that failed the reason."""

    at: float
    findings: tuple[Mapping[str, Any], ...]
    reasons: tuple[Reason, ...]


STOPPING = Reason(Check.PROCESS, Explanation("Postern is stopping.", "Nothing to do: send to another instance."))
NO_DATABASE = Reason(
    Check.STORE,
    Explanation(
        "The email store takes nothing at the moment, so no email can be accepted.",
        "See that the database answers and that its disk has room; the log says why under store.failed.",
    ),
)
OTHER_SCHEMA = Reason(
    Check.SCHEMA,
    Explanation(
        "The database has the schema of another version of Postern.",
        "Run the version that has migrated it, or `postern migrate` if this one is the newer.",
    ),
)
LITTLE_ROOM = Reason(
    Check.DISK,
    Explanation(
        "The disk of the database is almost full; when it is, no email can be accepted.",
        "Make room on it or make it larger; shorter retention keeps less.",
    ),
)
NO_ROOM = Reason(
    Check.DISK,
    Explanation(
        "The disk of the database has less free space than is reserved (POSTERN_MIN_FREE_BYTES), so no email is "
        "accepted. Mail that was accepted is relayed on.",
        "Make room on the disk or make it larger; emails are accepted again by themselves within a second.",
    ),
    grave=True,
)
_UNKNOWN = Explanation(
    "No relay has taken the mailbox over yet.", "See that a Postern with the role all or relay runs on this database."
)

_BY_PERSON = Explanation(
    "A mailbox is held by a person; its messages wait.", "Open it with `postern mailboxes release <mailbox>`."
)


def of_mailboxes(conditions: Mapping[str, MailboxCondition | None], now: float) -> tuple[list[Reason], bool]:
    """Why each mailbox that relays nothing does not, and whether any is not held. None: no relay has it yet."""
    reasons, relaying = [], False
    for name, kept in conditions.items():
        condition = kept and as_of(kept, now, 0)
        relaying = relaying or condition is None or condition.health is not Health.HELD
        if (why := _why(condition)) is not None:
            reasons.append(Reason(Check.MAILBOX, why, name))
    return reasons, relaying


def _why(condition: MailboxCondition | None) -> Explanation | None:
    if condition is None:
        return _UNKNOWN
    if condition.health is Health.OPEN:
        return None
    if condition.health is Health.HELD and condition.until is None:
        return _BY_PERSON  # without the words that were given for it: GET /mailboxes has them, and asks for a key
    rests = "held" if condition.health is Health.HELD else "paused"
    told = condition.explanation or Explanation("", "Nothing to do.")
    return Explanation(f"A mailbox is {rests}: {told.summary} Its messages wait and go by themselves.", told.fix)
