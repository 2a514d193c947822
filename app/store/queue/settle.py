"""Verbs of a worker for its claimed messages: mark the dot, settle, give back, renew. All fenced by the lease.

Settlements are computed in app/mail/lifecycle.py and written unchanged.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, bindparam, case, delete, or_, select, update

from app.frozen import frozen
from app.mail.lifecycle import Event, MessageState, Settlement, next_state
from app.mail.outcome.attempt import Phase
from app.mail.suppression import SeenBy
from app.store.db.dialect import storable
from app.store.db.prepared import PreparedStatement
from app.store.records import AttemptLog, Claimed
from app.store.schema import ACTIVE, attempts, messages, recipients
from app.store.suppressions.feed import BounceReport, record_bounces
from app.store.webhooks import outbox


class LeaseProof(Protocol):
    """Proof of the lease on a message: a Claimed, or a row of an expired lease."""

    @property
    def id(self) -> UUID: ...
    @property
    def lease(self) -> UUID: ...
    @property
    def number(self) -> int: ...


@frozen
class AttemptResult:
    """Outcome of one attempt: its settlement and its log.

    `suppression_lifetime`: seconds that an address is suppressed because of a bounce; None: no end.
    """

    claim: LeaseProof
    settlement: Settlement
    record: AttemptLog
    suppression_lifetime: float | None = None


@frozen
class Renewal:
    """Leases to extend to `until` (epoch seconds)."""

    leases: frozenset[UUID]
    until: float


_m, _r, _a = messages.c, recipients.c, attempts.c

_THIS_ATTEMPT = (_a.message_id == bindparam("of"), _a.number == bindparam("nth"))
_FENCE = (ACTIVE, _m.id == bindparam("of"), _m.lease == bindparam("token"))

_MARK_DOT = PreparedStatement(
    update(attempts)
    .where(*_THIS_ATTEMPT, _a.lease == bindparam("token"), _a.ended_at.is_(None))
    .values(phase=Phase.DOT)
)
_END_ATTEMPT = PreparedStatement(
    update(attempts).where(*_THIS_ATTEMPT),
    sets=("ended_at", "phase", "failure", "detail", "in_doubt", "replies", "verdicts", "dialogue"),
)
_DELETE_ATTEMPT = PreparedStatement(delete(attempts).where(*_THIS_ATTEMPT))
_SETTLE = PreparedStatement(
    update(messages)
    .where(*_FENCE)
    .values(
        lease=None,
        lease_until=None,
        turn=case((bindparam("keeps_turn", type_=Boolean), _m.turn)),
        unknown=_m.unknown + bindparam("doubts", type_=Integer),
        possible_duplicate=or_(_m.possible_duplicate, bindparam("doubted", type_=Boolean)),
    ),
    sets=("state", "due_at", "ended_at", "explanation"),
)
_SETTLE_RECIPIENT = PreparedStatement(
    update(recipients).where(_r.message_id == bindparam("of"), _r.address == bindparam("to")), sets=("state", "reply")
)
_GIVE_BACK = PreparedStatement(
    update(messages)
    .where(*_FENCE)
    .values(
        state=next_state(MessageState.ACTIVE, Event.GIVE_BACK),
        lease=None,
        lease_until=None,
        attempts=_m.attempts - 1,
        mailbox=select(_a.mailbox)
        .where(_a.message_id == _m.id, _a.number == _m.attempts - 1)
        .correlate(messages)
        .scalar_subquery(),
    )
)
_HELD_LEASES = (
    select(_m.id, _m.lease)
    .where(ACTIVE, _m.lease.in_(bindparam("leases", expanding=True)))
    .order_by(_m.id)  # locked in one order everywhere
    .with_for_update()
)
_RENEW = update(messages).where(_m.id == bindparam("of"))


def mark_dot(connection: Connection, batch: Sequence[Claimed]) -> list[bool]:
    """Record that the final dot may be sent; return for each whether the lease is still held."""
    return _MARK_DOT.each(connection, [_fence(claimed) for claimed in batch])


def give_back(connection: Connection, batch: Sequence[Sequence[Claimed]]) -> list[None]:
    """Requeue claimed messages with their former due time, as if they had never been claimed."""
    claimed = sorted((one for part in batch for one in part), key=lambda one: one.id)
    mine = _GIVE_BACK.each(connection, [_fence(one) for one in claimed])
    undone = [_this(one) for one, held in zip(claimed, mine, strict=True) if held]
    if undone:
        _DELETE_ATTEMPT.run(connection, undone)
    return [None] * len(batch)


def renew(connection: Connection, batch: Sequence[Renewal]) -> list[set[UUID]]:
    """Extend leases; return for each renewal those still held."""
    return [_renew(connection, renewal) for renewal in batch]


def settle(connection: Connection, endings: Sequence[AttemptResult]) -> list[bool]:
    """Write the settlements whose lease is still held; return for each whether it was."""
    order = sorted(range(len(endings)), key=lambda place: endings[place].claim.id)  # locked in one order everywhere
    held = dict(zip(order, _SETTLE.each(connection, [_message_row(endings[place]) for place in order]), strict=True))
    written = [ending for place, ending in enumerate(endings) if held[place]]
    if written:
        _END_ATTEMPT.run(connection, [_attempt_row(ending) for ending in written])
    outcomes = [row for ending in written for row in _recipient_rows(ending)]
    if outcomes:
        _SETTLE_RECIPIENT.run(connection, outcomes)
    if bounced := [report for ending in written for report in _reports(ending)]:
        record_bounces(connection, bounced)
    over = {one.claim.id: one.record.ended_at for one in written if one.settlement.state is MessageState.DONE}
    outbox.ended(connection, over)
    return [held[place] for place in range(len(endings))]


def _renew(connection: Connection, renewal: Renewal) -> set[UUID]:
    rows = connection.execute(_HELD_LEASES, {"leases": list(renewal.leases)}).all()
    if rows:
        connection.execute(_RENEW, [{"of": row.id, "lease_until": renewal.until} for row in rows])
    return {row.lease for row in rows}


def _this(claim: LeaseProof) -> dict[str, Any]:
    return {"of": claim.id, "nth": claim.number}


def _fence(claim: LeaseProof) -> dict[str, Any]:
    return {"of": claim.id, "nth": claim.number, "token": claim.lease}


def _message_row(ending: AttemptResult) -> dict[str, Any]:
    settlement = ending.settlement
    over = settlement.state is MessageState.DONE
    return {
        "of": ending.claim.id,
        "token": ending.claim.lease,
        "keeps_turn": settlement.event is Event.GIVE_BACK,  # it was not its own fault: it goes first again
        "state": settlement.state,
        "due_at": settlement.due_at,
        "ended_at": ending.record.ended_at if over else None,
        "explanation": asdict(settlement.explanation) if settlement.explanation else None,
        "doubts": int(settlement.in_doubt),
        "doubted": settlement.in_doubt,
    }


def _attempt_row(ending: AttemptResult) -> dict[str, Any]:
    record = ending.record
    return {
        **_this(ending.claim),
        "ended_at": record.ended_at,
        "phase": record.phase,
        "failure": record.failure,
        "detail": _plain(record.detail),
        "in_doubt": record.in_doubt,
        "replies": list(record.replies),
        "verdicts": dict(record.verdicts),
        "dialogue": list(record.dialogue),
    }


def _recipient_rows(ending: AttemptResult) -> list[dict[str, Any]]:
    return [
        {"of": ending.claim.id, "to": address, "state": outcome.state, "reply": _plain(outcome.reply)}
        for address, outcome in ending.settlement.recipients.items()
    ]


def _plain(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _reports(ending: AttemptResult) -> list[BounceReport]:
    at, lifetime = ending.record.ended_at, ending.suppression_lifetime
    return [BounceReport(ending.claim.id, bounce, SeenBy.REPLY, at, lifetime) for bounce in ending.settlement.bounces]
