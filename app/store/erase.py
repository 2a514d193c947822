"""Search for the emails of one address, and erasure of ended emails: personal data is replaced or removed, rows stay.

Emails that have not ended are never changed. Ids, times, states, numbers and Idempotency-Keys stay, so that statistics
hold and a repeated request sends nothing.
Suppressions that the emails caused are removed: they have the address and the server's text.
One call erases a limited number of rows and bytes, because accepts wait for it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, select, update

from app.mail import erasure
from app.mail.erasure import ERASED
from app.mail.lifecycle import ENDED_STATES, MessageState
from app.store.db.dialect import execute_many
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.retention import bounded
from app.store.schema import (
    attempts,
    contents,
    messages,
    recipients,
    suppression_candidates,
    suppressions,
    traces,
    webhook_deliveries,
    webhook_events,
)

SCAN_LIMIT = 1_000  # messages compared in one search

_MARK = asdict(ERASED)

_Row = Row[*tuple[Any, ...]]


class EraseOutcome(StrEnum):
    """Result of the erasure of one email."""

    ERASED = "erased"
    ALREADY_ERASED = "already_erased"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Erasure:
    """Emails to erase at `now` (epoch seconds), as many as a step has. `asked`: for the audit, "id" or "address"."""

    ids: tuple[UUID, ...]
    now: float
    by: Actor
    asked: str


@dataclass(frozen=True, slots=True)
class Erased:
    """Number of erased emails with one address, and the ids of those that have not ended and stay."""

    count: int
    waiting: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Emails with one address in a part of the table, ended or not. `last`: id to continue after; None: the end."""

    over: tuple[UUID, ...]
    waiting: tuple[UUID, ...]
    last: UUID | None


_m, _r, _a = messages.c, recipients.c, attempts.c
_t, _d, _e = traces.c, webhook_deliveries.c, webhook_events.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_IDS_AS_TEXT: BindParameter[list[str]] = bindparam("subjects", expanding=True)
_ROW: BindParameter[UUID] = bindparam("row_id")

_FOUND = (
    select(_m.id, _m.state, _m.size, _m.mail_from, _m.message_id, _m.head, _m.explanation, _m.content_removed_at)
    .where(_m.id.in_(_IDS))
    .order_by(_m.id)
    .with_for_update()
)
_TRACES = select(_t.message_id, _t.address, _t.cause).where(_t.message_id.in_(_IDS))
_RECIPIENTS = select(recipients).where(_r.message_id.in_(_IDS))
_ATTEMPTS = select(_a.message_id, _a.number, _a.replies, _a.verdicts).where(_a.message_id.in_(_IDS))
_DELIVERIES = select(_d.number, _d.subject, _d.event_id, _d.history).where(_d.subject.in_(_IDS_AS_TEXT))
_PAYLOADS = select(_e.id, _e.payload).where(_e.id.in_(_IDS))
_PART = select(_m.id, _m.state, _m.head).where(_m.id > bindparam("after")).order_by(_m.id).limit(SCAN_LIMIT)
_RECIPIENTS_OF_PART = select(_r.message_id, _r.address).where(
    _r.message_id > bindparam("after"), _r.message_id <= bindparam("last")
)

_REMOVE_SUPPRESSION = delete(suppressions).where(suppressions.c.source_id == _ROW)
_REMOVE_CANDIDATE = delete(suppression_candidates).where(suppression_candidates.c.email_id == _ROW)
_REMOVE_CONTENT = delete(contents).where(contents.c.message_id == _ROW)
_ERASE_MESSAGE = update(messages).where(_m.id == _ROW).values(coalesce=None)
_ERASE_RECIPIENT = update(recipients).where(_r.message_id == _ROW, _r.address == bindparam("former_address"))
_ERASE_TRACE = update(traces).where(_t.message_id == _ROW, _t.address == bindparam("former_address"))
_ERASE_ATTEMPT = (
    update(attempts).where(_a.message_id == _ROW, _a.number == bindparam("row_number")).values(detail=None, dialogue=[])
)
_ERASE_DELIVERY = update(webhook_deliveries).where(_d.number == bindparam("row_number"))
_ERASE_EVENT = update(webhook_events).where(_e.id == _ROW)


def erase(connection: Connection, batch: Sequence[Erasure]) -> list[dict[UUID, EraseOutcome | MessageState]]:
    """Return for each the outcome by id, or the state of an email that has not ended.

    Ids left out were not reached, because one call is limited: repeat the call with them.
    """
    ids = sorted({id for one in batch for id in one.ids})
    rows = {row.id: row for row in connection.execute(_FOUND, {"ids": ids})}
    chosen = {row.id: row for row in bounded([row for row in rows.values() if _is_due(row)])}
    if chosen:
        _erase(connection, chosen, max(one.now for one in batch))
    answers = [{id: answer for id in one.ids if (answer := _answer(id, rows, chosen))} for one in batch]
    audit.write(connection, [_entry(one, answer) for one, answer in zip(batch, answers, strict=True)])
    return answers


