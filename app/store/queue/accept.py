"""Stores accepted messages with recipients, content, Idempotency-Key, webhook events and the usage of the rate limit,
and cancels those they supersede, all in one commit.

The primary key of the Idempotency-Key's row, written in the same transaction, rejects a second request with the same
key, within a batch of requests and between processes. Only what is stored counts against the API key's rate limit. A
recipient on the suppression list is stored as suppressed; a message without others has ended.

Of an API key's waiting messages of one pool with one `coalesce` value, the newest supersedes the others. It inherits
their first turn in its lane: else a caller that always submits newer ones would never have one sent.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, field, replace
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from app.frozen import frozen
from app.mail.key_policy import Amount, RateLimit, Usage, Window
from app.mail.lifecycle import SUPERSEDED, SUPPRESSED, TO_SINK, Event, MessageState, RecipientState, next_state
from app.mail.message.message import Lane, Message, MessageSummary, OnUnknown
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import Listing
from app.mail.times import DAY
from app.store import email_counts
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.keys import rate_limits
from app.store.keys.rate_limits import Consumption
from app.store.queue.fair_queue import LaneKey, assign_turns
from app.store.schema import COALESCING, contents, idempotency, messages, recipients
from app.store.suppressions import lookup
from app.store.webhooks import outbox

IDEMPOTENCY_RETENTION = DAY  # seconds that an Idempotency-Key is stored

_ANY = PreparedStatement(select(lookup.ANY_SUPPRESSED, outbox.ANY_WEBHOOK))
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
Suppressed = Mapping[UUID, Mapping[str, Listing]]  # by message, then by recipient
_NONE: Mapping[str, Listing] = {}
_End = tuple[Event, Explanation] | None  # of a message that ends when it is stored


@frozen
class Idempotency:
    """Idempotency-Key of one API key on one endpoint, with a digest of the request (`fingerprint`)."""

    key_id: UUID
    endpoint: str
    key: str
    fingerprint: bytes


@frozen
class Acceptance:
    """Message to store: an argument of `Store.accept`. `due_at` is its first send time, `head` its summary."""

    id: UUID
    key_id: UUID
    pool: str
    message: Message
    head: MessageSummary
    created_at: float
    due_at: float
    expires_at: float
    scheduled_at: float | None
    on_unknown: OnUnknown
    lane: Lane = Lane.NORMAL
    coalesce: str | None = None
    traceparent: str | None = None  # W3C Trace Context of the request
    to_sink: bool = False  # of an API key with `sink`: stored as cancelled, never relayed
    ignores_suppressions: bool = False


@frozen
class Accepted:
    """Result of `Store.accept` for a request that was stored, now or before.

    `ids`: those stored now or, if `replayed`, by the first request with this Idempotency-Key.
    `usage` is the API key's use of its rate limit, if it has one and something was stored now.
    """

    ids: tuple[UUID, ...]
    replayed: bool = False
    superseded: tuple[UUID, ...] = ()  # messages cancelled because of `coalesce`
    usage: Usage | None = None
    suppressed: Mapping[UUID, Collection[Listing]] = field(default_factory=dict)  # suppressed recipients by message


@frozen
class RateLimited:
    """Result of `Store.accept`: the API key's rate limit is exceeded in this window. Nothing was stored or counted."""

    usage: Usage
    window: Window


@frozen
class IdempotencyConflict:
    """Result of `Store.accept`: the Idempotency-Key was used for another request. Nothing was stored."""


