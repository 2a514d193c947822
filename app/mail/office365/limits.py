"""Sending limits of an Exchange Online mailbox (Microsoft Learn, "Exchange Online limits", Sending limits)."""

from dataclasses import dataclass

CONNECTIONS = 3  # sending at the same time
MESSAGES_PER_MINUTE = 30
RECIPIENTS_PER_DAY = 10_000  # in any 24 hours


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """Sending limits of one mailbox."""

    messages_per_minute: int = MESSAGES_PER_MINUTE
    recipients_per_day: int = RECIPIENTS_PER_DAY
    connections: int = CONNECTIONS
