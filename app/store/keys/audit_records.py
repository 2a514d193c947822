"""What of the audit goes into the store and comes out. Times are epoch seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Action(StrEnum):
    """What is written down."""

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
    SEND_REFUSED = "send.refused"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: the name of an API key and its id, or a name that says what else it was."""

    name: str
    key_id: UUID | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done, and to what."""

    at: float
    by: Actor
    action: Action
    subject: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The same refusal, or action, of a key, `times` times from `at` to `last_at`. `once` names it and its period."""

    entry: Entry
    last_at: float
    times: int
    once: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as read back: what happened `times` times, first at its own time and last at `last_at`."""

    id: UUID
    entry: Entry
    last_at: float
    times: int