@frozen
class Request:
    """Messages that one caller stores together. With an Idempotency-Key there is at least one."""

    acceptances: tuple[Acceptance, ...]
    idempotency: Idempotency | None
    rate_limit: RateLimit | None = None

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Ids of the messages."""
        return tuple([acceptance.id for acceptance in self.acceptances])


_Answer = Accepted | IdempotencyConflict | RateLimited


def amount_of(acceptances: Sequence[Acceptance]) -> Amount:
    """Return the number of these messages, their recipients and their bytes."""
    all_recipients = all_bytes = 0
    for one in acceptances:  # mostly one
        all_recipients += len(one.message.envelope.rcpt_to)
        all_bytes += len(one.message.content)
    return Amount(len(acceptances), all_recipients, all_bytes)


def accept(connection: Connection, requests: Sequence[Request]) -> list[_Answer]:
    """Store the messages. A used Idempotency-Key stores nothing and returns the ids of its first request."""
    first = _store_keys(connection, [request for request in requests if request.idempotency])
    answers = _limited(connection, requests, [_answer(request, first) for request in requests])
    fresh = [
        acceptance
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Accepted) and not answer.replayed
        for acceptance in request.acceptances
    ]
    if not fresh:
        return answers
    there = _ANY.first(connection, {})  # both lists are usually empty
    refused = suppressed(connection, fresh) if there.any_suppressed else {}
    listed = [refused.get(one.id, _NONE) for one in fresh] if refused else [_NONE] * len(fresh)
    ends = [*map(_end, fresh, listed)]
    replaced = _insert(connection, fresh, listed, ends)
    if any(ends):
        email_counts.add(connection, [one.id for one, end in zip(fresh, ends, strict=True) if end is not None])
    if there.any_webhook:
        _publish(connection, fresh, refused, ends)
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
    connection: Connection, fresh: Sequence[Acceptance], listed: Sequence[Mapping[str, Listing]], ends: Sequence[_End]
) -> Mapping[UUID, Sequence[UUID]]:
    """Insert the messages; return by id the messages that each has superseded.

    `listed`: the suppressed recipients of each; `ends`: the end of each.
    """
    newest = _newest(fresh, ends)
    turns = _turns(connection, fresh, ends, newest)
    _INSERT_MESSAGE.run(connection, [*map(_message_row, fresh, turns, ends)])
    _INSERT_RECIPIENT.run(connection, [*chain.from_iterable(map(_recipient_rows, fresh, listed))])
    _INSERT_CONTENT.run(connection, [{"message_id": one.id, "content": one.message.content} for one in fresh])
    return _supersede(connection, newest) if newest else {}


def _publish(connection: Connection, fresh: Sequence[Acceptance], suppressed: Suppressed, ends: Sequence[_End]) -> None:
    """Write the webhook events of new messages, and schedule their delay notices."""
    queued = [one for one, end in zip(fresh, ends, strict=True) if end is None]
    later = {one.id: one.created_at for one in queued if one.scheduled_at is not None and one.due_at > one.created_at}
    outbox.accepted(connection, later, {one.id: one.due_at for one in queued})
    outbox.suppressed(connection, suppressed, {one.id: one.created_at for one in fresh})
    outbox.ended(connection, {one.id: one.created_at for one, end in zip(fresh, ends, strict=True) if end is not None})


def _end(acceptance: Acceptance, suppressed: Mapping[str, Listing]) -> _End:
    """Return the event that ends a message at once, and its explanation; None if it is queued."""
    if acceptance.to_sink:
        return Event.CANCEL, TO_SINK
    return (Event.SUPPRESS, SUPPRESSED) if len(suppressed) == len(acceptance.message.envelope.rcpt_to) else None


def _limited(connection: Connection, requests: Sequence[Request], answers: list[_Answer]) -> list[_Answer]:
    """Count against the rate limits; return the answers, RateLimited where a limit is exceeded."""
    asked_amounts = {
        place: Consumption(
            asked.acceptances[0].key_id, asked.rate_limit, amount_of(asked.acceptances), asked.acceptances[0].created_at
        )
        for place, (asked, answer) in enumerate(zip(requests, answers, strict=True))
        if asked.rate_limit is not None and isinstance(answer, Accepted) and not answer.replayed
    }
    if not asked_amounts:
        return answers
    outcomes = rate_limits.consume(connection, asked_amounts)
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


def _turns(
    connection: Connection, fresh: Sequence[Acceptance], ends: Sequence[_End], newest: Sequence[Acceptance]
) -> Sequence[int | None]:
    """Assign turns to the messages that are due; the others get theirs when they become due."""
    due = sorted(
        (one.due_at, one.id, place)
        for place, (one, end) in enumerate(zip(fresh, ends, strict=True))
        if end is None and one.due_at <= one.created_at
    )
    turns: list[int | None] = [None] * len(fresh)
    lane_keys = [LaneKey(fresh[place].pool, fresh[place].lane.rank, fresh[place].key_id) for _, _, place in due]
    for (_, _, place), turn in zip(due, assign_turns(connection, lane_keys), strict=True):
        turns[place] = turn
    inherited = _inherited_turns(connection, newest) if newest else {}
    return [inherited.get(one.id, turn) for one, turn in zip(fresh, turns, strict=True)] if inherited else turns


def _message_row(acceptance: Acceptance, turn: int | None, end: _End) -> dict[str, Any]:
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


def _newest(fresh: Sequence[Acceptance], ends: Sequence[_End]) -> Sequence[Acceptance]:
    """Return the last queued message of each coalesce value in this batch."""
    coalescing = [one for one, end in zip(fresh, ends, strict=True) if one.coalesce is not None and end is None]
    return [*{(one.key_id, one.pool, one.coalesce): one for one in coalescing}.values()]


def _inherited_turns(connection: Connection, newest: Sequence[Acceptance]) -> dict[UUID, int]:
    """Return the turns that new messages inherit from those they supersede."""
    turns = {}
    for one in newest:
        values = {"key": one.key_id, "value": one.coalesce, "in_pool": one.pool, "in_lane": one.lane.rank}
        found = _FIRST_TURN.first(connection, values)
        if one.due_at <= one.created_at and found.turn is not None:
            turns[one.id] = found.turn
    return turns


def _supersede(connection: Connection, newest: Sequence[Acceptance]) -> dict[UUID, list[UUID]]:
    """Cancel the waiting messages with the same values; return by new id the ids replaced."""
    rows: list[dict[str, Any]] = [
        {"key": one.key_id, "value": one.coalesce, "in_pool": one.pool, "newest": one.id, "now": one.created_at}
        for one in newest
    ]
    replaced = {row["newest"]: [found.id for found in _SUPERSEDED_IDS.all(connection, row)] for row in rows}
    _SUPERSEDE.run(connection, rows)
    over = {id: row["now"] for row in rows for id in replaced[row["newest"]]}
    email_counts.add(connection, over)
    outbox.ended(connection, over)
    return replaced
