"""Rules of webhooks: event types, valid target URLs, retry delays. Pure.

The scheme is Standard Webhooks (github.com/standard-webhooks/standard-webhooks). The event types are those of Resend
that a relay can detect, and three for mailboxes and credentials.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.mail.retry_schedule import JITTER
from app.mail.times import DAY, HOUR, MINUTE
from app.mail.webhook.public_address import is_public

MAX_URL = 2048  # characters
# Seconds before each try, about three days in total. After the last one the delivery has failed.
RETRY_DELAYS = (0.0, 5.0, *(5 * MINUTE, 30 * MINUTE), *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)))
MAX_RETRY_AFTER = 1.0 * DAY  # seconds


class EventType(StrEnum):
    """Type of a webhook event."""

    SCHEDULED = "email.scheduled"
    SENT = "email.sent"  # Office 365 has accepted it for every recipient
    DELIVERY_DELAYED = "email.delivery_delayed"  # it has waited for an hour; sent once
    FAILED = "email.failed"  # it failed for a recipient
    SUPPRESSED = "email.suppressed"  # for each recipient on the suppression list
    CANCELED = "email.canceled"
    DELIVERED = "email.delivered"  # to one recipient: the next server accepted it
    BOUNCED = "email.bounced"  # for one recipient
    MAILBOX_HELD = "mailbox.held"
    MAILBOX_RELEASED = "mailbox.released"
    CREDENTIAL_EXPIRING = "credential.expiring"


# Types of the Resend SDKs that no relay can detect. They are accepted in a subscription and never sent.
UNSUPPORTED_EVENTS = frozenset(f"email.{word}" for word in ("clicked", "complained", "opened", "received"))
# Types that only Exchange can report: in its message trace, or, of a bounce, in a non-delivery report.
_REPORTED_EVENTS = frozenset({EventType.DELIVERED, EventType.BOUNCED})

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986 §2
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MAX_NAME = 253  # characters


def never_sent(*, traced: bool, reported: bool) -> frozenset[str]:
    """Return the types that are never sent. `traced`: a message trace is read; `reported`: non-delivery reports are."""
    if traced:
        return UNSUPPORTED_EVENTS
    return UNSUPPORTED_EVENTS | (_REPORTED_EVENTS - {EventType.BOUNCED} if reported else _REPORTED_EVENTS)


class TargetError(ValueError):
    """Invalid URL. Its text is one sentence: what is wrong and what would be valid."""


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Parsed URL of a webhook. `host` is resolved and verified, `authority` is the Host header."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str  # with the query


def target(url: str, *, private: bool) -> WebhookTarget:
    """Parse and validate a URL. Without `private` it must be https, and an IP address must be public.

    Raises TargetError. Names are not resolved here: their addresses are checked at every connection.
    """
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        raise TargetError(f"It must be an ASCII URL of at most {MAX_URL} characters; escape others as %XX.")
    parts, port = _split(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise TargetError("It must be a URL such as https://example.com/webhook.")
    if parts.scheme == "http" and not private:
        raise TargetError("It must begin with https://; plain http is for private addresses, which are not allowed.")
    if not _is_host(parts.hostname):
        raise TargetError("Its host is not a host name: labels of 1 to 63 letters, digits, '-' or '_' between dots.")
    if parts.username is not None or parts.fragment:
        raise TargetError("It has a user or a fragment, which are not sent; leave them out.")
    if not private and _is_address(parts.hostname) and not is_public(parts.hostname):
        raise TargetError(
            "Its host is an address that is not public; POSTERN_WEBHOOK_PRIVATE_ADDRESSES=true allows that."
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(
        parts.scheme, parts.hostname, port or {"https": 443, "http": 80}[parts.scheme], parts.netloc, path
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise TargetError("It must be a URL such as https://example.com/webhook.") from None


def redelivery_delay(tries: int, jitter: float) -> float | None:
    """Return the seconds to the next try after `tries` failed ones (1 or more), or None. `jitter` is in -1..1."""
    return RETRY_DELAYS[tries] * (1 + JITTER * jitter) if tries < len(RETRY_DELAYS) else None


def _is_host(host: str) -> bool:
    """Return True for an IP address, and for a name of at most 253 characters (RFC 1123 §2.1) with valid labels."""
    if _is_address(host):
        return True
    name = host.removesuffix(".")
    return len(name) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
