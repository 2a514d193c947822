"""Operations of a worker for its claimed messages: mark the final dot, settle, give back, renew the lease.

Each changes a message only while the caller's lease is the stored one. Settlements are computed in
app/mail/lifecycle.py and written unchanged; bounces are recorded, and the webhook events of ended messages written.

A settlement touches some ten pages, most of which neighbouring settlements share. So it may wait for others, while its
outcome is durable in the table `in_flight`, beside the mark of the next message: at any time each session has at most
one message whose outcome only memory has. A recovery settles what has an outcome (`find_marked`), and the other
messages with a mark are in doubt.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, bindparam, case, delete, or_, select, update

from app.frozen import frozen
from app.mail.lifecycle import Event, MessageState, RecipientOutcome, RecipientState, Settlement, next_state
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import Bounce, SeenBy
from app.store import email_counts
from app.store.db.dialect import storable, upsert
from app.store.db.prepared import PreparedStatement, in_ids, in_lists
from app.store.records import AttemptLog, Claimed
from app.store.schema import ACTIVE, attempts, in_flight, messages, recipients
from app.store.suppressions.bounces import BounceReport, record_bounces
from app.store.webhooks import outbox


class LeaseProof(Protocol):
    """Id, lease and attempt number of a claimed message: a Claimed, or a row of an expired lease."""

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
class Mark:
    """Message whose final dot may be sent, with the outcomes of earlier attempts that no commit has yet."""

    claimed: Claimed
    outcomes: Sequence[AttemptResult] = ()


@frozen
class Renewal:
    """Leases to extend to `until` (epoch seconds)."""

    leases: frozenset[UUID]
    until: float


_m, _r, _a, _f = messages.c, recipients.c, attempts.c, in_flight.c

_THIS_ATTEMPT = (_a.message_id == bindparam("message"), _a.number == bindparam("attempt"))
_FENCE = (ACTIVE, _m.id == bindparam("message"), _m.lease == bindparam("token"))

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
    update(recipients).where(_r.message_id == bindparam("message"), _r.address == bindparam("recipient")),
    sets=("state", "reply"),
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
_RENEW = update(messages).where(_m.id == bindparam("message"))


def _write_mark(dialect: str) -> Any:
    statement = upsert(dialect, in_flight).from_select(
        ["message_id", "lease", "outcome"],
        # Locked, so that a recovery, which skips locked messages, sees every mark of those it takes.
        select(_m.id, _m.lease, bindparam("outcome", type_=_f.outcome.type)).where(*_FENCE).with_for_update(),
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[_f.message_id], set_={"lease": new.lease, "outcome": new.outcome}
    )


_WRITE_MARK = PreparedStatement(_write_mark)
_FIND_MARKS = PreparedStatement(select(_f.message_id, _f.lease, _f.outcome).where(in_ids(_f.message_id)))
_REMOVE_MARKS = PreparedStatement(delete(in_flight).where(in_ids(_f.message_id)))


def mark_dot(connection: Connection, marks: Sequence[Mark]) -> list[bool]:
    """Record that the final dots may be sent, and outcomes; return for each mark whether its lease is still held."""
    rows = [_mark_row(mark.claimed, None) for mark in marks]
    rows += [_mark_row(result.claim, _outcome_values(result)) for mark in marks for result in mark.outcomes]
    order = sorted(range(len(rows)), key=lambda place: rows[place]["message"])  # locked in one order everywhere
    held = dict(zip(order, _WRITE_MARK.run_each(connection, [rows[place] for place in order]), strict=True))
    return [held[place] for place in range(len(marks))]


def settle(connection: Connection, batch: Sequence[AttemptResult]) -> list[bool]:
    """Write settlements; return for each whether the lease was still held. If not, nothing of it is written."""
    order = sorted(range(len(batch)), key=lambda place: batch[place].claim.id)  # locked in one order everywhere
    held = dict(zip(order, _SETTLE.run_each(connection, [_message_row(batch[place]) for place in order]), strict=True))
    written = [batch[place] for place in order if held[place]]
    if written:
        _END_ATTEMPT.run(connection, [{**_this(one.claim), **_record_values(one.record)} for one in written])
        _remove_marks(connection, [one.claim.id for one in written])
    outcomes = [row for one in written for row in _recipient_rows(one)]
    if outcomes:
        _SETTLE_RECIPIENT.run(connection, outcomes)
    if bounced := [report for one in written for report in _reports(one)]:
        record_bounces(connection, bounced)
    over = [one for one in written if one.settlement.state is MessageState.DONE]
    _count(connection, over)
    outbox.ended(connection, {one.claim.id: one.record.ended_at for one in over})
    return [held[place] for place in range(len(batch))]


def give_back(connection: Connection, batch: Sequence[Sequence[Claimed]]) -> list[None]:
    """Requeue claimed messages with their former due time, as if they had never been claimed."""
    claimed = sorted((one for part in batch for one in part), key=lambda one: one.id)
    mine = _GIVE_BACK.run_each(connection, [_fence(one) for one in claimed])
    undone = [_this(one) for one, held in zip(claimed, mine, strict=True) if held]
    if undone:
        _DELETE_ATTEMPT.run(connection, undone)
        _remove_marks(connection, [one["message"] for one in undone])
    return [None] * len(batch)


def renew(connection: Connection, batch: Sequence[Renewal]) -> list[set[UUID]]:
    """Extend leases; return for each renewal those still held."""
    return [_renew(connection, renewal) for renewal in batch]


def find_marked(connection: Connection, claims: Sequence[LeaseProof]) -> dict[UUID, AttemptResult | None]:
    """Return by id the claims with a mark, each with the outcome of its attempt; None: it is not known."""
    found = (_FIND_MARKS.all(connection, ids) for ids in in_lists([one.id for one in claims]))
    rows = {row.message_id: row for part in found for row in part}
    marked = [one for one in claims if one.id in rows and rows[one.id].lease == one.lease]
    return {one.id: _stored_result(one, rows[one.id].outcome) for one in marked}


def _count(connection: Connection, over: Sequence[AttemptResult]) -> None:
    """Count ended emails. Without an explanation all recipients of the attempt were relayed; the first has all."""
    sent = [one.claim.id for one in over if one.claim.number == 1 and one.settlement.explanation is None]
    email_counts.add_sent(connection, sent)
    if len(sent) < len(over):
        email_counts.add(connection, {one.claim.id for one in over}.difference(sent))


def _renew(connection: Connection, renewal: Renewal) -> set[UUID]:
    rows = connection.execute(_HELD_LEASES, {"leases": list(renewal.leases)}).all()
    if rows:
        connection.execute(_RENEW, [{"message": row.id, "lease_until": renewal.until} for row in rows])
    return {row.lease for row in rows}


def _this(claim: LeaseProof) -> dict[str, Any]:
    return {"message": claim.id, "attempt": claim.number}


def _fence(claim: LeaseProof) -> dict[str, Any]:
    return {"message": claim.id, "attempt": claim.number, "token": claim.lease}


def _message_row(result: AttemptResult) -> dict[str, Any]:
    settlement = result.settlement
    over = settlement.state is MessageState.DONE
    return {
        "message": result.claim.id,
        "token": result.claim.lease,
        "keeps_turn": settlement.event is Event.GIVE_BACK,  # it was not its own fault: it goes first again
        "state": settlement.state,
        "due_at": settlement.due_at,
        "ended_at": result.record.ended_at if over else None,
        "explanation": _explanation_values(settlement),
        "doubts": int(settlement.in_doubt),
        "doubted": settlement.in_doubt,
    }


def _recipient_rows(result: AttemptResult) -> list[dict[str, Any]]:
    return [
        {"message": result.claim.id, "recipient": address, "state": state, "reply": reply}
        for address, (state, reply) in _recipient_values(result.settlement).items()
    ]


def _reports(result: AttemptResult) -> list[BounceReport]:
    at, lifetime = result.record.ended_at, result.suppression_lifetime
    return [BounceReport(result.claim.id, bounce, SeenBy.REPLY, at, lifetime) for bounce in result.settlement.bounces]


def _remove_marks(connection: Connection, ids: Sequence[UUID]) -> None:
    """Remove the marks of settled messages; most have none."""
    for values in in_lists(ids):
        _REMOVE_MARKS.run(connection, [values])


def _recipient_values(settlement: Settlement) -> dict[str, list[str | None]]:
    """Return the state and the reply of each recipient, by address."""
    return {address: [one.state, _plain(one.reply)] for address, one in settlement.recipients.items()}


def _explanation_values(settlement: Settlement) -> dict[str, str] | None:
    """Return the explanation as it is stored."""
    why = settlement.explanation
    return None if why is None else {"summary": why.summary, "fix": why.fix}


def _record_values(record: AttemptLog) -> dict[str, Any]:
    """Return the columns of an attempt that its end sets."""
    return {
        "ended_at": record.ended_at,
        "phase": record.phase,
        "failure": record.failure,
        "detail": _plain(record.detail),
        "in_doubt": record.in_doubt,
        "replies": list(record.replies),
        "verdicts": dict(record.verdicts),
        "dialogue": list(record.dialogue),
    }


def _mark_row(claim: LeaseProof, outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"message": claim.id, "token": claim.lease, "outcome": outcome}


def _outcome_values(result: AttemptResult) -> dict[str, Any]:
    settlement = result.settlement
    return {
        "event": settlement.event,
        "due_at": settlement.due_at,
        "in_doubt": settlement.in_doubt,
        "recipients": _recipient_values(settlement),
        "explanation": _explanation_values(settlement),
        "bounces": [_bounce_values(bounce) for bounce in settlement.bounces],
        "suppression_lifetime": result.suppression_lifetime,
        "record": _record_values(result.record),
    }


def _stored_result(claim: LeaseProof, outcome: Mapping[str, Any] | None) -> AttemptResult | None:
    if outcome is None:
        return None
    why, record = outcome["explanation"], outcome["record"]
    settlement = Settlement(
        event=Event(outcome["event"]),
        due_at=outcome["due_at"],
        recipients={
            address: RecipientOutcome(RecipientState(state), reply)
            for address, (state, reply) in outcome["recipients"].items()
        },
        in_doubt=outcome["in_doubt"],
        explanation=None if why is None else Explanation(**why),
        bounces=tuple(Bounce(**values) for values in outcome["bounces"]),
    )
    failure = record["failure"]
    log = AttemptLog(
        ended_at=record["ended_at"],
        phase=Phase(record["phase"]),
        failure=None if failure is None else FailureKind(failure),
        detail=record["detail"],
        replies=tuple(record["replies"]),
        verdicts=record["verdicts"],
        dialogue=tuple(Line(who, line) for who, line in record["dialogue"]),
        in_doubt=record["in_doubt"],
    )
    return AttemptResult(claim, settlement, log, outcome["suppression_lifetime"])


def _bounce_values(bounce: Bounce) -> dict[str, Any]:
    return {
        "address": bounce.address,
        "code": bounce.code,
        "text": storable(bounce.text),
        "needed": bounce.needed,
    }


def _plain(text: str | None) -> str | None:
    return None if text is None else storable(text)
