"""Rules of webhooks: event types, valid target URLs, public IP addresses, retry delays. Pure.

The scheme is Standard Webhooks (github.com/standard-webhooks/standard-webhooks). The event types are those of Resend
that a relay can detect, and three for mailboxes and credentials.

Public addresses are known by an explicit list that does not depend on the version of Python: without the networks of
IANA's special-purpose registries for IPv4 and IPv6, including the globally reachable ones, where no webhook is, and
without the addresses at which clouds serve metadata and credentials to their machines.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from app.mail.lifecycle import LastEvent
from app.mail.retry_schedule import JITTER
from app.mail.times import DAY, HOUR, MINUTE

_SPECIAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared address space (RFC 6598); Alibaba's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local (RFC 3927); metadata of most clouds at 169.254.169.254
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890); Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private use (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), with the limited broadcast address
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out; what is outside of it is not public
_SPECIAL_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments (RFC 2928), with Teredo, ORCHID, benchmarking, DRIP
        "2001:db8::/32",  # documentation (RFC 3849)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3ffe::/16",  # the former 6bone (RFC 3701)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# IPv6 networks whose addresses have an IPv4 address in them, and the bits to the right of it.
_EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped (RFC 4291 §2.5.5.2)
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052 §2.1)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056 §2)
)

MAX_URL = 2048  # characters
# Seconds before each try, about three days in total. After the last one the delivery has failed.
RETRY_DELAYS = (0.0, 5.0, *(5 * MINUTE, 30 * MINUTE), *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)))
MAX_RETRY_AFTER = 1.0 * DAY  # seconds

# Types of the Resend SDKs that no relay can detect. They are accepted in a subscription and never sent.
UNSUPPORTED_EVENTS = frozenset(f"email.{word}" for word in ("clicked", "complained", "opened", "received"))

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986 §2
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MAX_NAME = 253  # characters


def is_public(address: str) -> bool:
    """Return True if an IP address is public. An embedded IPv4 address decides for its IPv6 address.

    Raises ValueError for text that is no address.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        if inner is None:
            return ip in _GLOBAL_UNICAST and not any(ip in network for network in _SPECIAL_6)
        ip = inner
    return not any(ip in network for network in _SPECIAL_4)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    for network, right in _EMBEDDING:
        if ip in network:
            return IPv4Address(int(ip) >> right & 0xFFFF_FFFF)
    return None


class EventType(StrEnum):
    """Type of a webhook event."""

    # Types of an email have the words of its states, as all surfaces do.
    SCHEDULED = f"email.{LastEvent.SCHEDULED}"
    SENT = f"email.{LastEvent.SENT}"  # Office 365 has accepted it for every recipient
    DELIVERY_DELAYED = f"email.{LastEvent.DELIVERY_DELAYED}"  # it has waited for an hour; sent once
    FAILED = f"email.{LastEvent.FAILED}"  # it failed for a recipient
    SUPPRESSED = "email.suppressed"  # for each recipient on the suppression list
    CANCELED = f"email.{LastEvent.CANCELED}"
    DELIVERED = f"email.{LastEvent.DELIVERED}"  # to one recipient: the next server accepted it
    BOUNCED = f"email.{LastEvent.BOUNCED}"  # for one recipient
    MAILBOX_HELD = "mailbox.held"
    MAILBOX_RELEASED = "mailbox.released"
    CREDENTIAL_EXPIRING = "credential.expiring"


# Types that only Exchange can report: in its message trace, or, of a bounce, in a non-delivery report.
_REPORTED_EVENTS = frozenset({EventType.DELIVERED, EventType.BOUNCED})


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
