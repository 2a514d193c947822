"""API keys: made, listed, found by their digest, revoked. The key itself is never here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from app.store.records import Key, Permission
from app.store.schema import api_keys


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to keep, and the SHA-256 of its secret."""

    key: Key
    digest: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that is to count no more, from `now` (epoch seconds)."""

    id: UUID
    now: float


_k = api_keys.c
_INSERT = insert(api_keys)
_REVOKE = update(api_keys).where(_k.id == bindparam("of"), _k.revoked_at.is_(None))
_SELECT = select(_k.id, _k.name, _k.permission, _k.created_at, _k.senders, _k.default_sender, _k.revoked_at)


def create(connection: Connection, batch: Sequence[NewKey]) -> list[None]:
    """Keep them. An id or a digest that is there already is refused by the database."""
    connection.execute(_INSERT, [_values(new) for new in batch])
    return [None] * len(batch)


def revoke(connection: Connection, batch: Sequence[Revocation]) -> list[bool]:
    """Whether there was such a key, not revoked before."""
    return [connection.execute(_REVOKE, {"of": one.id, "revoked_at": one.now}).rowcount == 1 for one in batch]


def every(connection: Connection) -> list[Key]:
    """The oldest first, revoked ones too."""
    return [_key(row) for row in connection.execute(_SELECT.order_by(_k.created_at, _k.id))]


def find(connection: Connection, digest: bytes) -> Key | None:
    """The key with this digest, revoked or not."""
    row = connection.execute(_SELECT.where(_k.digest == digest)).one_or_none()
    return None if row is None else _key(row)


def _values(new: NewKey) -> dict[str, Any]:
    key = new.key
    return {
        "id": key.id,
        "digest": new.digest,
        "name": key.name,
        "permission": key.permission,
        "created_at": key.created_at,
        "senders": list(key.senders),
        "default_sender": key.default_sender,
        "revoked_at": key.revoked_at,
    }


def _key(row: Row[*tuple[Any, ...]]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        permission=Permission(row.permission),
        created_at=row.created_at,
        senders=tuple(row.senders),
        default_sender=row.default_sender,
        revoked_at=row.revoked_at,
    )
