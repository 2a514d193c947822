"""Search for the emails and recipients of trace rows and non-delivery reports, in a few queries for a page of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, select

from app.mail.delivery.matching import assign, email_id, recipient_key
from app.mail.delivery.states import DeliveryState, next_state
from app.mail.lifecycle import MessageState, RecipientState
from app.mail.ndr.belief import SentEmail
from app.store.message_trace.records import Match, Report, Scope
from app.store.schema import CALLERS_MESSAGE_ID, attempts, messages, recipients, traces

_WIDTH = 500  # ids in one statement

_m, _r, _a, _t = messages.c, recipients.c, attempts.c, traces.c
_IDS: BindParameter[list[UUID]] = bindparam("ids", expanding=True)
_MESSAGE_IDS: BindParameter[list[str]] = bindparam("message_ids", expanding=True)

_CALLERS = select(_m.id).where(CALLERS_MESSAGE_ID, _m.message_id.in_(_MESSAGE_IDS))
_EMAILS = select(_m.id, _m.message_id, _m.state, _m.pool).where(_m.id.in_(_IDS)).order_by(_m.id)
_RECIPIENTS = (
    select(_r.message_id, _r.address, _r.state, _t.state.label("delivery"), _t.network_id, _t.duplicate_id)
    .outerjoin(traces, and_(_t.message_id == _r.message_id, _t.address == _r.address))
    .where(_r.message_id.in_(_IDS))
    .order_by(_r.message_id, _r.position)
)
_MAILBOXES = select(_a.message_id, _a.mailbox).where(_a.message_id.in_(_IDS)).distinct()
_SENT_TO = select(_r.message_id, _r.address).where(
    _r.message_id.in_(_IDS), _r.state.in_([RecipientState.RELAYED, RecipientState.PENDING])
)


@dataclass(slots=True, eq=False)
class Candidate:
    """Recipient of an email with the Message-ID and address of a row. It follows the reports that are applied."""

    email: UUID
    email_state: MessageState
    address: str
    relay_state: RecipientState
    delivery: DeliveryState | None
    network_id: UUID | None
    duplicate_id: UUID | None

    @property
    def settled(self) -> bool:
        """True if the attempt has ended: the recipient has an outcome, or its email is held."""
        return self.relay_state is not RecipientState.PENDING or self.email_state is MessageState.HELD


class Matcher:
    """Recipients of the emails of some rows, by Message-ID and comparable address.

    Emails of other tenants are foreign: one of them to this tenant has a row here too, with another network id.
    """

    def __init__(self, connection: Connection, reports: Iterable[Report], scope: Scope, *, lock: bool = False) -> None:
        """`lock`: no other transaction changes these emails until the commit."""
        message_ids = {report.row.message_id for report in reports}
        self._emails = find_emails(connection, message_ids, scope, lock=lock)
        self._recipients = _recipients(connection, self._emails)
        self._known = {row.message_id for row in self._emails.values()}

    def find(self, report: Report) -> tuple[Match, Candidate | None]:
        """Return the match of a report, and the recipient if it is CHANGED, UNCHANGED or a new DUPLICATE."""
        row = report.row
        if row.message_id not in self._known:
            return Match.FOREIGN, None
        all_ = self._recipients.get((row.message_id, recipient_key(row.recipient)), [])
        all_ = [one for one in all_ if report.emails is None or one.email in report.emails]
        if not all_:
            return Match.OTHER_RECIPIENT, None
        found, duplicate = assign([one for one in all_ if one.settled], row.network_id)
        if found is None or (duplicate and any(not one.settled for one in all_)):
            return Match.EARLY, None
        if duplicate:
            return (Match.DUPLICATE, found) if found.duplicate_id is None else (Match.UNCHANGED, None)
        changed = next_state(found.delivery, report.state) is not None
        return (Match.CHANGED if changed else Match.UNCHANGED), found


def matches(connection: Connection, reports: Sequence[Report], scope: Scope) -> list[Match]:
    """Return the match of each report, in order, without a change."""
    matcher = Matcher(connection, reports, scope)
    return [matcher.find(report)[0] for report in reports]


def find_emails(
    connection: Connection, message_ids: Iterable[str], scope: Scope, *, lock: bool = False
) -> dict[UUID, Row[*tuple[Any, ...]]]:
    """Return the emails with these Message-IDs, by id. `lock`: see Matcher."""
    names = sorted(message_ids)
    ids = {id for name in names if (id := email_id(name))}
    for start in range(0, len(names), _WIDTH):
        ids.update(connection.execute(_CALLERS, {"message_ids": names[start : start + _WIDTH]}).scalars())
    statement = _EMAILS.with_for_update() if lock else _EMAILS
    wanted, found = {*names}, {}
    for some in _portions(ids):
        rows = connection.execute(statement, {"ids": some})
        found.update({row.id: row for row in rows if row.message_id in wanted and row.pool in scope.pools})
    return found


def sent_emails(connection: Connection, message_ids: Iterable[str], scope: Scope) -> list[tuple[UUID, SentEmail]]:
    """Return the emails with these Message-IDs, each with its id, and once for every mailbox that has sent it.

    Recipients that were refused or not sent to are left out: they cannot bounce.
    """
    found = find_emails(connection, message_ids, scope)
    ids = {"ids": sorted(found)}
    to: dict[UUID, set[str]] = defaultdict(set)
    for id, address in connection.execute(_SENT_TO, ids) if found else ():
        to[id].add(address)
    return [
        (id, SentEmail(found[id].message_id, mailbox, frozenset(to[id])))
        for id, mailbox in (connection.execute(_MAILBOXES, ids) if found else ())
    ]


def _recipients(
    connection: Connection, emails: Mapping[UUID, Row[*tuple[Any, ...]]]
) -> dict[tuple[str, str], list[Candidate]]:
    found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for some in _portions(emails):
        for row in connection.execute(_RECIPIENTS, {"ids": some}):
            email = emails[row.message_id]
            found[email.message_id, recipient_key(row.address)].append(
                Candidate(
                    row.message_id,
                    MessageState(email.state),
                    row.address,
                    RecipientState(row.state),
                    row.delivery and DeliveryState(row.delivery),
                    row.network_id,
                    row.duplicate_id,
                )
            )
    return found


def _portions(ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    ordered = sorted(ids)  # locked in one order everywhere
    return (ordered[start : start + _WIDTH] for start in range(0, len(ordered), _WIDTH))
