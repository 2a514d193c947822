"""The API key of the setting POSTERN_API_KEY: one key, whose only secret is the value of the setting.

Its id is a UUIDv5 of its first secret; other keys have other UUID versions. A new secret in the setting replaces the
former one immediately. A replaced or revoked secret is never accepted again, so a replica that restarts with an older
setting changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, Row, select, text

from app.store.db.writer import per_argument
from app.store.keys import keys
from app.store.keys.audit import Actor
from app.store.keys.records import AuthenticatedKey, Key, KeyRotation, NewKey, Permission, Revocation
from app.store.schema import api_keys

NAME = "POSTERN_API_KEY"
BY = Actor("settings")
_NAMESPACE = UUID("5f1f0a8e-9a55-4e0c-8d56-7c1d3a0f6b11")
_VERSION = 5
_LOCK = 0x706B6579  # PostgreSQL's advisory locks are numbers; this one is unique in Postern
_NOT_REVOKED = (
    select(api_keys.c.id, api_keys.c.created_at).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.id)
)


class SettingKeyOutcome(StrEnum):
    """Effect of the setting on the stored keys."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    REVOKED = "revoked"
    IGNORED = "ignored"  # its secret was replaced or revoked before


@dataclass(frozen=True, slots=True)
class Setting:
    """SHA-256 of the setting's secret at a start (epoch seconds); None: the setting is not given."""

    digest: bytes | None
    now: float


@dataclass(frozen=True, slots=True)
class Applied:
    """Outcome for the setting's key, and the former keys of the setting, which are revoked now."""

    outcome: SettingKeyOutcome
    key: UUID | None
    revoked: tuple[UUID, ...] = ()


def first_id(digest: bytes) -> UUID:
    """Return the id of the key whose first secret has this digest."""
    return uuid5(_NAMESPACE, digest.hex())


@per_argument
def apply(connection: Connection, setting: Setting) -> Applied:
    """Create, rotate or revoke the setting's key, so that only the given secret works."""
    if connection.dialect.name == "postgresql":  # an embedded database has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    live = [row for row in connection.execute(_NOT_REVOKED.with_for_update()) if row.id.version == _VERSION]
    if setting.digest is None:
        revoked = _revoke(connection, live, setting.now)
        return Applied(SettingKeyOutcome.REVOKED if revoked else SettingKeyOutcome.UNCHANGED, None, revoked)
    known = keys.find(connection, setting.digest)
    if known is not None and not _works(known, setting.now):
        return Applied(SettingKeyOutcome.IGNORED, known.key.id)
    if known is not None:
        return Applied(SettingKeyOutcome.UNCHANGED, known.key.id, _revoke(connection, live, setting.now, known.key.id))
    if not live:
        return Applied(SettingKeyOutcome.CREATED, _create(connection, setting.digest, setting.now))
    newest = max(live, key=lambda row: row.created_at).id
    keys.rotate(connection, [KeyRotation(newest, setting.digest, setting.now, setting.now, BY)])
    return Applied(SettingKeyOutcome.REPLACED, newest, _revoke(connection, live, setting.now, newest))


def _works(known: AuthenticatedKey, now: float) -> bool:
    return known.key.revoked_at is None and (known.until is None or now < known.until)


def _create(connection: Connection, digest: bytes, now: float) -> UUID:
    key = Key(first_id(digest), NAME, Permission.FULL_ACCESS, now)
    keys.create(connection, [NewKey(key, digest, BY)])
    return key.id


def _revoke(
    connection: Connection, live: Sequence[Row[*tuple[Any, ...]]], now: float, but: UUID | None = None
) -> tuple[UUID, ...]:
    others = tuple(row.id for row in live if row.id != but)
    keys.revoke(connection, [Revocation(id, now, BY) for id in others])
    return others
