"""Recipients that were suppressed after their message was accepted: left out when the message is claimed, and known
before to those who send it again.

Whether the list is empty, the claim itself reads: so it costs no statement more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, bindparam, select, update

from app.mail.lifecycle import SUPPRESSED, Event, MessageState, RecipientState, next_state
from app.mail.message.message import Lane
from app.mail.suppression import Listing
from app.store import email_counts
from app.store.db.dialect import execute_many
from app.store.schema import api_keys, messages, recipients
from app.store.suppressions import lookup
from app.store.webhooks import outbox

_m, _r, _k = messages.c, recipients.c, api_keys.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_MESSAGE: BindParameter[UUID] = bindparam("message")
_LANES = {lane.rank: lane for lane in Lane}

_CLAIMED = select(_m.id, _m.state, _m.lane, _k.policy).outerjoin(api_keys, _k.id == _m.key_id).where(_m.id.in_(_IDS))
_UNSENT = (
    select(_r.message_id, _r.address, _r.state)
    .where(_r.message_id.in_(_IDS), _r.state.in_([RecipientState.PENDING, RecipientState.SUPPRESSED]))
    .order_by(_r.message_id, _r.position)
)
_OTHERS = select(_r.message_id).where(_r.message_id.in_(_IDS), _r.state != RecipientState.SUPPRESSED).distinct()
_SUPPRESS = (
    update(recipients)
    .where(_r.message_id == _MESSAGE, _r.address == bindparam("recipient"))
    .values(state=RecipientState.SUPPRESSED, reply=bindparam("text"))
)
_END = (
    update(messages)
    .where(_m.id == _MESSAGE)
    .values(state=bindparam("next"), due_at=None, turn=None, ended_at=bindparam("now"), explanation=bindparam("why"))
)


def leave_out(connection: Connection, waiting: dict[UUID, list[str]], now: float) -> Set[UUID]:
    """Mark the suppressed ones of these pending recipients, by message, and take them out of `waiting`.

    Returns the messages that have ended because of that: they had no other pending recipient. The caller has locked
    the messages.
    """
    found, rows = _listed(connection, waiting, now)
    if not found:
        return frozenset()
    _mark(connection, found)
    outbox.suppressed(connection, found, dict.fromkeys(found, now))
    for id, listed in found.items():
        waiting[id] = [to for to in waiting[id] if to not in listed]
    ended = {id: MessageState(rows[id].state) for id in found if not waiting[id]}
    _end(connection, ended, now)
    return ended.keys()


def still_suppressed(connection: Connection, ids: Sequence[UUID], now: float) -> dict[UUID, list[str]]:
    """Return by message the recipients that are suppressed, or are to be when it is claimed. Others are left out."""
    found: dict[UUID, list[str]] = defaultdict(list)
    waiting: dict[UUID, list[str]] = defaultdict(list)
    for row in connection.execute(_UNSENT, {"ids": ids}):
        (found if row.state == RecipientState.SUPPRESSED else waiting)[row.message_id].append(row.address)
    for id, listed in _listed(connection, waiting, now)[0].items():
        found[id] += listed
    return found


def _listed(
    connection: Connection, waiting: Mapping[UUID, Sequence[str]], now: float
) -> tuple[dict[UUID, dict[str, Listing]], dict[UUID, Row[*tuple[Any, ...]]]]:
    """Return the recipients that are on the list, without those that the key's policy exempts, and their messages."""
    found = lookup.suppressed(connection, waiting, now)
    if not found:
        return {}, {}
    rows = {row.id: row for row in connection.execute(_CLAIMED, {"ids": list(found)})}
    exempt = {id for id, row in rows.items() if _LANES[row.lane] in (row.policy or {}).get("ignore_suppressions", ())}
    return {id: listed for id, listed in found.items() if id not in exempt}, rows


def _mark(connection: Connection, found: Mapping[UUID, Mapping[str, Listing]]) -> None:
    rows = [
        {"message": id, "recipient": to, "text": one.reply}
        for id, listed in found.items()
        for to, one in listed.items()
    ]
    execute_many(connection, _SUPPRESS, rows)


def _end(connection: Connection, states: Mapping[UUID, MessageState], now: float) -> None:
    """End messages; one of which other recipients were relayed or failed has no explanation of its own."""
    if not states:
        return
    others = {*connection.execute(_OTHERS, {"ids": list(states)}).scalars()}
    rows = [
        {
            "message": id,
            "next": next_state(state, Event.SUPPRESS),
            "now": now,
            "why": None if id in others else asdict(SUPPRESSED),
        }
        for id, state in states.items()
    ]
    execute_many(connection, _END, rows)
    email_counts.add(connection, states)
    outbox.ended(connection, dict.fromkeys(states, now))
