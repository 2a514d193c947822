"""Erasure of emails that are over: everything personal goes, the rows stay. Never touches an email that is not over.

Ids, times, states, counts and Idempotency-Keys stay, so that statistics hold and a repeated request sends nothing.
One call erases a bounded number of rows and bytes, because accepts wait for it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, select, update

from app.mail import erasure
from app.mail.erasure import ERASED
from app.mail.lifecycle import ENDED_STATES, MessageState
from app.store.db.prepared import PreparedStatement
from app.store.keys import audit
from app.store.keys.audit_records import Action, Actor, Entry
from app.store.retention import BATCH_BYTES, BATCH_SIZE
from app.store.schema import attempts, contents, messages, recipients, webhook_deliveries, webhook_events

SCAN_LIMIT = 1_000  # messages that one search compares

_MARK = asdict(ERASED)

_Row = Row[*tuple[Any, ...]]


class Outcome(StrEnum):
    """Result of the erasure of one email."""

    ERASED = "erased"
    ALREADY_ERASED = "already_erased"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Erasure:
    """Emails to erase at `now` (epoch seconds), at most BATCH_SIZE. `asked` says in the audit how they were named."""

    ids: tuple[UUID, ...]
    now: float
    by: Actor
    asked: str


@dataclass(frozen=True, slots=True)
class Erased:
    """Number of emails with one address that were erased, and those that were not because they are not over."""

    count: int
    waiting: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Emails with one address in one part of the table. `last` is the id to go on after; None: that was the end."""

    over: tuple[UUID, ...]
    waiting: tuple[UUID, ...]
    last: UUID | None


_m, _r, _a = messages.c, recipients.c, attempts.c
_d, _e = webhook_deliveries.c, webhook_events.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_OF: BindParameter[UUID] = bindparam("of")

_FOUND = (
    select(
        *(_m.id, _m.state, _m.size, _m.mail_from, _m.message_id, _m.head, _m.explanation, _m.content_removed_at),
    )
    .where(_m.id.in_(_IDS))
    .order_by(_m.id)
    .with_for_update()
)
_TO = select(recipients).where(_r.message_id.in_(_IDS))
_TRIED = select(_a.message_id, _a.number, _a.replies, _a.verdicts).where(_a.message_id.in_(_IDS))
_TOLD = select(_d.number, _d.subject, _d.event_id, _d.history).where(_d.subject.in_(bindparam("of", expanding=True)))
_PAYLOADS = select(_e.id, _e.payload).where(_e.id.in_(_IDS))
_PART = select(_m.id, _m.state, _m.head).where(_m.id > bindparam("after")).order_by(_m.id).limit(SCAN_LIMIT)
_TO_PART = select(_r.message_id, _r.address).where(
    _r.message_id > bindparam("after"), _r.message_id <= bindparam("last")
)

_REMOVE_CONTENT = PreparedStatement(delete(contents).where(contents.c.message_id == _OF))
_MESSAGE = PreparedStatement(
    update(messages).where(_m.id == _OF).values(coalesce=None),
    sets=("head", "message_id", "explanation", "content_removed_at"),
)
_RECIPIENT = PreparedStatement(
    update(recipients).where(_r.message_id == _OF, _r.address == bindparam("was")), sets=("address", "reply")
)
_ATTEMPT = PreparedStatement(
    update(attempts).where(_a.message_id == _OF, _a.number == bindparam("which")).values(detail=None),
    sets=("replies", "verdicts", "dialogue"),
)
_DELIVERY = PreparedStatement(update(webhook_deliveries).where(_d.number == bindparam("which")), sets=("history",))
_EVENT = PreparedStatement(update(webhook_events).where(_e.id == _OF), sets=("payload",))


def erase(connection: Connection, batch: Sequence[Erasure]) -> list[dict[UUID, Outcome | MessageState]]:
    """What became of each id; the state of one that is not over. An id without an answer has to be asked again: what
    goes at once is bounded."""
    ids = sorted({id for one in batch for id in one.ids})
    rows = {row.id: row for row in connection.execute(_FOUND, {"ids": ids})}
    chosen = {row.id: row for row in _bounded([row for row in rows.values() if _is_due(row)])}
    if chosen:
        _erase(connection, chosen, max(one.now for one in batch))
    answers = [{id: answer for id in one.ids if (answer := _answer(id, rows, chosen))} for one in batch]
    audit.write(connection, [_entry(one, answer) for one, answer in zip(batch, answers, strict=True)])
    return answers


