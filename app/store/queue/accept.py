"""Stores accepted messages with recipients, content, Idempotency-Key, webhook events and the charge of the rate limit,
and cancels those they supersede, all in one commit.

The primary key of the Idempotency-Key's row, written in the same transaction, rejects a second request with the same
key, within a batch of requests and between processes. The API key's rate limit is charged only for what is stored. A
recipient on the suppression list is stored as suppressed; a message without others has ended.

Of an API key's waiting messages of one pool with one `coalesce` value, the newest supersedes the others. It inherits
their first turn in its lane: else a caller that always submits newer ones would never have one sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from app.mail.key_policy import RateLimit
from app.mail.lifecycle import SUPERSEDED, SUPPRESSED, TO_SINK, Event, MessageState, RecipientState, next_state
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import Listing
from app.mail.times import DAY
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.keys import rate_limits
from app.store.keys.rate_limits import Charge, amount_of
from app.store.queue.fair_queue import LaneKey, assign_turns
from app.store.records import Acceptance, Accepted, Idempotency, IdempotencyConflict, MessageSummary, RateLimited
from app.store.schema import COALESCING, contents, idempotency, messages, recipients
from app.store.suppressions import lookup
from app.store.webhooks import outbox

IDEMPOTENCY_RETENTION = DAY  # seconds that an Idempotency-Key is stored

_INSERT_MESSAGE = PreparedStatement(insert(messages))
_INSERT_RECIPIENT = PreparedStatement(insert(recipients))
_INSERT_CONTENT = PreparedStatement(insert(contents))
_m, _i = messages.c, idempotency.c
_DELETE_KEY = delete(idempotency).where(
    _i.key_id == bindparam("api_key"), _i.endpoint == bindparam("path"), _i.key == bindparam("token")
)
_SAME = (COALESCING, _m.key_id == bindparam("key"), _m.coalesce == bindparam("value"), _m.pool == bindparam("in_pool"))

_FIRST_TURN = PreparedStatement(select(func.min(_m.turn).label("turn")).where(*_SAME, _m.lane == bindparam("in_lane")))
_SUPERSEDED_IDS = PreparedStatement(select(_m.id).where(*_SAME, _m.id != bindparam("newest")))
_SUPERSEDE = PreparedStatement(
    update(messages)
    .where(*_SAME, _m.id != bindparam("newest"))
    .values(
        state=MessageState.CANCELLED,
        due_at=None,
        turn=None,
        ended_at=bindparam("now"),
        explanation=asdict(SUPERSEDED),
    )
)

_Key = tuple[UUID, str, str]
_Answer = Accepted | IdempotencyConflict | RateLimited
Suppressed = Mapping[UUID, Mapping[str, Listing]]  # by message, then by recipient
_NONE: Mapping[str, Listing] = {}


@dataclass(frozen=True, slots=True)
class Request:
    """Messages that one caller stores together. With an Idempotency-Key there is at least one."""

    acceptances: tuple[Acceptance, ...]
    idempotency: Idempotency | None
    rate_limit: RateLimit | None = None

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Ids of the messages."""
        return tuple(acceptance.id for acceptance in self.acceptances)


def accept(connection: Connection, requests: Sequence[Request]) -> list[_Answer]:
    """Store the messages. A used Idempotency-Key stores nothing and returns the ids of its first request."""
    first = _store_keys(connection, [request for request in requests if request.idempotency])
    answers = _charged(connection, requests, [_answer(request, first) for request in requests])
    fresh = [
        acceptance
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Accepted) and not answer.replayed
        for acceptance in request.acceptances
    ]
    refused = suppressed(connection, fresh)
    replaced = _insert(connection, fresh, refused) if fresh else {}
    return [_with(answer, replaced, refused) for answer in answers] if replaced or refused else answers


def suppressed(connection: Connection, fresh: Sequence[Acceptance]) -> Suppressed:
    """Return the suppressed recipients of new messages that are to be relayed and do not ignore the list."""
    checked = {one.id: one.message.envelope.rcpt_to for one in fresh if not (one.to_sink or one.ignores_suppressions)}
    return lookup.suppressed(connection, checked, max((one.created_at for one in fresh), default=0.0))


def _with(answer: _Answer, replaced: Mapping[UUID, Sequence[UUID]], suppressed: Suppressed) -> _Answer:
    """Return the answer with the ids of the messages that were superseded, and the suppressed recipients."""
    if not isinstance(answer, Accepted) or answer.replayed:
        return answer
    return replace(
        answer,
        superseded=tuple(old for id in answer.ids for old in replaced.get(id, ())),
        suppressed={id: tuple(suppressed[id].values()) for id in answer.ids if id in suppressed},
    )


