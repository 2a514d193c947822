"""What a worker does with what it holds: mark the dot, settle, give back, renew. Each is fenced by the lease.

Nothing is judged here: a settlement comes computed (app/mail/lifecycle.py) and is written as it is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, bindparam, delete, or_, select, update

from app.mail.attempt import Phase
from app.mail.lifecycle import Event, MessageState, Settlement, step
from app.store.records import Claimed, Record
from app.store.schema import ACTIVE, attempts, messages, recipients


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one attempt: what it changes, and what is kept of it for people."""

    id: UUID
    number: int
    settlement: Settlement
    record: Record


@dataclass(frozen=True, slots=True)
class Renewal:
    """Leases to be kept until `until` (epoch seconds)."""

    leases: frozenset[UUID]
    until: float


_m, _r, _a = messages.c, recipients.c, attempts.c

_HELD = (
    select(_m.id, _m.lease)
    .where(ACTIVE, _m.id.in_(bindparam("ids", expanding=True)))
    .order_by(_m.id)  # locked in one order everywhere
    .with_for_update()
)
_HELD_LEASES = (
    select(_m.id, _m.lease)
    .where(ACTIVE, _m.lease.in_(bindparam("leases", expanding=True)))
    .order_by(_m.id)
    .with_for_update()
)
_THIS_ATTEMPT = (_a.message_id == bindparam("of"), _a.number == bindparam("nth"))

_MARK_DOT = update(attempts).where(*_THIS_ATTEMPT).values(phase=Phase.DOT)
_END_ATTEMPT = update(attempts).where(*_THIS_ATTEMPT)
_DELETE_ATTEMPT = delete(attempts).where(*_THIS_ATTEMPT)
_SETTLE = (
    update(messages)
    .where(_m.id == bindparam("of"))
    .values(
        lease=None,
        lease_until=None,
        unknown=_m.unknown + bindparam("doubts", type_=Integer),
        possible_duplicate=or_(_m.possible_duplicate, bindparam("doubted", type_=Boolean)),
    )
)
_SETTLE_RECIPIENT = update(recipients).where(_r.message_id == bindparam("of"), _r.address == bindparam("to"))
_GIVE_BACK = (
    update(messages)
    .where(_m.id == bindparam("of"))
    .values(
        state=step(MessageState.ACTIVE, Event.GIVE_BACK),
        lease=None,
        lease_until=None,
        attempts=_m.attempts - 1,
        mailbox=select(_a.mailbox)
        .where(_a.message_id == _m.id, _a.number == _m.attempts - 1)
        .correlate(messages)
        .scalar_subquery(),
    )
)
_RENEW = update(messages).where(_m.id == bindparam("of"))


def mark_dot(connection: Connection, batch: Sequence[Claimed]) -> list[bool]:
    """Whether the lease still holds; then it is durable that the final dot may leave."""
    held = _held(connection, batch)
    marked = [claimed.lease in held for claimed in batch]
    if held:
        rows = [_this_attempt(claimed) for claimed, mine in zip(batch, marked, strict=True) if mine]
        connection.execute(_MARK_DOT, rows)
    return marked


def settle(connection: Connection, batch: Sequence[tuple[Claimed, Settlement, Record]]) -> list[bool]:
    """Whether the lease still held; then everything is written, else nothing."""
    held = _held(connection, [claimed for claimed, _, _ in batch])
    endings, settled = [], []
    for claimed, settlement, record in batch:
        mine = claimed.lease in held
        held.discard(claimed.lease)  # once
        settled.append(mine)
        if mine:
            endings.append(Ending(claimed.id, claimed.number, settlement, record))
    write(connection, endings)
    return settled


def give_back(connection: Connection, batch: Sequence[Sequence[Claimed]]) -> list[None]:
    """Those still held wait again, due as before, and were never attempted."""
    claimed = [one for part in batch for one in part]
    held = _held(connection, claimed)
    mine = {one.lease: one for one in claimed if one.lease in held}  # each once
    if mine:
        connection.execute(_DELETE_ATTEMPT, [_this_attempt(one) for one in mine.values()])
        connection.execute(_GIVE_BACK, [{"of": one.id} for one in mine.values()])
    return [None] * len(batch)


def renew(connection: Connection, batch: Sequence[Renewal]) -> list[set[UUID]]:
    """Of each the leases that are still held."""
    return [_renew(connection, renewal) for renewal in batch]


def write(connection: Connection, endings: Sequence[Ending]) -> None:
    """Write the settlements of ACTIVE messages whose rows are locked and whose leases are proved."""
    if not endings:
        return
    connection.execute(_SETTLE, [_message_row(ending) for ending in endings])
    connection.execute(_END_ATTEMPT, [_attempt_row(ending) for ending in endings])
    outcomes = [row for ending in endings for row in _recipient_rows(ending)]
    if outcomes:
        connection.execute(_SETTLE_RECIPIENT, outcomes)


def _held(connection: Connection, batch: Sequence[Claimed]) -> set[UUID]:
    """Those leases of the batch that are still good."""
    rows = connection.execute(_HELD, {"ids": [claimed.id for claimed in batch]})
    return {row.lease for row in rows} & {claimed.lease for claimed in batch}


def _renew(connection: Connection, renewal: Renewal) -> set[UUID]:
    rows = connection.execute(_HELD_LEASES, {"leases": list(renewal.leases)}).all()
    if rows:
        connection.execute(_RENEW, [{"of": row.id, "lease_until": renewal.until} for row in rows])
    return {row.lease for row in rows}


def _this_attempt(claimed: Claimed) -> dict[str, Any]:
    return {"of": claimed.id, "nth": claimed.number}


def _message_row(ending: Ending) -> dict[str, Any]:
    settlement = ending.settlement
    over = settlement.state is MessageState.DONE
    return {
        "of": ending.id,
        "state": settlement.state,
        "due_at": settlement.due_at,
        "ended_at": ending.record.ended_at if over else None,
        "explanation": asdict(settlement.explanation) if settlement.explanation else None,
        "doubts": int(settlement.in_doubt),
        "doubted": settlement.in_doubt,
    }


def _attempt_row(ending: Ending) -> dict[str, Any]:
    record = ending.record
    return {
        "of": ending.id,
        "nth": ending.number,
        "ended_at": record.ended_at,
        "phase": record.phase,
        "failure": record.failure,
        "detail": _plain(record.detail),
        "in_doubt": record.in_doubt,
        "replies": list(record.replies),
        "verdicts": dict(record.verdicts),
        "dialogue": [[line.who, line.text] for line in record.dialogue],
    }


def _recipient_rows(ending: Ending) -> list[dict[str, Any]]:
    return [
        {"of": ending.id, "to": address, "state": outcome.state, "reply": _plain(outcome.reply)}
        for address, outcome in ending.settlement.recipients.items()
    ]


def _plain(text: str | None) -> str | None:
    """A server's words as every database takes them: whatever it says, the settlement must be one that can be saved."""
    return None if text is None else text.encode("utf-8", "replace").decode().replace("\0", "")
