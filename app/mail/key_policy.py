"""Policy of an API key: permitted senders, lanes, recipients and amounts. Parses, validates and applies it. Pure.

The store counts amounts; permissions for administration are not part of it.
"""

from collections.abc import Iterable
from dataclasses import replace

from app.frozen import frozen
from app.mail.message.address import Address, AddressError, parse_address
from app.mail.message.custom_fields import CONTACT_FIELDS
from app.mail.message.message import Lane, Submission
from app.mail.rate_limit import RateLimit
from app.mail.routing import ANYONE, PatternError, allowed, pattern

MAX_ITEMS = 1_000_000_000  # messages or recipients of a limit
MAX_BYTES = 1_000_000_000_000_000  # of a limit
MAX_NAME = 100  # characters

_KINDS = "Use an address, *@contoso.com, *@*.contoso.com or * alone"
_REDIRECTED = "[redirected] "
_UNLIMITED = (None,) * 6


class PolicyError(ValueError):
    """Invalid policy value. Its text says what is wrong and how to fix it."""


@frozen
class Policy:
    """Restrictions of one key, and what is permitted to it alone. Empty values have no effect.

    At most one of `recipients` (only these are accepted), `redirect_to` (all mail is sent to this address) and `sink`
    (no mail is sent) is set.
    """

    senders: tuple[str, ...] = ()  # patterns
    default_sender: str | None = None
    lanes: tuple[Lane, ...] = ()
    recipients: tuple[str, ...] = ()  # patterns
    redirect_to: str | None = None  # an addr-spec
    sink: bool = False
    messages_per_minute: int | None = None
    messages_per_day: int | None = None
    recipients_per_minute: int | None = None
    recipients_per_day: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None
    ignore_suppressions: tuple[Lane, ...] = ()  # lanes whose emails are sent to suppressed recipients, too
    retry_unseen: bool = False  # held emails that Exchange has not seen are sent again
    strict: bool = False  # emails with unknown members are refused

    @property
    def default_lane(self) -> Lane:
        """Lane of a message that names none."""
        return Lane.NORMAL if self.takes_lane(Lane.NORMAL) else self.lanes[0]

    @property
    def rate_limit(self) -> RateLimit | None:
        """Limits of the amounts, or None without any."""
        limits = (
            self.messages_per_minute,
            self.messages_per_day,
            self.recipients_per_minute,
            self.recipients_per_day,
            self.bytes_per_minute,
            self.bytes_per_day,
        )
        return None if limits == _UNLIMITED else RateLimit(*limits)

    def takes_lane(self, lane: Lane) -> bool:
        """Return True if a message may use this lane."""
        return not self.lanes or lane in self.lanes

    def disallowed_recipients(self, submission: Submission) -> list[tuple[str, Address]]:
        """Return the recipients that are not allowed, each with its field, such as `cc[1]`."""
        if not self.recipients:
            return []
        fields = (("to", submission.to), ("cc", submission.cc), ("bcc", submission.bcc))
        return [
            (f"{field}[{index}]", address)
            for field, addresses in fields
            for index, address in enumerate(addresses)
            if not allowed(address, self.recipients)
        ]

    def apply_redirect(self, submission: Submission) -> Submission:
        """Return the submission, redirected if the policy has `redirect_to`.

        A redirected message has no Reply-To and no fields for receipts, bounces, subscriptions and followups, so that
        no reader of it contacts the real people.
        """
        if self.redirect_to is None:
            return submission
        everyone = (*submission.to, *submission.cc, *submission.bcc)
        return replace(
            submission,
            to=(parse_address(self.redirect_to),),
            cc=(),
            bcc=(),
            reply_to=(),
            headers=tuple((name, value) for name, value in submission.headers if name.lower() not in CONTACT_FIELDS),
            subject=_REDIRECTED + submission.subject,
            original_to=tuple(address.addr_spec for address in everyone),
        )


def validate(policy: Policy) -> Policy:
    """Return the policy if its values are consistent. Raises PolicyError."""
    if policy.default_sender and policy.senders and not allowed(parse_address(policy.default_sender), policy.senders):
        raise PolicyError(
            "This key may not send as its default sender. Add the address to the senders, or change the default sender."
        )
    if (bool(policy.recipients), bool(policy.redirect_to), policy.sink).count(True) > 1:
        raise PolicyError(
            "Allowed recipients, a redirection and a sink exclude each other. Set one of them and remove the others."
        )
    return policy


def name(text: str) -> str:
    """Return the name of a key on one line. Raises PolicyError."""
    line = " ".join(text.split())
    if not 1 <= len(line) <= MAX_NAME or not line.isprintable():
        raise PolicyError(f"A name has 1 to {MAX_NAME} printable characters. Use one such as shop.")
    return line


def senders(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of senders without duplicates. Raises PolicyError."""
    return tuple(dict.fromkeys(_pattern(text, "sender") for text in texts))


def recipients(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of recipients without duplicates; a domain means all its addresses. Raises PolicyError."""
    return tuple(dict.fromkeys(_pattern(_expand_domain(text), "recipient") for text in texts))


def redirect_to(text: str) -> str:
    """Return one address without a display name. Raises PolicyError."""
    return _address(text, "staging@contoso.com").addr_spec


def default_sender(text: str) -> str:
    """Return one address with its display name, if any. Raises PolicyError."""
    return _address(text, "Contoso <noreply@contoso.com>").render()


def lanes(texts: Iterable[str]) -> tuple[Lane, ...]:
    """Return the lanes without duplicates. Without `normal`, the first is the default lane. Raises PolicyError."""
    return tuple(dict.fromkeys(map(_lane, texts)))


def item_limit(number: int) -> int:
    """Return a limit of messages or recipients. Raises PolicyError."""
    return _limit(number, MAX_ITEMS)


def byte_limit(number: int) -> int:
    """Return a limit of bytes. Raises PolicyError."""
    return _limit(number, MAX_BYTES)


def _limit(number: int, most: int) -> int:
    if not 1 <= number <= most:
        raise PolicyError(f"{number} is not a valid limit. Use a whole number from 1 to {most}.")
    return number


def _pattern(text: str, what: str) -> str:
    try:
        return pattern(text)
    except PatternError as error:
        raise PolicyError(f"{text.strip()!r:.60} is not a pattern of a {what}: {error}. {_KINDS}.") from None


def _expand_domain(text: str) -> str:
    text = text.strip()
    return text if "@" in text or text == ANYONE else f"*@{text}"


def _address(text: str, such: str) -> Address:
    try:
        return parse_address(text)
    except AddressError:
        raise PolicyError(f"{text!r:.60} is not an email address. Use one such as {such}.") from None


def _lane(text: str) -> Lane:
    try:
        return Lane(text.strip().lower())
    except ValueError:
        raise PolicyError(f"{text!r:.60} is not a lane. Use one or more of {', '.join(Lane)}.") from None
