"""Applies what the trace or a non-delivery report says: states, events, held emails, suppressions, in one commit.

A report that was applied changes nothing when it is applied again, so rows may be read any number of times.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, func, select, update

from app.mail.delivery.bounce import NO_CAUSE, Cause
from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import REPORTED, TRACED, Event, MessageState, RecipientState, next_state
from app.mail.office365.bounces.lookup import may_suppress
from app.mail.suppression import Bounce, SeenBy, comparable
from app.mail.webhook.payload import DeliveryReport
from app.store import email_counts
from app.store.db.dialect import execute_many, storable, upsert
from app.store.db.writer import per_argument
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.message_trace.match import Candidate, Matcher
from app.store.message_trace.readers import is_held
from app.store.message_trace.records import Applied, Match, Report, Reports
from app.store.schema import messages, recipients, traces
from app.store.suppressions.bounces import BounceReport, record_bounces
from app.store.webhooks import outbox

BATCH_SIZE = 200  # reports in one transaction: accepts wait for it
ACTOR = Actor("message trace")
_ACTORS = {SeenBy.TRACE: ACTOR, SeenBy.NDR: Actor("non-delivery report")}

_BOUNCED = DeliveryState.BOUNCED
_m, _r, _t = messages.c, recipients.c, traces.c
_EMAIL: BindParameter[UUID] = bindparam("email")
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_RELAYED = (
    update(recipients)
    .where(_r.message_id == _EMAIL, _r.address == bindparam("recipient"), _r.state == RecipientState.PENDING)
    .values(state=RecipientState.RELAYED)
)
_PENDING = (
    select(_r.message_id, func.count())
    .where(_r.message_id.in_(_IDS), _r.state == RecipientState.PENDING)
    .group_by(_r.message_id)
)
_END = (
    update(messages)
    .where(_m.id == _EMAIL)
    .values(state=next_state(MessageState.HELD, Event.CONFIRM), ended_at=bindparam("now"))
)
_EXPLANATIONS = {SeenBy.TRACE: TRACED, SeenBy.NDR: REPORTED}
_DUPLICATE = update(traces).where(_t.message_id == _EMAIL, _t.address == bindparam("recipient"))
_IDENTIFY = update(traces).where(_t.message_id == _EMAIL, _t.address == bindparam("recipient"))
_POSSIBLE = update(messages).where(_m.id == _EMAIL).values(possible_duplicate=True)


@dataclass(slots=True)
class _Changes:
    """Changes of one batch. A recipient's later report replaces its earlier one."""

    states: list[tuple[Candidate, Report]] = field(default_factory=list)
    duplicates: list[tuple[Candidate, UUID]] = field(default_factory=list)
    identified: list[tuple[Candidate, UUID]] = field(default_factory=list)  # known by a non-delivery report before
    held: dict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))  # seen recipients of held emails


@per_argument
def apply(connection: Connection, batch: Reports) -> Applied | None:
    """Apply reports. None: the lease was lost, and nothing is written."""
    if not is_held(connection, batch.reader):
        return None
    matcher, changes = Matcher(connection, batch.reports, batch.scope, lock=True), _Changes()
    order = sorted(range(len(batch.reports)), key=lambda place: batch.reports[place].row.received_at)
    matches = {place: _note(matcher, batch.reports[place], changes) for place in order}
    changing = {*changes.held, *(found.email for found, _ in changes.states)}
    email_counts.subtract(connection, changing)
    confirmed = _confirm(connection, changes.held, batch)
    _write_states(connection, changes, batch)
    email_counts.add(connection, changing)
    _write_ids(connection, changes)
    return Applied(
        matches=tuple(matches[place] for place in range(len(batch.reports))),
        states=tuple(report.state for _, report in changes.states if report.state is not None),
        confirmed=confirmed,
        duplicates=tuple(one.email for one, _ in changes.duplicates),
    )


