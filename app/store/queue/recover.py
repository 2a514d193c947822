"""Recovery of messages that are under way or waiting: of expired leases, of a mailbox that a replica takes over, past
their expiry, and after a restore.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, Row, bindparam, exists, func, or_, select, update

from app.mail import lifecycle, policy
from app.mail.lifecycle import (
    EXPIRED,
    RESTORED,
    ActiveMessage,
    Event,
    MessageState,
    RecipientOutcome,
    RecipientState,
)
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.store import email_counts
from app.store.db.dialect import execute_many
from app.store.db.writer import per_argument
from app.store.mailboxes.ownership import ALIVE
from app.store.mailboxes.records import Acquired, ClockSkew
from app.store.queue.claim import pending
from app.store.queue.settle import AttemptResult, find_marked, settle
from app.store.records import AttemptLog
from app.store.schema import ACTIVE, WAITING, attempts, messages, owners, recipients, replicas
from app.store.webhooks import outbox

BATCH_SIZE = 1000  # rows in one transaction: accepts wait for it


@dataclass(frozen=True, slots=True)
class ExpiredLeases:
    """Selection of ACTIVE messages with a lease that ends by `until` (epoch seconds).

    `jitter` returns numbers in -1..1. `owner`: only the mailboxes of this replica.
    """

    until: float
    now: float
    jitter: Callable[[], float]
    owner: UUID | None = None


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Request of a replica to own a mailbox. `by_force`: its owner is dead. `jitter` gives numbers in -1..1."""

    replica: UUID
    mailbox: str
    by_force: bool
    now: float
    clock_skew: ClockSkew
    jitter: Callable[[], float]


Recovered = tuple[UUID, bool | None]
"""Message and whether it is in doubt; None: its outcome was known."""

_m, _r, _a, _o = messages.c, recipients.c, attempts.c, owners.c

_OPEN_ATTEMPTS = select(
    _m.id,
    _m.lease,
    _m.attempts.label("number"),
    _m.lease_until,
    _m.due_since,
    _m.expires_at,
    _m.on_unknown,
    _m.unknown,
    _a.phase,
).join(attempts, (_a.message_id == _m.id) & (_a.number == _m.attempts))
"""Active messages with their open attempts."""