def find(connection: Connection, address: str, after: UUID) -> Found:
    """Compare the next SCAN_LIMIT messages with `address` (see `erasure.normal`)."""
    rows = connection.execute(_PART, {"after": after}).all()
    if not rows:
        return Found((), (), None)
    last = rows[-1].id
    to: dict[UUID, list[str]] = defaultdict(list)
    for row in connection.execute(_TO_PART, {"after": after, "last": last}):
        to[row.message_id].append(row.address)
    having = [row for row in rows if erasure.has_address(row.head, to[row.id], address)]
    over = tuple(row.id for row in having if row.state in ENDED_STATES)
    waiting = tuple(row.id for row in having if row.state not in ENDED_STATES)
    return Found(over, waiting, last if len(rows) == SCAN_LIMIT else None)


def _is_due(row: _Row) -> bool:
    return row.state in ENDED_STATES and row.explanation != _MARK


def _bounded(rows: Sequence[_Row]) -> Iterator[_Row]:
    """The first ones, up to BATCH_SIZE rows and BATCH_BYTES of content, but always one."""
    sums = accumulate(row.size for row in rows)
    return (
        row for row, so_far in zip(rows[:BATCH_SIZE], sums, strict=False) if so_far <= BATCH_BYTES or row is rows[0]
    )


def _answer(id: UUID, rows: Mapping[UUID, _Row], chosen: Mapping[UUID, _Row]) -> Outcome | MessageState | None:
    if (row := rows.get(id)) is None:
        return Outcome.MISSING
    if id in chosen:
        return Outcome.ERASED
    if row.state not in ENDED_STATES:
        return MessageState(row.state)
    return Outcome.ALREADY_ERASED if row.explanation == _MARK else None


def _entry(asked: Erasure, answers: Mapping[UUID, Outcome | MessageState]) -> Entry | None:
    """Never with an address: the audit is kept longer than the emails."""
    gone = [str(id) for id, answer in answers.items() if answer is Outcome.ERASED]
    if not gone:
        return None
    subject = gone[0] if len(gone) == 1 else f"{len(gone)} emails"
    return Entry(asked.now, asked.by, Action.EMAIL_ERASED, subject, {"asked": asked.asked, "ids": gone})


def _erase(connection: Connection, chosen: Mapping[UUID, _Row], now: float) -> None:
    ids = {"ids": [*chosen]}
    to: dict[UUID, dict[str, str]] = {id: {} for id in chosen}  # by message the placeholder of each address
    changed = []
    for row in connection.execute(_TO, ids).all():
        to[row.message_id][row.address] = new = erasure.recipient(row.position)
        changed.append({"of": row.message_id, "was": row.address, "address": new, "reply": erasure.reply(row.reply)})
    _REMOVE_CONTENT.run(connection, [{"of": id} for id in chosen])
    heads = {id: _message(row, [*to[id]], now) for id, row in chosen.items()}
    _MESSAGE.run(connection, [*heads.values()])
    if changed:
        _RECIPIENT.run(connection, changed)
    if tried := [_attempt(row, to[row.message_id]) for row in connection.execute(_TRIED, ids).all()]:
        _ATTEMPT.run(connection, tried)
    identities = {id: values["message_id"] for id, values in heads.items()}
    _erase_events(connection, chosen, identities, to)


def _message(row: _Row, addresses: Sequence[str], now: float) -> dict[str, Any]:
    return {
        "of": row.id,
        "head": erasure.head(row.head, row.mail_from),
        "message_id": erasure.message_id(row.message_id, addresses, str(row.id)),
        "explanation": _MARK,
        "content_removed_at": now if row.content_removed_at is None else row.content_removed_at,
    }


def _attempt(row: _Row, to: Mapping[str, str]) -> dict[str, Any]:
    return {
        "of": row.message_id,
        "which": row.number,
        "replies": [erasure.reply(one) or "" for one in row.replies],
        "verdicts": {to.get(address, erasure.ADDRESS): verdict for address, verdict in row.verdicts.items()},
        "dialogue": [],
    }


def _erase_events(
    connection: Connection,
    chosen: Mapping[UUID, _Row],
    identities: Mapping[UUID, str],
    to: Mapping[UUID, Mapping[str, str]],
) -> None:
    """Payloads of the webhooks' events, sent or pending, and what endpoints have answered."""
    by_subject = {id.hex: id for id in chosen}
    told = connection.execute(_TOLD, {"of": [*by_subject]}).all()
    if not told:
        return
    histories = [{"which": row.number, "history": [[at, status, ""] for at, status, _ in row.history]} for row in told]
    _DELIVERY.run(connection, histories)
    about = {row.event_id: by_subject[row.subject] for row in told}
    payloads = []
    for event in connection.execute(_PAYLOADS, {"ids": [*about]}).all():
        id = about[event.id]
        placeholders = {address.lower(): new for address, new in to[id].items()}
        new = erasure.payload(event.payload, chosen[id].mail_from, identities[id], placeholders)
        payloads.append({"of": event.id, "payload": new})
    _EVENT.run(connection, payloads)
