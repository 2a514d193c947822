"""Mailboxes as stored, their owners, hold requests and sends; replicas, their clocks, and the quota of a tenant.

The values contain no SQL. Times are epoch seconds.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.mail.mailbox_health import MailboxCondition


@dataclass(frozen=True, slots=True)
class Replica:
    """One process that relays. Replicas that may own the same `mailboxes` have the same `serves`.

    It counts as alive for `lease` seconds after each heartbeat, by the database's clock.
    """

    id: UUID
    name: str  # for people
    serves: str
    mailboxes: tuple[str, ...]
    lease: float


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """Seconds that a host's wall clock is `ahead` of a reference clock that survives the process.

    Only readings against the same `clock` can be compared; "": there is no reference clock.
    """

    clock: str = ""
    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class MailboxOwner:
    """A mailbox and its last owner; `replica` None: it was released, or is new. `token` is the fencing token."""

    mailbox: str
    replica: UUID | None
    token: int


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Live replicas, each with what it serves, and the owner of every mailbox.

    `database_time` is the clock of the database server (epoch seconds); None: an embedded database has none.
    """

    replicas: dict[UUID, str]
    owners: tuple[MailboxOwner, ...]
    database_time: float | None = None


@dataclass(frozen=True, slots=True)
class Acquired:
    """A mailbox that this replica owns from `at` on (epoch seconds of its wall clock).

    `unfinished`: requeued messages of the former owner, each with a flag: is it in doubt? `ahead`: seconds that the
    wall clock is ahead of the former owner's; 0.0 also if that is not known.
    """

    mailbox: str
    token: int
    at: float
    unfinished: tuple[tuple[UUID, bool], ...] = ()
    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotaRequest:
    """Request of a replica for `amount` more recipients of the tenant's daily `limit`; they count for `lasts` seconds.

    Of its earlier grant `before`, `unused` recipients are given back. `since`: start of the day (epoch seconds).
    """

    amount: int
    limit: int
    lasts: float
    since: float
    before: UUID | None = None
    unused: int = 0


@dataclass(frozen=True, slots=True)
class QuotaGrant:
    """Recipients granted to the replica, and those that remain for all."""

    id: UUID
    recipients: int
    remaining: int


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Request of an operator to hold or release a mailbox."""

    at: float
    hold: bool
    reason: str = ""

    @property
    def description(self) -> Literal["hold", "release"]:
        """Word for people: "hold" or "release"."""
        return "hold" if self.hold else "release"


@dataclass(frozen=True, slots=True)
class MailboxRecord:
    """A stored mailbox. `hold_request` is not fulfilled yet; `owner` is the live replica that relays."""

    name: str
    pool: str
    condition: MailboxCondition
    hold_request: HoldRequest | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class SendRecord:
    """One message that a mailbox has sent: it counts for the rate and the daily recipients."""

    at: float  # latest time at which the upstream can have counted it
    recipients: int
    confirmed: bool = True  # False: its process died, and perhaps it was never sent


@dataclass(frozen=True, slots=True)
class MailboxUsage:
    """Used limits of a mailbox. `connections` carry a message now."""

    connections: int
    messages_last_minute: int
    recipients_last_day: int
