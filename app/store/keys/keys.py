"""API keys: create, change, find by secret, rotate, revoke. Only the SHA-256 of a secret is stored.

A secret is searched by its handle, the first bytes of its hash; then the whole hashes are compared in constant time.
"""

import hmac
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from app.mail.key_policy import Policy, validate
from app.mail.message.message import Lane
from app.store.db.writer import per_argument
from app.store.keys import audit, rate_limits
from app.store.keys.audit import AuditAction
from app.store.keys.records import (
    AuthenticatedKey,
    Key,
    KeyRecord,
    KeyRevision,
    KeyRotation,
    KeySecret,
    NewKey,
    Permission,
    Revocation,
)
from app.store.schema import api_key_secrets, api_keys

HANDLE_LENGTH = 8  # bytes of a hash that are indexed

_k, _s = api_keys.c, api_key_secrets.c
_OF_POLICY = frozenset(field.name for field in fields(Policy))

_THAT = _k.id == bindparam("api_key")
_ONE = select(api_keys).where(_THAT)
_UPDATE = update(api_keys).where(_THAT)
_REVOKE = _UPDATE.where(_k.revoked_at.is_(None))
_TOUCH = _UPDATE.where(or_(_k.last_used_at.is_(None), _k.last_used_at < bindparam("at"))).values(
    last_used_at=bindparam("at")
)
_BY_HANDLE = (
    select(api_keys, _s.digest, _s.expires_at)
    .join_from(api_key_secrets, api_keys, _k.id == _s.key_id)
    .where(_s.handle == bindparam("handle"))
)
_SECRETS = select(_s.key_id, _s.created_at, _s.expires_at)
_REPLACE = (
    update(api_key_secrets)
    .where(_s.key_id == bindparam("api_key"), or_(_s.expires_at.is_(None), _s.expires_at > bindparam("until")))
    .values(expires_at=bindparam("until"))
)


@per_argument
def create(connection: Connection, new: NewKey) -> None:
    """Store a key by the SHA-256 of its secret. An id or digest that is stored already is an AlreadyStoredError."""
    key = new.key
    connection.execute(insert(api_keys), _values(key))
    connection.execute(insert(api_key_secrets), _secret_row(key.id, new.digest, key.created_at))
    audit.write_change(connection, AuditAction.KEY_CREATED, key.id, key.created_at, new.by, _created_details(key))


@per_argument
def revise(connection: Connection, revision: KeyRevision) -> Key | None:
    """Change a key and return it; None if it does not exist. Raises PolicyError for conflicting fields."""
    row = connection.execute(_ONE.with_for_update(), {"api_key": revision.id}).one_or_none()
    if row is None:
        return None
    before = _key(row)
    policy = {name: value for name, value in revision.changes.items() if name in _OF_POLICY}
    others = {name: value for name, value in revision.changes.items() if name not in _OF_POLICY}
    after = replace(before, **others, policy=validate(replace(before.policy, **policy)))
    if after != before:
        connection.execute(_UPDATE.values(_changeable(after)), {"api_key": revision.id})
        details = {"name": after.name, **audit.difference(_audited_fields(before), _audited_fields(after))}
        audit.write_change(connection, AuditAction.KEY_UPDATED, revision.id, revision.now, revision.by, details)
    return after


@per_argument
def rotate(connection: Connection, rotation: KeyRotation) -> bool:
    """Give a key a new secret; the old one works until `old_until`. False: it does not exist or is revoked."""
    row = connection.execute(_ONE.with_for_update(), {"api_key": rotation.id}).one_or_none()
    if row is None or row.revoked_at is not None:
        return False
    connection.execute(_REPLACE, {"api_key": rotation.id, "until": rotation.old_until})
    connection.execute(insert(api_key_secrets), _secret_row(rotation.id, rotation.digest, rotation.now))
    details = {"name": row.name, "old_secret_until": rotation.old_until}
    audit.write_change(connection, AuditAction.KEY_ROTATED, rotation.id, rotation.now, rotation.by, details)
    return True


