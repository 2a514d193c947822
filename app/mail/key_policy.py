"""Policy of an API key: permitted senders, lanes, recipients and amounts. Parses, validates and applies it. Pure.

The store counts amounts; permissions for administration are not part of it. The windows of a rate limit begin at full
minutes and at midnight (UTC), so that all processes use the same ones. A window that starts slightly in the future was
written by a process with another clock; it is continued, so that no window is counted twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum

from app.frozen import frozen
from app.mail.message.address import Address, AddressError, parse_address
from app.mail.message.headers import CONTACT_FIELDS
from app.mail.message.message import Lane, Submission
from app.mail.routing import ANYONE, PatternError, allowed, pattern
from app.mail.times import DAY, MINUTE

MAX_ITEMS = 1_000_000_000  # messages or recipients of a limit
MAX_BYTES = 1_000_000_000_000_000  # of a limit
MAX_NAME = 100  # characters

_KINDS = "Use an address, *@contoso.com, *@*.contoso.com or * alone"
_REDIRECTED = "[redirected] "
_UNLIMITED = (None,) * 6


class Unit(StrEnum):
    """Unit of a limit."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    BYTES = "bytes"


@frozen
class Amount:
    """Size of a submission, or the sum of several. `bytes` are those of the composed messages."""

    messages: int = 0
    recipients: int = 0
    bytes: int = 0

    def in_unit(self, unit: Unit) -> int:
        """Return the amount in this unit."""
        return {Unit.MESSAGES: self.messages, Unit.RECIPIENTS: self.recipients, Unit.BYTES: self.bytes}[unit]

    def plus(self, other: "Amount") -> "Amount":
        """Return the sum."""
        return Amount(self.messages + other.messages, self.recipients + other.recipients, self.bytes + other.bytes)

    def joined(self, other: "Amount") -> "Amount":
        """Return the maximum of each unit."""
        return Amount(
            max(self.messages, other.messages), max(self.recipients, other.recipients), max(self.bytes, other.bytes)
        )


NOTHING = Amount()


@frozen
class Usage:
    """Amounts submitted in the minute and the day that begin at these times (epoch seconds)."""

    minute: int
    in_minute: Amount
    day: int
    in_day: Amount

    @property
    def minute_used(self) -> int:
        """Messages in the minute."""
        return self.in_minute.messages

    @property
    def day_used(self) -> int:
        """Messages in the day."""
        return self.in_day.messages

    def at(self, now: float) -> "Usage":
        """Return the usage at `now` (epoch seconds): a window that has ended restarts at zero."""
        minute, day = _window_start(self.minute, now, MINUTE), _window_start(self.day, now, DAY)
        return Usage(
            minute,
            self.in_minute if minute == self.minute else NOTHING,
            day,
            self.in_day if day == self.day else NOTHING,
        )

    def joined(self, other: "Usage") -> "Usage":
        """Return the union of two reports: for each window the later one, with the larger amounts."""
        return Usage(
            *_merge_windows((self.minute, self.in_minute), (other.minute, other.in_minute)),
            *_merge_windows((self.day, self.in_day), (other.day, other.in_day)),
        )

    def plus(self, amount: Amount) -> "Usage":
        """Return the usage with this amount added to both windows."""
        return Usage(self.minute, self.in_minute.plus(amount), self.day, self.in_day.plus(amount))


UNUSED = Usage(0, NOTHING, 0, NOTHING)


@frozen
class Window:
    """Time window with a limit of one unit. `start` and `end` are epoch seconds."""

    seconds: int
    start: int
    limit: int
    used: int
    unit: Unit = Unit.MESSAGES

    @property
    def end(self) -> int:
        """Start of the next window."""
        return self.start + self.seconds

    @property
    def remaining(self) -> int:
        """Remaining amount, at least 0: the limit may have been lowered since."""
        return max(0, self.limit - self.used)


@frozen
class RateLimit:
    """Limits per minute and day in each unit; None is unlimited. At least one is a number."""

    per_minute: int | None  # messages
    per_day: int | None
    recipients_per_minute: int | None = None
    recipients_per_day: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None

    def tightest(self, usage: Usage) -> Window | None:
        """Return the window with the fewest remaining messages (of equals the longer), or None without a limit."""
        windows = [window for window in self._windows(usage) if window.unit is Unit.MESSAGES]
        return min(windows, key=lambda window: (window.remaining, -window.seconds), default=None)

    def exceeded(self, usage: Usage, amount: Amount) -> Window | None:
        """Return the window that the amount would exceed, or None.

        Of several: a window whose limit is smaller than the amount, else the one that ends last.
        """
        full = [window for window in self._windows(usage) if amount.in_unit(window.unit) > window.remaining]
        never = [window for window in full if amount.in_unit(window.unit) > window.limit]
        return min(never or full, key=lambda window: -window.seconds, default=None)

    def takes(self, usage: Usage, amount: Amount) -> bool:
        """Return True if the amount fits into every window."""
        return self.exceeded(usage, amount) is None

    def _windows(self, usage: Usage) -> Sequence[Window]:
        limits = (
            (Unit.MESSAGES, self.per_minute, self.per_day),
            (Unit.RECIPIENTS, self.recipients_per_minute, self.recipients_per_day),
            (Unit.BYTES, self.bytes_per_minute, self.bytes_per_day),
        )
        return [
            Window(seconds, start, limit, used.in_unit(unit), unit)
            for unit, per_minute, per_day in limits
            for seconds, start, limit, used in (
                (MINUTE, usage.minute, per_minute, usage.in_minute),
                (DAY, usage.day, per_day, usage.in_day),
            )
            if limit is not None
        ]


def _merge_windows(first: tuple[int, Amount], second: tuple[int, Amount]) -> tuple[int, Amount]:
    """Return the window that began later; of the same window, the larger amounts."""
    if first[0] == second[0]:
        return first[0], first[1].joined(second[1])
    return max(first, second, key=lambda window: window[0])


def _window_start(start: int, now: float, seconds: int) -> int:
    """Return the start of the window that counts at `now`."""
    current = int(now // seconds) * seconds
    return start if current <= start <= current + seconds else current


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
