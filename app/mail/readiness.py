"""Readiness of an instance, with reasons in plain words. Pure.

Rule 1: without a database that commits, or with another schema, no email can be stored: `not_ready`.
Rule 2: problems of mailboxes, even of all, are `degraded`: emails are accepted and wait. `not_ready` would make the
gateway remove every replica and refuse that mail (design guarantee 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import Health, MailboxCondition, as_of
from app.mail.outcome.fix_steps import steps_of
from app.mail.outcome.verdict import Explanation


class Status(StrEnum):
    """Readiness as a gateway reads it."""

    READY = "ready"
    DEGRADED = "degraded"  # it accepts emails, and something has to be fixed
    NOT_READY = "not_ready"  # callers should use another instance


class Check(StrEnum):
    """Subject of a check. A deep check adds the steps of `postern check`."""

    PROCESS = "process"
    STORE = "store"
    SCHEMA = "schema"
    DISK = "disk"
    MAILBOX = "mailbox"


_CRITICAL_CHECKS = frozenset({Check.PROCESS, Check.STORE, Check.SCHEMA})


@dataclass(frozen=True, slots=True)
class Reason:
    """Problem that was found. `mailbox` is "" if it concerns none or all of them."""

    check: str
    explanation: Explanation
    mailbox: str = ""
    critical: bool = False  # no email can be accepted, even if the check alone is not critical

    def as_json(self, *, names: bool) -> dict[str, Any]:
        """Return the JSON object; without `names` it does not disclose mailboxes."""
        mailbox = {"mailbox": self.mailbox} if names and self.mailbox else {}
        explanation = fill_placeholders(self.explanation, mailbox)
        fix = explanation.fix
        return {"check": self.check, **mailbox, "summary": explanation.summary, "fix": fix, "steps": [*steps_of(fix)]}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness with its reasons. `relaying`: at least one mailbox is not held."""

    reasons: tuple[Reason, ...]
    relaying: bool

    @property
    def status(self) -> Status:
        """Status by the most serious reason."""
        if any(reason.critical or reason.check in _CRITICAL_CHECKS for reason in self.reasons):
            return Status.NOT_READY
        return Status.DEGRADED if self.reasons else Status.READY


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """Findings for every mailbox at `at` (epoch seconds), as `postern check` has them, and the reasons of failures."""

    at: float
    findings: tuple[Mapping[str, Any], ...]
    reasons: tuple[Reason, ...]


STOPPING = Reason(Check.PROCESS, Explanation("Postern is stopping.", "Nothing to do. Send to another instance."))
NO_DATABASE = Reason(
    Check.STORE,
    Explanation(
        "The database cannot be written to, so no email can be accepted.",
        "Check that the database answers and that its disk has free space. The log has the cause under store.failed.",
    ),
)
OTHER_SCHEMA = Reason(
    Check.SCHEMA,
    Explanation(
        "The database has the schema of another version of Postern.",
        "If this version is newer, run `postern migrate`. Otherwise start the version that migrated the database.",
    ),
)
DISK_ALMOST_FULL = Reason(
    Check.DISK,
    Explanation(
        "The disk of the database is almost full. When it is full, no email can be accepted.",
        "Free space on the disk, enlarge it, or set shorter retention periods.",
    ),
)
DISK_FULL = Reason(
    Check.DISK,
    Explanation(
        "The disk of the database has less free space than is reserved (POSTERN_MIN_FREE_BYTES), so no email is "
        "accepted. Emails that were accepted before are still sent.",
        "Free space on the disk or enlarge it. Within a second emails are accepted again.",
    ),
    critical=True,
)
_UNKNOWN = Explanation(
    "No relay process has taken over the mailbox yet.",
    "Check that a Postern with the role all or relay runs on this database.",
)

_HELD_BY_OPERATOR = Explanation(
    "An operator holds a mailbox; its emails wait.", "Release it with `postern mailboxes release <mailbox>`."
)


def mailbox_reasons(conditions: Mapping[str, MailboxCondition | None], now: float) -> tuple[list[Reason], bool]:
    """Return the reason for each mailbox that sends nothing, and whether any mailbox is not held.

    A condition of None means that no relay has taken the mailbox over.
    """
    reasons, relaying = [], False
    for name, stored in conditions.items():
        condition = stored and as_of(stored, now, 0)
        relaying = relaying or condition is None or condition.health is not Health.HELD
        if (explanation := _explanation(condition)) is not None:
            reasons.append(Reason(Check.MAILBOX, explanation, name))
    return reasons, relaying


def _explanation(condition: MailboxCondition | None) -> Explanation | None:
    if condition is None:
        return _UNKNOWN
    if condition.health is Health.OPEN:
        return None
    if condition.health is Health.HELD and condition.until is None:
        return _HELD_BY_OPERATOR  # the operator's own reason is only in GET /mailboxes, which needs a key
    state_text = "held" if condition.health is Health.HELD else "paused"
    recorded = condition.explanation or Explanation("", "Nothing to do.")
    return Explanation(
        f"A mailbox is {state_text}: {recorded.summary} Its emails wait and are sent when it works again.",
        recorded.fix,
    )