def _insert(
    connection: Connection, fresh: Sequence[Acceptance], suppressed: Suppressed
) -> Mapping[UUID, Sequence[UUID]]:
    """Insert the messages; return by id the messages that each has superseded."""
    listed = [suppressed.get(one.id, _NONE) if suppressed else _NONE for one in fresh]
    ends = [_end(one, listings) for one, listings in zip(fresh, listed, strict=True)]
    queued = [one for one, end in zip(fresh, ends, strict=True) if end is None]
    turns = {**_turns(connection, queued), **_inherited_turns(connection, queued)}
    _INSERT_MESSAGE.run(
        connection, [_message_row(one, turns.get(one.id), end) for one, end in zip(fresh, ends, strict=True)]
    )
    _INSERT_RECIPIENT.run(
        connection, [row for one, listings in zip(fresh, listed, strict=True) for row in _recipient_rows(one, listings)]
    )
    _INSERT_CONTENT.run(connection, [{"message_id": one.id, "content": one.message.content} for one in fresh])
    replaced = _supersede(connection, queued)
    outbox.accepted(connection, queued)
    outbox.suppressed(connection, suppressed, {one.id: one.created_at for one in fresh} if suppressed else {})
    outbox.ended(connection, {one.id: one.created_at for one, end in zip(fresh, ends, strict=True) if end is not None})
    return replaced


def _end(acceptance: Acceptance, suppressed: Mapping[str, Listing]) -> tuple[Event, Explanation] | None:
    """Return the event that ends a message at once, and its explanation; None if it is queued."""
    if acceptance.to_sink:
        return Event.CANCEL, TO_SINK
    return (Event.SUPPRESS, SUPPRESSED) if len(suppressed) == len(acceptance.message.envelope.rcpt_to) else None


def _charged(connection: Connection, requests: Sequence[Request], answers: list[_Answer]) -> list[_Answer]:
    """Charge the rate limits; return the answers, RateLimited where a limit is exceeded."""
    charges = {
        place: Charge(
            asked.acceptances[0].key_id, asked.rate_limit, amount_of(asked.acceptances), asked.acceptances[0].created_at
        )
        for place, (asked, answer) in enumerate(zip(requests, answers, strict=True))
        if asked.rate_limit is not None and isinstance(answer, Accepted) and not answer.replayed
    }
    if not charges:
        return answers
    outcomes = rate_limits.charge(connection, charges)
    overdrawn: dict[tuple[UUID, ...], _Answer] = {}
    for place, outcome in outcomes.items():
        ids = requests[place].ids
        if outcome.exceeded is None:
            answers[place] = Accepted(ids, usage=outcome.usage)
        else:
            overdrawn[ids] = RateLimited(outcome.usage, outcome.exceeded)
    _delete_keys(connection, [requests[place].idempotency for place, outcome in outcomes.items() if outcome.exceeded])
    # A request of this group with the same Idempotency-Key repeats one that was not stored.
    return [overdrawn.get(answer.ids, answer) if isinstance(answer, Accepted) else answer for answer in answers]


def _turns(connection: Connection, fresh: Sequence[Acceptance]) -> dict[UUID, int]:
    """Assign turns to the messages that are due; the others get theirs when they become due."""
    due = sorted((one for one in fresh if one.due_at <= one.created_at), key=lambda one: (one.due_at, one.id))
    places = [LaneKey(one.pool, one.lane.rank, one.key_id) for one in due]
    return dict(zip((one.id for one in due), assign_turns(connection, places), strict=True))


def _message_row(acceptance: Acceptance, turn: int | None, end: tuple[Event, Explanation] | None) -> dict[str, Any]:
    message = acceptance.message
    return {
        "id": acceptance.id,
        "key_id": acceptance.key_id,
        "pool": acceptance.pool,
        "lane": acceptance.lane.rank,
        "turn": turn,
        "state": MessageState.QUEUED,
        "created_at": acceptance.created_at,
        "scheduled_at": acceptance.scheduled_at,
        "due_since": acceptance.due_at,
        "due_at": acceptance.due_at,
        "expires_at": acceptance.expires_at,
        "attempts": 0,
        "unknown": 0,
        "possible_duplicate": False,
        "on_unknown": acceptance.on_unknown,
        "coalesce": acceptance.coalesce,
        "traceparent": acceptance.traceparent,
        "message_id": message.message_id,
        "mail_from": message.envelope.mail_from,
        "smtputf8": message.envelope.smtputf8,
        "size": len(message.content),
        "head": _head(acceptance.head),
        **(_ended(acceptance, *end) if end else {}),
    }


def _ended(acceptance: Acceptance, event: Event, why: Explanation) -> dict[str, Any]:
    """Return the columns of a message that has ended when it is stored."""
    state = next_state(MessageState.QUEUED, event)
    return {"state": state, "due_at": None, "ended_at": acceptance.created_at, "explanation": asdict(why)}


