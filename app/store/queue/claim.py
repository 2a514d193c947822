"""Claims due messages for a worker: turn, state, lease and open attempt in one transaction, without recipients that
were suppressed since. Also reads the pending recipients of messages.

A message with a later due time gets its turn here, when it becomes due. So a claim finds the next messages at the front
of an index, however many wait behind them.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from app.frozen import frozen
from app.mail.lifecycle import ActiveMessage, MessageState, RecipientState
from app.mail.message.message import Envelope, Lane, OnUnknown
from app.mail.outcome.attempt import Phase
from app.store.db.prepared import PreparedStatement, in_ids, in_lists
from app.store.mailboxes.ownership import OWNED
from app.store.queue.fair_queue import LaneKey, assign_turns, current_turn
from app.store.records import Claimed
from app.store.schema import READY, RESTING, attempts, contents, messages, recipients
from app.store.suppressions import lookup, recheck

# Bytes of a content that comes with the claim: to read it by itself would cost more than to send it.
MAX_INLINE_CONTENT = 64 * 1024
TURN_BATCH = 256  # how many that have become due get their turn in one claim

LANES = tuple(Lane)  # by rank
_URGENT, _LAST = Lane.URGENT.rank, LANES[-1].rank


@frozen
class ClaimRequest:
    """Request of a worker for up to `limit` messages, at most `non_urgent` of them not urgent.

    `fence` is the fencing token under which its replica owns the mailbox. Times: epoch seconds.
    """

    pool: str
    mailbox: str
    fence: int
    limit: int
    non_urgent: int
    now: float
    lease_until: float


_m, _r = messages.c, recipients.c

_BECOME_DUE = PreparedStatement(
    select(_m.id, _m.lane, _m.key_id, _m.attempts)
    .where(RESTING, _m.pool == bindparam("pool"), _m.due_at <= bindparam("now"))
    .order_by(_m.due_at, _m.id)
    .limit(TURN_BATCH)
    .with_for_update(skip_locked=True)
)
_PLACE = PreparedStatement(update(messages).where(_m.id == bindparam("message")).values(turn=bindparam("place")))
_NEXT = PreparedStatement(
    select(
        *(_m.id, _m.lane, _m.mail_from, _m.smtputf8, _m.message_id, _m.size, _m.attempts),
        *(_m.due_since, _m.expires_at, _m.on_unknown, _m.unknown, _m.traceparent, contents.c.content),
        lookup.ANY_SUPPRESSED,
    )
    .select_from(messages)
    .outerjoin(contents, and_(contents.c.message_id == _m.id, _m.size <= MAX_INLINE_CONTENT))
    .where(
        READY,
        _m.pool == bindparam("pool"),
        _m.lane >= bindparam("first"),
        _m.lane <= bindparam("last"),
        _m.expires_at > bindparam("now"),
    )
    .order_by(_m.lane, _m.turn, _m.id)
    .limit(bindparam("limit"))
    .with_for_update(of=messages, skip_locked=True)
)
_TAKE = PreparedStatement(
    update(messages)
    .where(_m.id == bindparam("taken"), OWNED)
    .values(
        state=MessageState.ACTIVE,
        attempts=_m.attempts + 1,
        lease=bindparam("token"),
        lease_until=bindparam("until"),
        mailbox=bindparam("by"),
    )
)
_OPEN_ATTEMPT = PreparedStatement(
    insert(attempts).values(phase=Phase.CONNECT, in_doubt=False, replies=[], verdicts={}, dialogue=[]),
    sets=("message_id", "number", "mailbox", "lease", "recipients", "started_at"),
)
_PENDING = PreparedStatement(
    select(_r.message_id, _r.address)
    .where(in_ids(_r.message_id), _r.state == RecipientState.PENDING)
    .order_by(_r.message_id, _r.position)
)


def claim(connection: Connection, requests: Sequence[ClaimRequest]) -> list[list[Claimed] | None]:
    """Return for each request the claimed messages; None if another replica owns the mailbox."""
    return [_claim(connection, request) for request in requests]


def pending(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return by message the pending recipients, in the caller's order."""
    addresses: dict[UUID, list[str]] = defaultdict(list)
    for values in in_lists(ids):
        for row in _PENDING.all(connection, values):
            addresses[row.message_id].append(row.address)
    return addresses


