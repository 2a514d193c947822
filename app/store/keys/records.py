"""What of the API keys goes into the store and comes out, beside the key itself. Times are epoch seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.mail.key_policy import Policy
from app.mail.rate_limit import Usage
from app.store.keys.audit_records import Actor


class Permission(StrEnum):
    """What an API key may do (api.md §5)."""

    FULL_ACCESS = "full_access"
    SENDING_ACCESS = "sending_access"
    SEND_ONLY = "send_only"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as stored. Its secrets are not here, not even as hashes."""

    id: UUID
    name: str
    permission: Permission
    created_at: float
    policy: Policy = field(default_factory=Policy)
    disabled: bool = False
    revoked_at: float | None = None

    @property
    def scope(self) -> UUID | None:
        """Whose mail it sees: its own; with full access everybody's, which is None."""
        return None if self.permission is Permission.FULL_ACCESS else self.id

    @property
    def is_usable(self) -> bool:
        """Whether it may be used at all."""
        return self.revoked_at is None and not self.disabled


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One of a key's secrets as people see it. `expires_at`: until when one that was replaced still works."""

    created_at: float
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as people see it. `secrets` are the newest first, those too whose time is over."""

    key: Key
    secrets: tuple[KeySecret, ...]
    last_used_at: float | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """The key whose secret somebody came with. `until`: when that secret ends; None: once it is replaced."""

    key: Key
    until: float | None
    last_used_at: float | None
    usage: Usage | None  # None: it has no budget


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to keep, and the SHA-256 of its secret."""

    key: Key
    digest: bytes
    by: Actor | None


@dataclass(frozen=True, slots=True)
class KeyRevision:
    """Other values for some of a key's parts: `name`, `permission`, `disabled`, and those of its policy."""

    id: UUID
    changes: Mapping[str, Any]
    now: float
    by: Actor | None


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """A new secret for a key, from `now`. Those before it work until `old_until` at most."""

    id: UUID
    digest: bytes
    now: float
    old_until: float
    by: Actor | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that is to count no more, from `now`."""

    id: UUID
    now: float
    by: Actor | None