def _note(matcher: Matcher, report: Report, changes: _Changes) -> Match:
    match, found = matcher.find(report)
    if found is None:
        return match
    network_id = report.row.network_id
    if match is Match.DUPLICATE and network_id is not None:
        found.duplicate_id = network_id
        changes.duplicates.append((found, network_id))
        return match
    if found.relay_state is RecipientState.PENDING:  # of a held email
        found.relay_state = RecipientState.RELAYED
        changes.held[found.email].append(found.address)
    if found.network_id is None and network_id is not None and (match is Match.CHANGED or found.delivery is not None):
        found.network_id = network_id
        changes.identified.append((found, network_id))
    if match is Match.CHANGED:
        found.delivery = report.state
        changes.states.append((found, report))
    return match


def _confirm(connection: Connection, held: Mapping[UUID, Sequence[str]], batch: Reports) -> tuple[UUID, ...]:
    """Mark the recipients of held emails that Exchange has; end the emails without other pending recipients."""
    if not held:
        return ()
    ids, now = sorted(held), batch.now
    execute_many(connection, _RELAYED, [{"email": id, "recipient": address} for id in ids for address in held[id]])
    left = {id for id, _ in connection.execute(_PENDING, {"ids": ids})}
    over = [id for id in ids if id not in left]
    explained = _END.values(explanation=asdict(_EXPLANATIONS[batch.seen_by]))
    execute_many(connection, explained, [{"email": id, "now": now} for id in over])
    outbox.ended(connection, dict.fromkeys(over, now))
    audit.write(
        connection,
        [
            Entry(now, _ACTORS[batch.seen_by], AuditAction.EMAIL_CONFIRMED, str(id), {"was": MessageState.HELD})
            for id in over
        ],
    )
    return tuple(over)


def _write_states(connection: Connection, changes: _Changes, batch: Reports) -> None:
    if not changes.states:
        return
    now = batch.now
    statement = upsert(connection.dialect.name, traces)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[_t.message_id, _t.address],
        set_={"state": new.state, "at": new.at, "code": new.code, "cause": new.cause},
    )
    execute_many(connection, statement, [_row(found, report, now) for found, report in changes.states])
    reports: dict[UUID, list[DeliveryReport]] = defaultdict(list)
    for found, report in changes.states:
        if report.state is not None:
            change = DeliveryReport(found.address, report.state, now, report.cause, found.network_id)
            reports[found.email].append(change)
    outbox.delivery_changed(connection, reports)
    bounces = [(id, one.recipient, one.cause) for id in reports for one in reports[id] if one.state is _BOUNCED]
    _suppress(connection, bounces, batch)


def _write_ids(connection: Connection, changes: _Changes) -> None:
    known = [{"email": one.email, "recipient": one.address, "network_id": id} for one, id in changes.identified]
    execute_many(connection, _IDENTIFY, known)
    rows = [{"email": one.email, "recipient": one.address, "duplicate_id": id} for one, id in changes.duplicates]
    execute_many(connection, _DUPLICATE, rows)
    execute_many(connection, _POSSIBLE, [{"email": row["email"]} for row in rows])


def _row(found: Candidate, report: Report, now: float) -> dict[str, Any]:
    cause = report.cause if report.state in (DeliveryState.BOUNCED, DeliveryState.DELAYED) else NO_CAUSE
    return {
        "message_id": found.email,
        "address": found.address,
        "state": report.state,
        "at": now,
        "network_id": found.network_id,
        "code": storable(cause.code),
        "cause": storable(cause.text),
    }


def _suppress(connection: Connection, bounces: Iterable[tuple[UUID, str, Cause]], batch: Reports) -> None:
    """Record the bounces (email, address, cause) of a batch whose causes may suppress an address."""
    found = []
    for email, address, cause in bounces:
        own = comparable(address).rpartition("@")[2] in batch.scope.own_domains
        if needed := may_suppress(cause.code, cause.text, own_organization=own):
            bounce = Bounce(address, cause.code, cause.text, needed)
            found.append(BounceReport(email, bounce, batch.seen_by, batch.now, batch.suppression_lifetime))
    record_bounces(connection, found)
