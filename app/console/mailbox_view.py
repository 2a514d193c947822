"""View of a mailbox for the pages: health, owner, usage of its limits, credential expiry, and result of a change."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from app.console.context import ConsoleContext
from app.mail.credential_expiry import CredentialExpiry
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.limits import MailboxLimits
from app.mail.outcome.verdict import Explanation
from app.store.mailboxes.records import MailboxRecord, MailboxUsage
from app.store.read.status import condition_at

RELEASE_FIX = "Release it when the reason no longer applies."


@dataclass(frozen=True, slots=True)
class MailboxView:
    """Mailbox as the pages show it."""

    name: str
    pool: str
    condition: MailboxCondition | None  # None before a relay has taken the mailbox over
    hold_request: str  # "hold", "release" or "": requested by a person and not yet carried out
    owner: str  # the replica that relays for it, or ""
    used: MailboxUsage | None  # None where it is not shown
    capacity: MailboxLimits
    expiry: CredentialExpiry | None
    changing: bool = False  # an operator's request is not carried out yet

    @property
    def health(self) -> str:
        """Health in one word."""
        return "unknown" if self.condition is None else str(self.condition.health)

    @property
    def explanation(self) -> Explanation | None:
        """Cause and fix while it does not send. An operator's hold is released by a button instead of a command."""
        if self.condition is None or self.condition.explanation is None:
            return None
        if is_held_by_operator(self.condition):
            return Explanation(self.condition.explanation.summary, RELEASE_FIX)
        return self.condition.explanation

    @property
    def release_text(self) -> str:
        """Text of the button that releases it."""
        held_by_operator = self.condition is not None and is_held_by_operator(self.condition)
        return "Release" if held_by_operator else "Try the login now"

    def change_result(self, change: str) -> tuple[str, bool]:
        """Return the result of `hold` or `release` as a sentence, and whether it is good; "" without a change."""
        if change not in ("hold", "release") or self.condition is None:
            return "", True
        if self.changing:
            return "The relay has not carried it out yet. Reload this page in some seconds.", True
        if change == "hold":
            return "The mailbox is held. Its emails wait.", True
        if self.condition.health is Health.OPEN:
            return "The login succeeded. The mailbox relays again.", True
        return "The login failed again. Its cause is below.", False

    @property
    def connections(self) -> int:
        """Number of connections that the mailbox may use now."""
        return (self.condition and self.condition.connections) or self.capacity.connections


def mailbox_view(
    context: ConsoleContext,
    name: str,
    records: Mapping[str, MailboxRecord],
    now: float,
    used: MailboxUsage | None = None,
) -> MailboxView:
    """Build the view of a mailbox that is in the settings."""
    record = records.get(name)
    return MailboxView(
        name=name,
        pool=context.pools[name],
        condition=condition_at(record, now) if record else None,
        owner=(record and record.owner) or "",
        hold_request=record.hold_request.description if record and record.hold_request else "",
        used=used,
        capacity=context.capacities[name],
        expiry=context.credential_expiries[name](),
        changing=record is not None and is_changing(record),
    )


def is_held_by_operator(condition: MailboxCondition) -> bool:
    """Return whether an operator holds it. A mailbox that is held for another cause has a time of its next login."""
    return condition.health is Health.HELD and condition.until is None


def is_changing(record: MailboxRecord) -> bool:
    """Return whether the relay has not carried out a request yet: a released mailbox logs in first."""
    condition = record.condition
    return record.hold_request is not None or (condition.health is Health.OPEN and condition.unproven)


def mailbox_path(name: str) -> str:
    """Return the path of the mailbox's page, below the console."""
    return f"/mailboxes/{quote(name)}"