def find(connection: Connection, address: str, after: UUID) -> Found:
    """Search the next SCAN_LIMIT messages for `address` (see `normalize_address` in mail/message/address)."""
    rows = connection.execute(_PART, {"after": after}).all()
    if not rows:
        return Found((), (), None)
    last = rows[-1].id
    to: dict[UUID, list[str]] = defaultdict(list)
    for row in connection.execute(_RECIPIENTS_OF_PART, {"after": after, "last": last}):
        to[row.message_id].append(row.address)
    having = [row for row in rows if erasure.has_address(row.head, to[row.id], address)]
    over = tuple(row.id for row in having if row.state in ENDED_STATES)
    waiting = tuple(row.id for row in having if row.state not in ENDED_STATES)
    return Found(over, waiting, last if len(rows) == SCAN_LIMIT else None)


def _is_due(row: _Row) -> bool:
    return row.state in ENDED_STATES and row.explanation != _MARK


def _answer(id: UUID, rows: Mapping[UUID, _Row], chosen: Mapping[UUID, _Row]) -> EraseOutcome | MessageState | None:
    if (row := rows.get(id)) is None:
        return EraseOutcome.MISSING
    if id in chosen:
        return EraseOutcome.ERASED
    if row.state not in ENDED_STATES:
        return MessageState(row.state)
    return EraseOutcome.ALREADY_ERASED if row.explanation == _MARK else None


def _entry(asked: Erasure, answers: Mapping[UUID, EraseOutcome | MessageState]) -> Entry | None:
    """Return the audit entry. It has no address, because the audit is stored longer than the emails."""
    ids = [str(id) for id, answer in answers.items() if answer is EraseOutcome.ERASED]
    if not ids:
        return None
    subject = ids[0] if len(ids) == 1 else f"{len(ids)} emails"
    return Entry(asked.now, asked.by, AuditAction.EMAIL_ERASED, subject, {"asked": asked.asked, "ids": ids})


def _erase(connection: Connection, chosen: Mapping[UUID, _Row], now: float) -> None:
    ids = {"ids": [*chosen]}
    placeholders: dict[UUID, dict[str, str]] = {id: {} for id in chosen}  # by message, then by address
    changed = []
    for row in connection.execute(_RECIPIENTS, ids).all():
        placeholders[row.message_id][row.address] = new = erasure.placeholder_address(row.position)
        changed.append(
            {
                "row_id": row.message_id,
                "former_address": row.address,
                "address": new,
                "reply": erasure.erase_reply(row.reply),
            }
        )
    erased = {id: _message(row, [*placeholders[id]], now) for id, row in chosen.items()}
    traced = [_trace(row, placeholders[row.message_id]) for row in connection.execute(_TRACES, ids)]
    tried = [_attempt(row, placeholders[row.message_id]) for row in connection.execute(_ATTEMPTS, ids)]
    for statement in (_REMOVE_CONTENT, _REMOVE_SUPPRESSION, _REMOVE_CANDIDATE):
        execute_many(connection, statement, [{"row_id": id} for id in chosen])
    execute_many(connection, _ERASE_MESSAGE, [*erased.values()])
    execute_many(connection, _ERASE_RECIPIENT, changed)
    execute_many(connection, _ERASE_ATTEMPT, tried)
    execute_many(connection, _ERASE_TRACE, traced)
    _erase_events(connection, chosen, {id: values["message_id"] for id, values in erased.items()}, placeholders)


def _message(row: _Row, addresses: Sequence[str], now: float) -> dict[str, Any]:
    return {
        "row_id": row.id,
        "head": erasure.erase_head(row.head, row.mail_from),
        "message_id": erasure.erase_message_id(row.message_id, addresses, str(row.id)),
        "explanation": _MARK,
        "content_removed_at": now if row.content_removed_at is None else row.content_removed_at,
    }


def _trace(row: _Row, placeholders: Mapping[str, str]) -> dict[str, Any]:
    address = placeholders.get(row.address, erasure.ADDRESS)
    return {
        "row_id": row.message_id,
        "former_address": row.address,
        "address": address,
        "cause": erasure.erase_reply(row.cause) or "",
    }


def _attempt(row: _Row, placeholders: Mapping[str, str]) -> dict[str, Any]:
    return {
        "row_id": row.message_id,
        "row_number": row.number,
        "replies": [erasure.erase_reply(one) or "" for one in row.replies],
        "verdicts": {placeholders.get(to, erasure.ADDRESS): verdict for to, verdict in row.verdicts.items()},
    }


def _erase_events(
    connection: Connection,
    chosen: Mapping[UUID, _Row],
    message_ids: Mapping[UUID, str],
    placeholders: Mapping[UUID, Mapping[str, str]],
) -> None:
    """Erase the payloads of webhook events, sent or pending, and the stored responses of endpoints."""
    by_subject = {id.hex: id for id in chosen}
    rows = connection.execute(_DELIVERIES, {"subjects": [*by_subject]}).all()
    histories = [
        {"row_number": row.number, "history": [[at, status, ""] for at, status, _ in row.history]} for row in rows
    ]
    execute_many(connection, _ERASE_DELIVERY, histories)
    email_of = {row.event_id: by_subject[row.subject] for row in rows}
    payloads = []
    for event in connection.execute(_PAYLOADS, {"ids": [*email_of]}).all():
        id = email_of[event.id]
        addresses = {address.lower(): new for address, new in placeholders[id].items()}
        new = erasure.erase_payload(event.payload, chosen[id].mail_from, message_ids[id], addresses)
        payloads.append({"row_id": event.id, "payload": new})
    execute_many(connection, _ERASE_EVENT, payloads)
