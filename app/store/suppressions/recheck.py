"""Recipients that were suppressed after their message was accepted: left out when the message is claimed.

Whether the list is empty, the claim itself reads: so it costs no statement more.
"""

from collections.abc import Mapping, Set
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, select, update

from app.mail.lifecycle import SUPPRESSED, Event, MessageState, RecipientState, next_state
from app.mail.message.message import Lane
from app.mail.suppression import Listing
from app.store.db.dialect import execute_many
from app.store.schema import api_keys, messages, recipients
from app.store.suppressions import lookup
from app.store.webhooks import outbox

_m, _r, _k = messages.c, recipients.c, api_keys.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_MESSAGE: BindParameter[UUID] = bindparam("message")
_LANES = {lane.rank: lane for lane in Lane}

_CLAIMED = select(_m.id, _m.state, _m.lane, _k.policy).outerjoin(api_keys, _k.id == _m.key_id).where(_m.id.in_(_IDS))
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
    found = lookup.suppressed(connection, waiting, now)
    if not found:
        return frozenset()
    rows = {row.id: row for row in connection.execute(_CLAIMED, {"ids": list(found)})}
    found = {
        id: listed
        for id, listed in found.items()
        if _LANES[rows[id].lane] not in (rows[id].policy or {}).get("ignore_suppressions", ())
    }
    _mark(connection, found)
    outbox.suppressed(connection, found, dict.fromkeys(found, now))
    for id, listed in found.items():
        waiting[id] = [to for to in waiting[id] if to not in listed]
    ended = {id: MessageState(rows[id].state) for id in found if not waiting[id]}
    _end(connection, ended, now)
    return ended.keys()


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
    outbox.ended(connection, dict.fromkeys(states, now))
