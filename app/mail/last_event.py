"""The words for where an email stands that callers and their SDKs know. Never stored: computed from its state."""

from enum import StrEnum


class LastEvent(StrEnum):
    """Never delivered, opened or clicked, which a relay cannot know."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    SENT = "sent"
    DELIVERY_DELAYED = "delivery_delayed"
    FAILED = "failed"
    CANCELED = "canceled"