_EXPIRED = (
    _OPEN_ATTEMPTS.where(ACTIVE, _m.lease_until <= bindparam("until"))
    .order_by(_m.lease_until)
    .limit(BATCH_SIZE)
    .with_for_update(of=[messages, attempts], skip_locked=True)  # so that no dot is marked meanwhile
)
_EXPIRED_OF = _EXPIRED.where(exists().where(owners.c.mailbox == _m.mailbox, owners.c.replica == bindparam("owner")))
_PAST_EXPIRY = (
    select(_m.id, _m.state)
    .where(WAITING, _m.expires_at <= bindparam("now"))
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_EXPIRE = (
    update(messages).where(_m.id == bindparam("message")).values(due_at=None, turn=None, explanation=asdict(EXPIRED))
)
_STILL_PENDING = select(_r.message_id, _r.address, _r.reply).where(
    _r.message_id.in_(bindparam("ids", expanding=True)), _r.state == RecipientState.PENDING
)
_FAIL = update(recipients).where(_r.message_id == bindparam("message"), _r.address == bindparam("recipient"))
_HELD = lifecycle.next_state(MessageState.QUEUED, Event.HOLD)  # the same as from DEFERRED
_MAYBE_SENT = (
    select(_m.id)
    .where(WAITING, or_(_m.scheduled_at.is_(None), _m.scheduled_at <= bindparam("now")))
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_HOLD = (
    update(messages)
    .where(_m.id == bindparam("message"))
    .values(state=_HELD, due_at=None, turn=None, possible_duplicate=True, explanation=asdict(RESTORED))
)
_FREE = (
    select(_o.token, _o.clock, _o.ahead)
    .where(
        _o.mailbox == bindparam("mailbox_name"),
        or_(
            bindparam("by_force", type_=Boolean),
            ~exists().where(replicas.c.id == _o.replica, ALIVE).correlate(owners),
        ),
    )
    .with_for_update(of=owners, skip_locked=True)
)
_OPEN_OF = (_a.mailbox == bindparam("mailbox_name"), _a.ended_at.is_(None), ACTIVE)
_UNFINISHED = _OPEN_ATTEMPTS.where(*_OPEN_OF).order_by(_m.id).with_for_update(of=[messages, attempts], skip_locked=True)
_COUNT = select(func.count()).select_from(attempts).join(messages, _m.id == _a.message_id).where(*_OPEN_OF)
_TAKE_OVER = update(owners).where(_o.mailbox == bindparam("mailbox_name")).values(token=_o.token + 1)


@per_argument
def recover(connection: Connection, expired: ExpiredLeases) -> list[Recovered]:
    """Settle up to BATCH_SIZE messages with an expired lease."""
    statement = _EXPIRED if expired.owner is None else _EXPIRED_OF
    rows = connection.execute(statement, {"until": expired.until, "owner": expired.owner}).all()
    return _requeue(connection, rows, expired)


@per_argument
def expire(connection: Connection, now: float) -> list[UUID]:
    """End up to BATCH_SIZE messages that have expired at `now` (epoch seconds): they are DONE. Return their ids."""
    rows = connection.execute(_PAST_EXPIRY, {"now": now}).all()
    if not rows:
        return []
    ids: list[UUID] = [row.id for row in rows]
    states = [lifecycle.next_state(MessageState(row.state), Event.EXPIRE) for row in rows]
    connection.execute(
        _EXPIRE,
        [{"message": id, "state": state, "ended_at": now} for id, state in zip(ids, states, strict=True)],
    )
    _fail_pending(connection, ids)
    email_counts.add(connection, ids)
    outbox.ended(connection, dict.fromkeys(ids, now))
    return ids


@per_argument
def hold(connection: Connection, now: float) -> int:
    """Hold up to BATCH_SIZE waiting messages after a restore at `now` (epoch seconds); return their number.

    They may have been relayed since the backup, except those that are scheduled for a later time.
    """
    rows = [{"message": id} for id in connection.execute(_MAYBE_SENT, {"now": now}).scalars()]
    execute_many(connection, _HOLD, rows)
    return len(rows)


@per_argument
def acquire(connection: Connection, request: Acquisition) -> Acquired | None:
    """Take over a mailbox: its fencing token grows, and its active messages are requeued, in one commit.

    None: a live replica owns it, or rows are locked, and it is repeated later. After the commit the former owner cannot
    claim, mark a final dot or settle; everything that it may have sent is known to the new owner.
    """
    mailbox = {"mailbox_name": request.mailbox}
    before = connection.execute(_FREE, {**mailbox, "by_force": request.by_force}).first()
    if before is None:
        return None
    rows = connection.execute(_UNFINISHED, mailbox).all()
    if len(rows) != connection.execute(_COUNT, mailbox).scalar():
        return None
    skew = request.clock_skew
    connection.execute(_TAKE_OVER, {**mailbox, "replica": request.replica, "clock": skew.clock, "ahead": skew.ahead})
    recovered = _requeue(connection, rows, ExpiredLeases(math.inf, request.now, request.jitter))
    unfinished = tuple((id, in_doubt) for id, in_doubt in recovered if in_doubt is not None)
    ahead = skew.ahead - before.ahead if skew.clock and skew.clock == before.clock else 0.0
    return Acquired(request.mailbox, before.token + 1, request.now, unfinished, ahead)


def _requeue(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]], expired: ExpiredLeases) -> list[Recovered]:
    """Settle the locked rows of _OPEN_ATTEMPTS: by their outcome if it is known, else like a lost connection."""
    if not rows:
        return []
    marked = find_marked(connection, rows)  # after the lock: no mark is written meanwhile
    addresses = pending(connection, [row.id for row in rows])
    known = {id for id, result in marked.items() if result is not None}
    results = [marked.get(row.id) or _lost(row, row.id in marked, addresses[row.id], expired) for row in rows]
    settle(connection, results)
    return [(one.claim.id, None if one.claim.id in known else one.settlement.in_doubt) for one in results]


def _lost(row: Row[*tuple[Any, ...]], marked: bool, addresses: Sequence[str], expired: ExpiredLeases) -> AttemptResult:
    phase = Phase.DOT if marked else Phase(row.phase)
    failure = Failure(phase, FailureKind.CRASHED, "The process that relayed it ended without a word.")
    verdicts = policy.judge(Attempt(failure.phase, failure=failure), addresses)
    message = ActiveMessage(row.due_since, row.expires_at, OnUnknown(row.on_unknown), row.unknown)
    record = AttemptLog(
        ended_at=min(expired.now, row.lease_until),  # nothing was sent after the lease
        phase=failure.phase,
        failure=failure.kind,
        detail=failure.detail,
        verdicts={address: f"{verdict.action} ({verdict.rule})" for address, verdict in verdicts.items()},
        in_doubt=failure.in_doubt,
    )
    settlement = lifecycle.settle(message, verdicts, expired.now, expired.jitter())
    return AttemptResult(row, settlement, record)


def _fail_pending(connection: Connection, ids: Sequence[UUID]) -> None:
    waiting: dict[UUID, dict[str, RecipientOutcome]] = defaultdict(dict)
    for row in connection.execute(_STILL_PENDING, {"ids": ids}):
        waiting[row.message_id][row.address] = RecipientOutcome(RecipientState.PENDING, row.reply)
    failed = [
        {"message": message, "recipient": address, "state": outcome.state, "reply": outcome.reply}
        for message, outcomes in waiting.items()
        for address, outcome in lifecycle.expire(outcomes).items()
    ]
    if failed:
        connection.execute(_FAIL, failed)
