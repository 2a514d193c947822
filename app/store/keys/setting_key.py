"""The API key that POSTERN_API_KEY gives: one key, with the setting's secret as its only one.

Its id is of version 5, made from its first secret; those of other keys are of other versions. A new secret in the
setting replaces the one before, at once. A secret that was replaced or revoked does not come back, so a replica that is
started again with an older setting changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, Row, select, text

from app.store.keys import keys
from app.store.keys.audit_records import Actor
from app.store.keys.records import AuthenticatedKey, Key, KeyRotation, NewKey, Permission, Revocation
from app.store.schema import api_keys

NAME = "POSTERN_API_KEY"
BY = Actor("settings")
_NAMESPACE = UUID("5f1f0a8e-9a55-4e0c-8d56-7c1d3a0f6b11")
_VERSION = 5
_LOCK = 0x706B6579  # any number that only this has among Postern's: PostgreSQL's advisory locks are named by numbers
_LIVE = select(api_keys.c.id, api_keys.c.created_at).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.id)


class Outcome(StrEnum):
    """What the setting has changed."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    REVOKED = "revoked"
    IGNORED = "ignored"  # its secret was replaced or revoked before


@dataclass(frozen=True, slots=True)
class Setting:
    """The SHA-256 of the setting's secret at a start (epoch seconds); None: the setting is not given."""

    digest: bytes | None
    now: float


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome for the setting's key, and the other keys that came from the setting, which are revoked now."""

    outcome: Outcome
    key: UUID | None
    revoked: tuple[UUID, ...] = ()


def first_id(digest: bytes) -> UUID:
    """The id of the key if this is the digest of its first secret."""
    return uuid5(_NAMESPACE, digest.hex())


def apply(connection: Connection, batch: Sequence[Setting]) -> list[Applied]:
    """Make the keys in the store what the setting says."""
    if connection.dialect.name == "postgresql":  # an embedded database has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    return [_apply(connection, one) for one in batch]


def _apply(connection: Connection, setting: Setting) -> Applied:
    live = [row for row in connection.execute(_LIVE.with_for_update()) if row.id.version == _VERSION]
    if setting.digest is None:
        revoked = _revoke(connection, live, setting.now)
        return Applied(Outcome.REVOKED if revoked else Outcome.UNCHANGED, None, revoked)
    known = keys.find(connection, setting.digest)
    if known is not None and not _works(known, setting.now):
        return Applied(Outcome.IGNORED, known.key.id)
    if known is not None:
        return Applied(Outcome.UNCHANGED, known.key.id, _revoke(connection, live, setting.now, known.key.id))
    if not live:
        return Applied(Outcome.CREATED, _create(connection, setting.digest, setting.now))
    newest = max(live, key=lambda row: row.created_at).id
    keys.rotate(connection, [KeyRotation(newest, setting.digest, setting.now, setting.now, BY)])
    return Applied(Outcome.REPLACED, newest, _revoke(connection, live, setting.now, newest))


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