@per_argument
def revoke(connection: Connection, revocation: Revocation) -> bool:
    """Revoke a key; return whether it existed and was not revoked before."""
    done = connection.execute(_REVOKE, {"api_key": revocation.id, "revoked_at": revocation.now}).rowcount == 1
    if done:
        details = {"name": connection.execute(_ONE, {"api_key": revocation.id}).one().name}
        audit.write_change(connection, AuditAction.KEY_REVOKED, revocation.id, revocation.now, revocation.by, details)
    return done


def touch(connection: Connection, batch: Sequence[tuple[UUID, float]]) -> list[None]:
    """Record the use of keys at these times."""
    for id, at in sorted(batch):  # one lock order everywhere: no deadlock
        connection.execute(_TOUCH, {"api_key": id, "at": at})
    return [None] * len(batch)


def list_all(connection: Connection) -> list[KeyRecord]:
    """Return all keys, the oldest first, with the revoked ones."""
    secrets: dict[UUID, list[KeySecret]] = defaultdict(list)
    for row in connection.execute(_SECRETS):
        secrets[row.key_id].append(KeySecret(row.created_at, row.expires_at))
    rows = connection.execute(select(api_keys).order_by(_k.created_at, _k.id)).all()
    return [_record(connection, row, secrets[row.id]) for row in rows]


def get(connection: Connection, id: UUID) -> KeyRecord | None:
    """Return one key; None if there is none of this id."""
    row = connection.execute(_ONE, {"api_key": id}).one_or_none()
    if row is None:
        return None
    secrets = connection.execute(_SECRETS.where(_s.key_id == id))
    return _record(connection, row, [KeySecret(one.created_at, one.expires_at) for one in secrets])


def find(connection: Connection, digest: bytes) -> AuthenticatedKey | None:
    """Return the key of the secret with this SHA-256, also a revoked one; None if there is none."""
    for row in connection.execute(_BY_HANDLE, {"handle": digest[:HANDLE_LENGTH]}):
        if hmac.compare_digest(row.digest, digest):
            key = _key(row)
            usage = rate_limits.find(connection, key.id) if key.policy.rate_limit else None
            return AuthenticatedKey(key, row.expires_at, row.last_used_at, usage)
    return None


def _created_details(key: Key) -> dict[str, Any]:
    return {name: value for name, value in _audited_fields(key).items() if value not in ((), [], None, False)}


def _audited_fields(key: Key) -> dict[str, Any]:
    return {"name": key.name, "permission": key.permission, "disabled": key.disabled, **asdict(key.policy)}


def _secret_row(id: UUID, digest: bytes, now: float) -> dict[str, Any]:
    return {"digest": digest, "handle": digest[:HANDLE_LENGTH], "key_id": id, "created_at": now}


def _values(key: Key) -> dict[str, Any]:
    return {"id": key.id, "created_at": key.created_at, "revoked_at": key.revoked_at, **_changeable(key)}


def _changeable(key: Key) -> dict[str, Any]:
    non_default = {name: value for name, value in asdict(key.policy).items() if value not in ((), None, False)}
    return {"name": key.name, "permission": key.permission, "disabled": key.disabled, "policy": non_default}


def _record(connection: Connection, row: Row[*tuple[Any, ...]], secrets: Sequence[KeySecret]) -> KeyRecord:
    newest = sorted(secrets, key=lambda secret: -secret.created_at)
    return KeyRecord(_key(row), tuple(newest), row.last_used_at, rate_limits.find(connection, row.id))


def _key(row: Row[*tuple[Any, ...]]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        permission=Permission(row.permission),
        created_at=row.created_at,
        policy=_policy(row.policy),
        disabled=row.disabled,
        revoked_at=row.revoked_at,
    )


def _policy(stored: Mapping[str, Any]) -> Policy:
    lists = {name: tuple(stored.get(name, ())) for name in ("senders", "recipients")}
    lanes = {name: tuple(map(Lane, stored.get(name, ()))) for name in ("lanes", "ignore_suppressions")}
    return Policy(**{**stored, **lists, **lanes})
