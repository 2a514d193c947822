"""Operations of a worker for its claimed messages: mark the final dot, settle, give back, renew the lease.

Each changes a message only while the caller's lease is the stored one. Settlements are computed in
app/mail/lifecycle.py and written unchanged; bounces are recorded, and the webhook events of ended messages written.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, bindparam, case, delete, or_, select, update

from app.frozen import frozen
from app.mail.lifecycle import Event, MessageState, next_state
from app.mail.suppression import SeenBy
from app.store.db.prepared import PreparedStatement
from app.store.queue import in_flight
from app.store.queue.in_flight import (
    AttemptResult,
    LeaseProof,
    Mark,
    explanation_values,
    recipient_values,
    record_values,
)
from app.store.records import Claimed
from app.store.schema import ACTIVE, attempts, messages, recipients
from app.store.suppressions.bounces import BounceReport, record_bounces
from app.store.webhooks import outbox


@frozen
class Renewal:
    """Leases to extend to `until` (epoch seconds)."""

    leases: frozenset[UUID]
    until: float


_m, _r, _a = messages.c, recipients.c, attempts.c

_THIS_ATTEMPT = (_a.message_id == bindparam("of"), _a.number == bindparam("nth"))
_FENCE = (ACTIVE, _m.id == bindparam("of"), _m.lease == bindparam("token"))

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


def mark_dot(connection: Connection, batch: Sequence[Mark]) -> list[bool]:
    """Record that the final dot may be sent; return for each whether the lease is still held."""
    return in_flight.write(connection, batch)


def settle(connection: Connection, batch: Sequence[AttemptResult]) -> list[bool]:
    """Write settlements; return for each whether the lease was still held. If not, nothing of it is written."""
    order = sorted(range(len(batch)), key=lambda place: batch[place].claim.id)  # locked in one order everywhere
    held = dict(zip(order, _SETTLE.run_each(connection, [_message_row(batch[place]) for place in order]), strict=True))
    written = [batch[place] for place in order if held[place]]
    if written:
        _END_ATTEMPT.run(connection, [{**_this(one.claim), **record_values(one.record)} for one in written])
        in_flight.remove(connection, [one.claim.id for one in written])
    outcomes = [row for one in written for row in _recipient_rows(one)]
    if outcomes:
        _SETTLE_RECIPIENT.run(connection, outcomes)
    if bounced := [report for one in written for report in _reports(one)]:
        record_bounces(connection, bounced)
    over = {one.claim.id: one.record.ended_at for one in written if one.settlement.state is MessageState.DONE}
    outbox.ended(connection, over)
    return [held[place] for place in range(len(batch))]


def give_back(connection: Connection, batch: Sequence[Sequence[Claimed]]) -> list[None]:
    """Requeue claimed messages with their former due time, as if they had never been claimed."""
    claimed = sorted((one for part in batch for one in part), key=lambda one: one.id)
    mine = _GIVE_BACK.run_each(connection, [_fence(one) for one in claimed])
    undone = [_this(one) for one, held in zip(claimed, mine, strict=True) if held]
    if undone:
        _DELETE_ATTEMPT.run(connection, undone)
        in_flight.remove(connection, [one["of"] for one in undone])
    return [None] * len(batch)


def renew(connection: Connection, batch: Sequence[Renewal]) -> list[set[UUID]]:
    """Extend leases; return for each renewal those still held."""
    return [_renew(connection, renewal) for renewal in batch]


def _renew(connection: Connection, renewal: Renewal) -> set[UUID]:
    rows = connection.execute(_HELD_LEASES, {"leases": list(renewal.leases)}).all()
    if rows:
        connection.execute(_RENEW, [{"of": row.id, "lease_until": renewal.until} for row in rows])
    return {row.lease for row in rows}


def _this(claim: LeaseProof) -> dict[str, Any]:
    return {"of": claim.id, "nth": claim.number}


def _fence(claim: LeaseProof) -> dict[str, Any]:
    return {"of": claim.id, "nth": claim.number, "token": claim.lease}


def _message_row(result: AttemptResult) -> dict[str, Any]:
    settlement = result.settlement
    over = settlement.state is MessageState.DONE
    return {
        "of": result.claim.id,
        "token": result.claim.lease,
        "keeps_turn": settlement.event is Event.GIVE_BACK,  # it was not its own fault: it goes first again
        "state": settlement.state,
        "due_at": settlement.due_at,
        "ended_at": result.record.ended_at if over else None,
        "explanation": explanation_values(settlement),
        "doubts": int(settlement.in_doubt),
        "doubted": settlement.in_doubt,
    }


def _recipient_rows(result: AttemptResult) -> list[dict[str, Any]]:
    return [
        {"of": result.claim.id, "to": address, "state": state, "reply": reply}
        for address, (state, reply) in recipient_values(result.settlement).items()
    ]


def _reports(result: AttemptResult) -> list[BounceReport]:
    at, lifetime = result.record.ended_at, result.suppression_lifetime
    return [BounceReport(result.claim.id, bounce, SeenBy.REPLY, at, lifetime) for bounce in result.settlement.bounces]