def _head(head: MessageSummary) -> dict[str, Any]:
    headers = {"headers": head.headers} if head.headers else {}
    return {
        **headers,
        "client": head.client,
        "sender": head.sender,
        "to": head.to,
        "subject": head.subject,
        "cc": head.cc,
        "bcc": head.bcc,
        "reply_to": head.reply_to,
        "tags": head.tags,
    }


def _recipient_rows(acceptance: Acceptance, suppressed: Mapping[str, Listing]) -> list[dict[str, Any]]:
    return [
        {
            "message_id": acceptance.id,
            "address": address,
            "position": position,
            "state": RecipientState.SUPPRESSED if address in suppressed else RecipientState.PENDING,
            "reply": suppressed[address].reply if address in suppressed else None,
        }
        for position, address in enumerate(acceptance.message.envelope.rcpt_to)
    ]


def _answer(request: Request, first: Mapping[_Key, tuple[bytes, tuple[UUID, ...]]]) -> _Answer:
    asked = request.idempotency
    if asked is None:
        return Accepted(request.ids)
    fingerprint, ids = first[_key(asked)]
    if ids == request.ids:
        return Accepted(ids)
    return Accepted(ids, replayed=True) if fingerprint == asked.fingerprint else IdempotencyConflict()


def _delete_keys(connection: Connection, keys: Sequence[Idempotency | None]) -> None:
    """Delete the Idempotency-Keys of requests that were not stored."""
    rows = [{"api_key": one.key_id, "path": one.endpoint, "token": one.key} for one in keys if one is not None]
    if rows:
        connection.execute(_DELETE_KEY, rows)


def _key(asked: Idempotency) -> _Key:
    return asked.key_id, asked.endpoint, asked.key


def _store_keys(connection: Connection, requests: Sequence[Request]) -> dict[_Key, tuple[bytes, tuple[UUID, ...]]]:
    """Store the keys; return by key the fingerprint and ids of its first request, which may be one of these."""
    rows = [_key_row(request.idempotency, request) for request in requests if request.idempotency]
    if not rows:
        return {}
    # In one order everywhere, to avoid deadlocks between processes.
    rows.sort(key=lambda row: (row["key_id"], row["endpoint"], row["key"]))
    statement = upsert(connection.dialect.name, idempotency)
    new, table = statement.excluded, idempotency.c
    statement = statement.on_conflict_do_update(
        index_elements=[table.key_id, table.endpoint, table.key],
        set_={"fingerprint": new.fingerprint, "created_at": new.created_at, "ids": new.ids},
        where=table.created_at <= new.created_at - IDEMPOTENCY_RETENTION,
    )
    connection.execute(statement, rows)
    # Three lists, because SQLite uses no index for a list of triples. Additional rows are ignored.
    found = connection.execute(
        select(table.key_id, table.endpoint, table.key, table.fingerprint, table.ids).where(
            table.key_id.in_({row["key_id"] for row in rows}),
            table.endpoint.in_({row["endpoint"] for row in rows}),
            table.key.in_({row["key"] for row in rows}),
        )
    )
    return {(row.key_id, row.endpoint, row.key): (row.fingerprint, tuple(map(UUID, row.ids))) for row in found}


def _key_row(asked: Idempotency, request: Request) -> dict[str, Any]:
    return {
        "key_id": asked.key_id,
        "endpoint": asked.endpoint,
        "key": asked.key,
        "fingerprint": asked.fingerprint,
        "created_at": request.acceptances[0].created_at,
        "ids": [id.hex for id in request.ids],
    }


def _inherited_turns(connection: Connection, fresh: Sequence[Acceptance]) -> dict[UUID, int]:
    """Return the turns that new messages inherit from those they supersede."""
    turns = {}
    for one in _newest(fresh):
        values = {"key": one.key_id, "value": one.coalesce, "in_pool": one.pool, "in_lane": one.lane.rank}
        found = _FIRST_TURN.first(connection, values)
        if one.due_at <= one.created_at and found.turn is not None:
            turns[one.id] = found.turn
    return turns


def _supersede(connection: Connection, fresh: Sequence[Acceptance]) -> dict[UUID, list[UUID]]:
    """Cancel the waiting messages with the same values; return by new id the ids replaced."""
    rows: list[dict[str, Any]] = [
        {"key": one.key_id, "value": one.coalesce, "in_pool": one.pool, "newest": one.id, "now": one.created_at}
        for one in _newest(fresh)
    ]
    if not rows:
        return {}
    replaced = {row["newest"]: [found.id for found in _SUPERSEDED_IDS.all(connection, row)] for row in rows}
    _SUPERSEDE.run(connection, rows)
    outbox.ended(connection, {id: row["now"] for row in rows for id in replaced[row["newest"]]})
    return replaced


def _newest(fresh: Sequence[Acceptance]) -> Iterable[Acceptance]:
    """Return the last message of each coalesce value in this batch."""
    return {(one.key_id, one.pool, one.coalesce): one for one in fresh if one.coalesce is not None}.values()
