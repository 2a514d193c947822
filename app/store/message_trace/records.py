"""Arguments and results of the store's methods for the message trace and for non-delivery reports.

The values contain no SQL. Times are epoch seconds.
"""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from app.frozen import frozen
from app.mail.delivery.bounce import NO_CAUSE, Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.suppression import SeenBy


class Match(StrEnum):
    """Result of the search for the recipient of a row."""

    FOREIGN = "foreign"  # no email has its Message-ID
    OTHER_RECIPIENT = "other_recipient"  # the email has no such recipient: a member of a group
    EARLY = "early"  # the attempt has not been settled yet: the row has to be read again
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"  # Exchange has the email twice


@frozen
class Report:
    """Row of the trace, the state that it reports, and the cause of a bounce or a delay.

    A non-delivery report is a row without a network id. `emails`: it is about one of these; None: about any.
    """

    row: TraceRow
    state: DeliveryState | None
    cause: Cause = NO_CAUSE
    emails: frozenset[UUID] | None = None


@frozen
class Scope:
    """Emails of a tenant: those of its pools. `own_domains`: a bounce there never suppresses an address.

    `complete`: the pools with mailboxes of this tenant alone: its trace has all their mail. `retry_unseen`: the pools
    whose emails are sent again if Exchange has not seen them.
    """

    pools: frozenset[str]
    complete: frozenset[str] = frozenset()
    retry_unseen: frozenset[str] = frozenset()
    own_domains: frozenset[str] = frozenset()


@frozen
class Reader:
    """Proof that a replica reads a tenant or a mailbox: valid while nobody else has a newer `token`."""

    tenant: str  # or the address of the mailbox
    holder: UUID
    token: int


@frozen
class HoldRequest:
    """Request of a replica to read a tenant or a mailbox for `lease` seconds, by the database's clock."""

    tenant: str
    holder: UUID
    lease: float


@frozen
class Position:
    """Reader and its progress: see the columns of `trace_readers`. `requests`: times and numbers."""

    reader: Reader
    watermark: float | None
    swept_at: float | None
    requests: tuple[tuple[float, int], ...]


@frozen
class Progress:
    """Change of a reader's progress. None: as before. `requests` replaces those stored."""

    reader: Reader
    watermark: float | None = None
    swept_at: float | None = None
    requests: Sequence[tuple[float, int]] | None = None


@frozen
class Reports:
    """Reports to apply at `now`, fenced by the reader.

    `suppression_lifetime`: seconds that an address is suppressed because of a bounce; None: no end.
    """

    reader: Reader
    reports: tuple[Report, ...]
    now: float
    scope: Scope
    suppression_lifetime: float | None = None
    seen_by: SeenBy = SeenBy.TRACE


@frozen
class Applied:
    """Effects of reports, in their order; `confirmed`: held emails that ended; `duplicates`: emails seen twice."""

    matches: tuple[Match, ...]
    states: tuple[DeliveryState, ...]  # of the changes
    confirmed: tuple[UUID, ...] = ()
    duplicates: tuple[UUID, ...] = ()


@frozen
class Unseen:
    """Request for emails that Exchange's trace should have: their last attempt ended from `since` to `before`."""

    reader: Reader
    scope: Scope
    since: float
    before: float
    now: float
    after: UUID  # continue after this id


@frozen
class UnseenFound:
    """Effects of such a request. `next`: continue after this id; None: the end."""

    explained: int
    retried: tuple[UUID, ...]
    next: UUID | None


@frozen
class WaitingReport:
    """Non-delivery report that came before our own settlement: Graph's id of it, and the time of its reception."""

    id: str
    received_at: float


@frozen
class FolderProgress:
    """Progress of reading one folder: see the columns of `report_folders`."""

    folder: str
    link: str | None = None
    read_at: float | None = None
    waiting: tuple[WaitingReport, ...] = ()
