"""Records of mailboxes, replicas and quotas: values that contain no SQL. Times are epoch seconds."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.mail.mailbox_health import MailboxCondition


@dataclass(frozen=True, slots=True)
class Replica:
    """One process that relays. `serves` is the same for all that may own the same `mailboxes`.

    It is believed to live for `lease` seconds after each of its beats, by the database's clock.
    """

    id: UUID
    name: str  # for people
    serves: str
    mailboxes: tuple[str, ...]
    lease: float


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """A host's wall clock against another one that outlives its processes: by how many seconds it is `ahead`.

    Only readings against the same `clock` can be compared; an empty one is against none.
    """

    clock: str = ""
    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class MailboxOwner:
    """A mailbox and whose it was at last; None: it was given back, or is new. `token` is the fence."""

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
    """A mailbox that is this replica's from `at` on (epoch seconds of its wall clock).

    `left` is what its owner before left under way: is each in doubt? By so many seconds the wall clock is `ahead` of
    that owner's; 0.0 also if that is not known.
    """

    mailbox: str
    token: int
    at: float
    unfinished: tuple[tuple[UUID, bool], ...] = ()
    ahead: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotaRequest:
    """A replica's wish for `amount` more recipients of a tenant's day; they count for `lasts` seconds.

    Of what it drew before, as `before`, so much is `unused` and goes back. `since`: when the day began (epoch seconds).
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

    at: float  # the latest moment at which the upstream can have counted it
    recipients: int
    confirmed: bool = True  # False: its process died, and perhaps it was never offered


@dataclass(frozen=True, slots=True)
class MailboxUsage:
    """Used limits of a mailbox. `connections` carry a message now."""

    connections: int
    messages_last_minute: int
    recipients_last_day: int
