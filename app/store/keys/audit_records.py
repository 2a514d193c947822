"""Arguments and results of the audit. Times are epoch seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Action(StrEnum):
    """Action that the audit records."""

    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    MAILBOX_HELD = "mailbox.held"
    MAILBOX_RELEASED = "mailbox.released"
    EMAIL_RETRIED = "email.retried"
    EMAIL_CONFIRMED = "email.confirmed"
    EMAIL_CANCELED = "email.canceled"
    EMAIL_ERASED = "email.erased"
    EMAIL_CONTENT_READ = "email.content_read"
    EMAIL_RESCHEDULED = "email.rescheduled"
    EMAIL_TESTED = "email.tested"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_REMOVED = "suppression.removed"
    SEND_REFUSED = "send.refused"


@dataclass(frozen=True, slots=True)
class Actor:
    """Originator of a change: an API key with its id, or another named source, such as the command line."""

    name: str
    key_id: UUID | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One action, and the `subject` that was changed."""

    at: float
    by: Actor
    action: Action
    subject: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CountedEntry:
    """Equal refusals of a key, `times` times until `last_at`. `period` identifies them and the hour."""

    entry: Entry
    last_at: float
    times: int
    period: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A stored entry: it happened `times` times, first at the entry's time and last at `last_at`."""

    id: UUID
    entry: Entry
    last_at: float
    times: int
