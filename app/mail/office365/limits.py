"""Sending limits of an Exchange Online mailbox (Microsoft Learn, "Exchange Online limits", Sending limits)."""

CONNECTIONS = 3  # sending at the same time
MESSAGES_PER_MINUTE = 30
RECIPIENTS_PER_DAY = 10_000  # in any 24 hours
