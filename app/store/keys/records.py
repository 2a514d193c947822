"""API keys as stored, with arguments and results of their operations: values that contain no SQL.

Times are epoch seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.mail.key_policy import Policy, Usage
from app.store.keys.audit import Actor


class Permission(StrEnum):
    """Permission of an API key."""

    FULL_ACCESS = "full_access"
    SENDING_ACCESS = "sending_access"
    SEND_ONLY = "send_only"


class KeyState(StrEnum):
    """State of an API key as people see it."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as stored, without its secrets and their hashes."""

    id: UUID
    name: str
    permission: Permission
    created_at: float
    policy: Policy = field(default_factory=Policy)
    disabled: bool = False
    revoked_at: float | None = None

    @property
    def state(self) -> KeyState:
        """State of the key; a revoked one may be disabled as well."""
        if self.revoked_at:
            return KeyState.REVOKED
        return KeyState.DISABLED if self.disabled else KeyState.ENABLED

    @property
    def scope(self) -> UUID | None:
        """Key id that limits the visible mail; None: full access sees the mail of all keys."""
        return None if self.permission is Permission.FULL_ACCESS else self.id

    @property
    def is_usable(self) -> bool:
        """True unless the key is revoked or disabled."""
        return self.revoked_at is None and not self.disabled


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One secret of a key, without its value. `expires_at`: the end of a replaced secret."""

    created_at: float
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as listed. `secrets` are the newest first, expired ones too."""

    key: Key
    secrets: tuple[KeySecret, ...]
    last_used_at: float | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """The key found by a secret. `until`: the end of this secret; None: it has not been replaced."""

    key: Key
    until: float | None
    last_used_at: float | None
    usage: Usage | None  # None: it has no rate limit


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to store, and the SHA-256 of its secret."""

    key: Key
    digest: bytes  # SHA-256 of its secret
    by: Actor | None = None


@dataclass(frozen=True, slots=True)
class KeyRevision:
    """New values for some fields of a key: `name`, `permission`, `disabled` and the policy's fields."""

    id: UUID
    changes: Mapping[str, Any]
    now: float
    by: Actor | None


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """A new secret for a key from `now`. Older ones work until `old_until` at most."""

    id: UUID
    digest: bytes
    now: float
    old_until: float
    by: Actor | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key to revoke at `now`."""

    id: UUID
    now: float
    by: Actor | None = None
