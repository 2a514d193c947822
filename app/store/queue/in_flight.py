"""Table of messages under way, each from the mark of its final dot to its settlement, with the outcome of its attempt
once it is known; and the forms in which outcomes are stored, here and in the other tables.

A settlement touches some ten pages, most of which neighbouring settlements share. So it may wait for others, while its
outcome is durable here with the next mark: at any time each session has at most one message whose outcome only memory
has. A recovery settles what has an outcome, and the other messages with a mark are in doubt.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select

from app.frozen import frozen
from app.mail.lifecycle import Event, RecipientOutcome, RecipientState, Settlement
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import Bounce
from app.store.db.dialect import storable, upsert
from app.store.db.prepared import IN_WIDTH, PreparedStatement, in_lists
from app.store.records import AttemptLog, Claimed
from app.store.schema import ACTIVE, in_flight, messages


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


_m, _f = messages.c, in_flight.c


def _write(dialect: str) -> Any:
    statement = upsert(dialect, in_flight).from_select(
        ["message_id", "lease", "outcome"],
        # Locked, so that a recovery, which skips locked messages, sees every mark of those it takes.
        select(_m.id, _m.lease, bindparam("outcome", type_=_f.outcome.type))
        .where(ACTIVE, _m.id == bindparam("of"), _m.lease == bindparam("token"))
        .with_for_update(),
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[_f.message_id], set_={"lease": new.lease, "outcome": new.outcome}
    )


_WRITE = PreparedStatement(_write)
_IDS = [bindparam(f"id{place}", type_=_f.message_id.type) for place in range(IN_WIDTH)]
_FIND = PreparedStatement(select(_f.message_id, _f.lease, _f.outcome).where(_f.message_id.in_(_IDS)))
_REMOVE = PreparedStatement(delete(in_flight).where(_f.message_id.in_(_IDS)))


def write(connection: Connection, marks: Sequence[Mark]) -> list[bool]:
    """Write marks and outcomes whose lease is still held; return for each mark whether it was."""
    rows = [_row(mark.claimed, None) for mark in marks]
    rows += [_row(result.claim, _outcome(result)) for mark in marks for result in mark.outcomes]
    order = sorted(range(len(rows)), key=lambda place: rows[place]["of"])  # locked in one order everywhere
    held = dict(zip(order, _WRITE.run_each(connection, [rows[place] for place in order]), strict=True))
    return [held[place] for place in range(len(marks))]


def find(connection: Connection, claims: Sequence[LeaseProof]) -> dict[UUID, AttemptResult | None]:
    """Return by id the claims with a mark, each with the outcome of its attempt; None: it is not known."""
    rows = {row.message_id: row for ids in in_lists([one.id for one in claims]) for row in _FIND.all(connection, ids)}
    marked = [one for one in claims if one.id in rows and rows[one.id].lease == one.lease]
    return {one.id: _result(one, rows[one.id].outcome) for one in marked}


def remove(connection: Connection, ids: Sequence[UUID]) -> None:
    """Remove settled messages; those without a mark are ignored."""
    for values in in_lists(ids):
        _REMOVE.run(connection, [values])


def recipient_values(settlement: Settlement) -> dict[str, list[str | None]]:
    """Return the state and the reply of each recipient, by address."""
    return {address: [one.state, _plain(one.reply)] for address, one in settlement.recipients.items()}


def explanation_values(settlement: Settlement) -> dict[str, str] | None:
    """Return the explanation as it is stored."""
    why = settlement.explanation
    return None if why is None else {"summary": why.summary, "fix": why.fix}


def record_values(record: AttemptLog) -> dict[str, Any]:
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


def _row(claim: LeaseProof, outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"of": claim.id, "token": claim.lease, "outcome": outcome}


def _outcome(result: AttemptResult) -> dict[str, Any]:
    settlement = result.settlement
    return {
        "event": settlement.event,
        "due_at": settlement.due_at,
        "in_doubt": settlement.in_doubt,
        "recipients": recipient_values(settlement),
        "explanation": explanation_values(settlement),
        "bounces": [_bounce_values(bounce) for bounce in settlement.bounces],
        "suppression_lifetime": result.suppression_lifetime,
        "record": record_values(result.record),
    }


def _result(claim: LeaseProof, outcome: Mapping[str, Any] | None) -> AttemptResult | None:
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
