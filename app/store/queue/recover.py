"""Recovers messages with expired leases or, for a take-over, messages of a mailbox; ends messages past their expiry."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, select, update

from app.mail import lifecycle, policy
from app.mail.lifecycle import EXPIRED, ActiveMessage, Event, MessageState, RecipientOutcome, RecipientState
from app.mail.message.message import OnUnknown
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.store.db.batch import per_argument
from app.store.queue.claim import pending
from app.store.queue.settle import AttemptResult, find_marked, settle
from app.store.records import AttemptLog
from app.store.schema import ACTIVE, WAITING, attempts, messages, owners, recipients
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


Recovered = tuple[UUID, bool | None]
"""Message and whether it is in doubt; None: its outcome was known."""

_m, _r, _a = messages.c, recipients.c, attempts.c

OPEN_ATTEMPTS = select(
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
    OPEN_ATTEMPTS.where(ACTIVE, _m.lease_until <= bindparam("until"))
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


@per_argument
def recover(connection: Connection, expired: ExpiredLeases) -> list[Recovered]:
    """Settle up to BATCH_SIZE messages with an expired lease."""
    statement = _EXPIRED if expired.owner is None else _EXPIRED_OF
    rows = connection.execute(statement, {"until": expired.until, "owner": expired.owner}).all()
    return requeue(connection, rows, expired)


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
    outbox.ended(connection, dict.fromkeys(ids, now))
    return ids


def requeue(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]], expired: ExpiredLeases) -> list[Recovered]:
    """Settle the locked rows of OPEN_ATTEMPTS: by their outcome if it is known, else like a lost connection."""
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
