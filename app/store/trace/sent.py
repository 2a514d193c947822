"""Search for the emails that a non-delivery report can be about."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, select

from app.mail.lifecycle import RecipientState
from app.mail.ndr.belief import SentEmail
from app.store.schema import attempts, recipients
from app.store.trace.match import find_emails
from app.store.trace.records import Scope

_a, _r = attempts.c, recipients.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_MAILBOXES = select(_a.message_id, _a.mailbox).where(_a.message_id.in_(_IDS)).distinct()
_RELAYED = select(_r.message_id, _r.address).where(
    _r.message_id.in_(_IDS), _r.state.in_([RecipientState.RELAYED, RecipientState.PENDING])
)


def sent_emails(connection: Connection, message_ids: Iterable[str], scope: Scope) -> list[tuple[UUID, SentEmail]]:
    """Return the emails with these Message-IDs, each with its id, and once for every mailbox that has sent it.

    Recipients that were refused or not sent to are left out: they cannot bounce.
    """
    found = find_emails(connection, message_ids, scope)
    ids = {"ids": sorted(found)}
    to: dict[UUID, set[str]] = defaultdict(set)
    for id, address in connection.execute(_RELAYED, ids) if found else ():
        to[id].add(address)
    return [
        (id, SentEmail(found[id].message_id, mailbox, frozenset(to[id])))
        for id, mailbox in (connection.execute(_MAILBOXES, ids) if found else ())
    ]
