"""Entries of the suppression list: add, remove, read.

An address has one entry. One that has expired is ignored by every reader, and replaced by an addition.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Connection, Double, Row, bindparam, delete, or_, select

from app.logs.format import mask_addresses
from app.mail.suppression import Evidence, Origin, SeenBy
from app.store.db import uuid7
from app.store.db.dialect import execute_many, upsert
from app.store.db.writer import per_argument
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.records import FIRST_ID, LAST_ID
from app.store.schema import suppressions
from app.store.suppressions.records import Additions, Removals, Suppression

MAX_AUDITED_IDS = 100  # in one entry of the audit

_s = suppressions.c
_NOW = bindparam("now", type_=Double)
_ADDRESSES: BindParameter[list[str]] = bindparam("addresses", expanding=True)
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)

VALID: ColumnElement[bool] = or_(_s.expires_at.is_(None), _s.expires_at > _NOW)
_OF_ADDRESSES = select(suppressions).where(_s.address.in_(_ADDRESSES), VALID)
_OF_IDS = select(suppressions).where(_s.id.in_(_IDS), VALID)
_REMOVE = delete(suppressions).where(_s.id == bindparam("entry"))
_REMOVE_EXPIRED = delete(suppressions).where(_s.address == bindparam("recipient"), _s.expires_at <= _NOW)


@per_argument
def add(connection: Connection, additions: Additions) -> list[Suppression]:
    """Return the entry of each address in the caller's order. An existing one stays, and does not expire any more."""
    new = insert(
        connection,
        [
            Suppression(uuid7.new(additions.now), to, additions.origin, additions.now)
            for to in dict.fromkeys(additions.addresses)
        ],
        additions.now,
    )
    found = {row.address: _entry(row) for row in _rows(connection, additions.addresses, additions.now)}
    _audit(
        connection,
        AuditAction.SUPPRESSION_ADDED,
        additions.now,
        additions.by,
        [entry for entry in found.values() if entry.id in new],
    )
    return [found[address] for address in additions.addresses]


@per_argument
def remove(connection: Connection, removals: Removals) -> list[Suppression]:
    """Remove entries and return them; those that do not exist are left out."""
    rows = [*_rows(connection, removals.addresses, removals.now)] if removals.addresses else []
    if removals.ids:
        rows += connection.execute(
            _OF_IDS.order_by(_s.address).with_for_update(), {"ids": removals.ids, "now": removals.now}
        )
    found = [_entry(row) for row in rows]
    execute_many(connection, _REMOVE, [{"entry": suppression.id} for suppression in found])
    _audit(connection, AuditAction.SUPPRESSION_REMOVED, removals.now, removals.by, found)
    return found


def insert(connection: Connection, entries: Sequence[Suppression], now: float) -> set[UUID]:
    """Insert entries of different addresses; return the ids of the new ones.

    An existing entry of an address stays, and expires when the given one does if that is later.
    """
    rows = [_row(one) for one in sorted(entries, key=lambda one: one.address)]  # locked in one order everywhere
    execute_many(connection, _REMOVE_EXPIRED, [{"recipient": row["address"], "now": now} for row in rows])
    statement = upsert(connection.dialect.name, suppressions)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[_s.address],
        set_={"expires_at": new.expires_at},
        where=_s.expires_at.is_not(None) & or_(new.expires_at.is_(None), new.expires_at > _s.expires_at),
    )
    execute_many(connection, statement, rows)
    ids = connection.execute(select(_s.id).where(_s.id.in_(_IDS)), {"ids": [one.id for one in entries]})
    return {*ids.scalars()}


def find(connection: Connection, key: UUID | str, now: float) -> Suppression | None:
    """Return the entry of this id or address (in the form for comparisons); None if there is none."""
    if isinstance(key, UUID):
        row = connection.execute(_OF_IDS, {"ids": [key], "now": now}).one_or_none()
    else:
        row = connection.execute(_OF_ADDRESSES, {"addresses": [key], "now": now}).one_or_none()
    return None if row is None else _entry(row)


def page(
    connection: Connection,
    origin: Origin | None,
    limit: int,
    now: float,
    *,
    after: UUID | None = None,
    before: UUID | None = None,
) -> tuple[list[Suppression], bool]:
    """Return up to `limit` entries, the newest first, and whether there are more in this direction.

    With `after`, the next older ones than that entry; with `before`, the next newer ones.
    """
    order = _s.id.asc() if before else _s.id.desc()
    statement = select(suppressions).where(_s.id < (after or LAST_ID), _s.id > (before or FIRST_ID), VALID)
    if origin is not None:
        statement = statement.where(_s.origin == origin)
    rows = connection.execute(statement.order_by(order).limit(limit + 1), {"now": now}).all()
    found = [_entry(row) for row in rows[:limit]]
    return found[::-1] if before else found, len(rows) > limit


def _rows(connection: Connection, addresses: Sequence[str], now: float) -> Sequence[Row[*tuple[Any, ...]]]:
    statement = _OF_ADDRESSES.order_by(_s.address).with_for_update()
    return connection.execute(statement, {"addresses": [*addresses], "now": now}).all()


def _audit(connection: Connection, action: AuditAction, now: float, by: Actor, changed: Sequence[Suppression]) -> None:
    """Write the audit entry. It has the domain of an address only, because the audit outlives a removed entry."""
    if not changed:
        return
    subject = f"{len(changed)} suppressions"
    details: dict[str, Any] = {"ids": [str(one.id) for one in changed[:MAX_AUDITED_IDS]]}
    if len(changed) == 1:
        (one,) = changed
        subject = str(one.id)
        details = {"origin": one.origin, "address": mask_addresses(one.address, frozenset())}
    audit.write(connection, [Entry(now, by, action, subject, details)])


def _row(suppression: Suppression) -> dict[str, Any]:
    evidence = suppression.evidence
    return {
        "id": suppression.id,
        "address": suppression.address,
        "origin": suppression.origin,
        "source_id": suppression.source_id,
        "created_at": suppression.created_at,
        "expires_at": suppression.expires_at,
        "evidence": evidence
        and {
            "email_id": str(evidence.email_id),
            "code": evidence.code,
            "text": evidence.text,
            "seen_by": evidence.seen_by,
        },
    }


def _entry(row: Row[*tuple[Any, ...]]) -> Suppression:
    stored = row.evidence
    return Suppression(
        id=row.id,
        address=row.address,
        origin=Origin(row.origin),
        created_at=row.created_at,
        source_id=row.source_id,
        expires_at=row.expires_at,
        evidence=stored
        and Evidence(UUID(stored["email_id"]), stored["code"], stored["text"], SeenBy(stored["seen_by"])),
    )