def _claim(connection: Connection, request: ClaimRequest) -> list[Claimed] | None:
    _assign_turns(connection, request)
    claimed: list[Claimed] = []
    while not claimed:  # again, if all of them have ended because of the suppression list
        found = _next(connection, request)
        if not found:
            return []
        waiting = pending(connection, [row.id for row in found])
        ended = recheck.leave_out(connection, waiting, request.now) if found[0].any_suppressed else ()
        claimed = [_claimed(row, request, waiting[row.id]) for row in found if row.id not in ended]
    if not _TAKE.run(connection, [_taking(one, request) for one in claimed]):
        return None
    _OPEN_ATTEMPT.run(connection, [_attempt_row(one) for one in claimed])
    return claimed


def _assign_turns(connection: Connection, request: ClaimRequest) -> None:
    """Give a turn to what has become due: in line with its key's others, or at once if it has had its turn before."""
    due = _BECOME_DUE.all(connection, {"pool": request.pool, "now": request.now})
    if not due:
        return
    first = [row for row in due if row.attempts == 0]
    turns = assign_turns(connection, [LaneKey(request.pool, row.lane, row.key_id) for row in first])
    placed = [{"message": row.id, "place": turn} for row, turn in zip(first, turns, strict=True)]
    again = {row.id: row.lane for row in due if row.attempts > 0}
    now = {lane: current_turn(connection, request.pool, lane) for lane in set(again.values())}
    _PLACE.run(connection, placed + [{"message": id, "place": now[lane]} for id, lane in again.items()])


def _next(connection: Connection, request: ClaimRequest) -> list[Any]:
    if request.non_urgent >= request.limit:
        return _of_lanes(connection, request, _URGENT, _LAST, request.limit)
    urgent = _of_lanes(connection, request, _URGENT, _URGENT, request.limit)
    others = min(request.non_urgent, request.limit - len(urgent))
    return urgent + (_of_lanes(connection, request, _URGENT + 1, _LAST, others) if others else [])


def _of_lanes(connection: Connection, request: ClaimRequest, first: int, last: int, limit: int) -> list[Any]:
    return _NEXT.all(
        connection, {"pool": request.pool, "first": first, "last": last, "now": request.now, "limit": limit}
    )


def _claimed(row: Any, request: ClaimRequest, addresses: Sequence[str]) -> Claimed:
    return Claimed(
        id=row.id,
        lease=uuid4(),
        mailbox=request.mailbox,
        number=row.attempts + 1,
        started_at=request.now,
        envelope=Envelope(row.mail_from, tuple(addresses), row.smtputf8),
        message_id=row.message_id,
        size=row.size,
        delivery_state=ActiveMessage(row.due_since, row.expires_at, OnUnknown(row.on_unknown), row.unknown),
        lane=LANES[row.lane],
        content=row.content,
        traceparent=row.traceparent,
    )


def _taking(claimed: Claimed, request: ClaimRequest) -> dict[str, Any]:
    return {
        "taken": claimed.id,
        "token": claimed.lease,
        "until": request.lease_until,
        "by": request.mailbox,
        "fence": request.fence,
    }


def _attempt_row(claimed: Claimed) -> dict[str, Any]:
    return {
        "message_id": claimed.id,
        "number": claimed.number,
        "mailbox": claimed.mailbox,
        "lease": claimed.lease,
        "recipients": len(claimed.envelope.rcpt_to),
        "started_at": claimed.started_at,
    }
