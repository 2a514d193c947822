"""Use of Exchange's limits by each mailbox, counted as the relay counts it. Reads only."""

from sqlalchemy import Connection, func, select

from app.mail.times import DAY, MINUTE
from app.store.mailboxes import conditions
from app.store.mailboxes.records import MailboxUsage
from app.store.read.messages import ACTIVE_SENDS, SENDS

_sends, _active = SENDS.subquery(), ACTIVE_SENDS.subquery()
_COUNT = select(func.count(), func.coalesce(func.sum(_sends.c.recipients), 0)).select_from(_sends)
_NOW = select(func.count()).select_from(_active)


def usage(connection: Connection, now: float) -> dict[str, MailboxUsage]:
    """Return the usage of every mailbox that ever relayed, at `now` (epoch seconds)."""
    return {record.name: _usage(connection, record.name, now) for record in conditions.list_all(connection)}


def _usage(connection: Connection, mailbox: str, now: float) -> MailboxUsage:
    minute, _ = connection.execute(_COUNT, {"mailbox": mailbox, "since": now - MINUTE}).one()
    _, recipients = connection.execute(_COUNT, {"mailbox": mailbox, "since": now - DAY}).one()
    active: int = connection.execute(_NOW, {"mailbox": mailbox, "since": now}).scalar_one()
    return MailboxUsage(connections=active, messages_last_minute=minute, recipients_last_day=int(recipients))
