"""A mailbox as the pages show it: where it stands, and what it has used of its limits. Reads nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from app.console.context import ConsoleContext
from app.mail.credential_expiry import CredentialExpiry
from app.mail.mailbox_health import MailboxCondition
from app.mail.send_estimate import Capacity
from app.store.mailboxes.records import MailboxRecord, MailboxUsage
from app.store.read.status import condition_at

_NOTHING_USED = MailboxUsage(0, 0, 0)


@dataclass(frozen=True, slots=True)
class MailboxView:
    """One mailbox as it is shown; no `condition` when no relay has taken it over yet."""

    name: str
    pool: str
    condition: MailboxCondition | None
    wish: str
    owner: str  # the replica that relays for it now; "" for nobody
    used: MailboxUsage
    capacity: Capacity
    ending: CredentialExpiry | None

    @property
    def health(self) -> str:
        """In a word."""
        return "unknown" if self.condition is None else str(self.condition.health)

    @property
    def connections(self) -> int:
        """How many it may have now."""
        return (self.condition and self.condition.connections) or self.capacity.connections


def mailbox_view(
    desk: ConsoleContext, name: str, records: Mapping[str, MailboxRecord], usage: Mapping[str, MailboxUsage], now: float
) -> MailboxView:
    """What is known of a mailbox of the settings."""
    record = records.get(name)
    return MailboxView(
        name=name,
        pool=desk.pools[name],
        condition=condition_at(record, now) if record else None,
        owner=(record and record.owner) or "",
        wish=record.wish.description if record and record.wish else "",
        used=usage.get(name, _NOTHING_USED),
        capacity=desk.capacities[name],
        ending=desk.credential_expiries[name](),
    )


def mailbox_path(name: str) -> str:
    """The mailbox's page, below the console."""
    return f"/mailboxes/{quote(name)}"
