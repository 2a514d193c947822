"""A webhook as words and rules: what it may hear of, where it may lead, when it is tried again. Pure.

The scheme is Standard Webhooks (github.com/standard-webhooks/standard-webhooks); the event types are those of the
Resend SDKs as far as a relay knows them, and three of our own.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.mail.retry_schedule import JITTER
from app.mail.webhook.public_address import is_public

MAX_URL = 2048  # characters
# Seconds before each try; after the last one the event is given up for this endpoint. In all some three days.
RETRY_DELAYS = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
MAX_RETRY_AFTER = 86_400.0  # seconds: what a Retry-After may ask for


class EventType(StrEnum):
    """What a webhook can hear of."""

    SCHEDULED = "email.scheduled"
    SENT = "email.sent"  # Office 365 has accepted it for every recipient
    DELIVERY_DELAYED = "email.delivery_delayed"  # it waits for an hour already; told once
    FAILED = "email.failed"  # a recipient will not get it
    CANCELED = "email.canceled"
    MAILBOX_HELD = "mailbox.held"
    MAILBOX_RELEASED = "mailbox.released"
    CREDENTIAL_EXPIRING = "credential.expiring"


# Types that callers of the Resend SDKs ask for and that no relay can know. They may be asked for and never come.
UNSUPPORTED_EVENTS = frozenset(
    f"email.{word}" for word in ("bounced", "clicked", "complained", "delivered", "opened", "received", "suppressed")
)

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986 §2
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LONGEST_NAME = 253  # characters


class TargetError(ValueError):
    """Its text is one sentence: what is wrong with the URL and what would be right."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook leads. `host` as it is resolved and verified, `authority` as the Host header says it."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str  # with the query


def target(url: str, *, private: bool) -> Target:
    """Read and check a URL. Without `private` it must be https, and no address that is not public. Raises TargetError.

    A name is not resolved here: what it leads to is checked each time a connection is made.
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
            "It leads to an address that is not public; POSTERN_WEBHOOK_PRIVATE_ADDRESSES=true allows that."
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port or {"https": 443, "http": 80}[parts.scheme], parts.netloc, path)


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise TargetError("It must be a URL such as https://example.com/webhook.") from None


def retry_delay(tries: int, jitter: float) -> float | None:
    """Seconds until the next try after so many that failed (1 or more); None: there is none. `jitter` is in -1..1."""
    return RETRY_DELAYS[tries] * (1 + JITTER * jitter) if tries < len(RETRY_DELAYS) else None


def _is_host(host: str) -> bool:
    """True for an address, and for a name of at most 253 characters (RFC 1123 §2.1) whose labels DNS can look up."""
    if _is_address(host):
        return True
    name = host.removesuffix(".")
    return len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
