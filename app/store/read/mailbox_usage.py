"""Usage of each mailbox's limits, counted as the relay counts it, and the history of its sends. Reads only."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, Integer, bindparam, cast, func, select

from app.mail.times import DAY, HOUR, MINUTE
from app.store.mailboxes import conditions
from app.store.mailboxes.records import MailboxUsage
from app.store.read.messages import ACTIVE_SENDS, SENDS
from app.store.read.records import SendHistory

_sends, _active = SENDS.subquery(), ACTIVE_SENDS.subquery()
_COUNT = select(func.count(), func.coalesce(func.sum(_sends.c.recipients), 0)).select_from(_sends)
_width: BindParameter[int] = bindparam("width")
_column = (cast(_sends.c.ended_at - bindparam("since"), Integer) // _width).label("column")
_COLUMNS = select(_column, func.count(), func.sum(_sends.c.recipients)).select_from(_sends).group_by(_column)
_NOW = select(func.count()).select_from(_active)


def usage(connection: Connection, now: float, mailboxes: Sequence[str] | None = None) -> dict[str, MailboxUsage]:
    """Return by mailbox its usage at `now` (epoch seconds); None: of every mailbox that ever relayed.

    Reads a day of sends from their index: not for periodic calls.
    """
    names = [record.name for record in conditions.list_all(connection)] if mailboxes is None else mailboxes
    return {name: _usage(connection, name, now) for name in names}


def _usage(connection: Connection, mailbox: str, now: float) -> MailboxUsage:
    minute, _ = connection.execute(_COUNT, {"mailbox": mailbox, "since": now - MINUTE}).one()
    _, recipients = connection.execute(_COUNT, {"mailbox": mailbox, "since": now - DAY}).one()
    active = active_sends(connection, [mailbox], now)[mailbox]
    return MailboxUsage(connections=active, messages_last_minute=minute, recipients_last_day=int(recipients))


def active_sends(connection: Connection, mailboxes: Sequence[str], now: float) -> dict[str, int]:
    """Return by mailbox the number of messages that it is sending at `now` (epoch seconds)."""
    return {name: connection.execute(_NOW, {"mailbox": name, "since": now}).scalar_one() for name in mailboxes}


def send_history(connection: Connection, mailboxes: Sequence[str], now: float) -> dict[str, SendHistory]:
    """Return by mailbox its sends of the last hour and day at `now` (epoch seconds).

    Reads a day of sends from their index: not for frequent calls.
    """
    return {
        name: SendHistory(
            tuple(messages for messages, _ in _columns(connection, name, now, MINUTE, HOUR // MINUTE)),
            tuple(recipients for _, recipients in _columns(connection, name, now, HOUR, DAY // HOUR)),
        )
        for name in mailboxes
    }


def _columns(connection: Connection, mailbox: str, now: float, width: int, number: int) -> list[tuple[int, int]]:
    """Return messages and recipients of the last `number` periods of `width` seconds. The last has those under way."""
    found = [(0, 0)] * number
    values = {"mailbox": mailbox, "since": now - width * number, "width": width}
    for column, messages, recipients in connection.execute(_COLUMNS, values):
        at = min(max(column, 0), number - 1)
        found[at] = (found[at][0] + messages, found[at][1] + int(recipients))
    return found
