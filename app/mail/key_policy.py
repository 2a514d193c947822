"""What an API key may send: as whom, in which lanes, to whom and how much. Values, their rules, their judgement. Pure.

Nothing is counted here, and who may administrate is not decided here.
"""

from collections.abc import Iterable
from dataclasses import replace

from app.frozen import frozen
from app.mail.message.address import Address, AddressError, parse_address
from app.mail.message.custom_fields import CONTACT_FIELDS
from app.mail.message.message import Lane, Submission
from app.mail.rate_limit import RateLimit
from app.mail.routing import ANYONE, PatternError, allowed, pattern

MAX_ITEMS = 1_000_000_000  # messages or recipients of a budget
MAX_BYTES = 1_000_000_000_000_000  # of a budget
MAX_NAME = 100  # characters

_KINDS = "Give an address, *@contoso.com, *@*.contoso.com or * alone"
_REDIRECTED = "[redirected] "
_UNLIMITED = (None,) * 6


class PolicyError(ValueError):
    """A value that no policy can have. Its text says what is wrong and what mends it."""


@frozen
class Policy:
    """What is stored with a key. What is empty, None or false forbids nothing.

    `recipients`, `redirect_to` and `sink` guard the recipients, and one of them at most is given: only some are taken,
    or one address gets everything, or nobody gets anything.
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

    @property
    def default_lane(self) -> Lane:
        """The lane of a message that names none."""
        return Lane.NORMAL if self.takes_lane(Lane.NORMAL) else self.lanes[0]

    @property
    def rate_limit(self) -> RateLimit | None:
        """None: nothing is counted."""
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
        """Whether a message may go in this lane."""
        return not self.lanes or lane in self.lanes

    def disallowed_recipients(self, submission: Submission) -> list[tuple[str, Address]]:
        """The recipients that are not taken, each with its field, like `cc[1]`."""
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
        """The message as it is to be relayed: as it was handed in, or redirected.

        Redirected, it leads nobody to the people of the real sender: without Reply-To, and without the fields for
        receipts, bounces, subscriptions and followups.
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
    """The policy, if its parts go together. Raises PolicyError."""
    if policy.default_sender and policy.senders and not allowed(parse_address(policy.default_sender), policy.senders):
        raise PolicyError(
            "The default sender is not one that this key may send as. "
            "Add it to the senders, or give another default sender."
        )
    if (bool(policy.recipients), bool(policy.redirect_to), policy.sink).count(True) > 1:
        raise PolicyError(
            "Allowed recipients, a redirection and a sink exclude each other. Give one, and take the others away."
        )
    return policy


def name(text: str) -> str:
    """What a key is for, on one line. Raises PolicyError."""
    line = " ".join(text.split())
    if not 1 <= len(line) <= MAX_NAME or not line.isprintable():
        raise PolicyError(f"A name has 1 to {MAX_NAME} characters that can be shown. Give one such as shop.")
    return line


def senders(texts: Iterable[str]) -> tuple[str, ...]:
    """Patterns of senders, each once. Raises PolicyError."""
    return tuple(dict.fromkeys(_pattern(text, "sender") for text in texts))


def recipients(texts: Iterable[str]) -> tuple[str, ...]:
    """Patterns of recipients, each once; a bare domain is everybody there. Raises PolicyError."""
    return tuple(dict.fromkeys(_pattern(_of_domain(text), "recipient") for text in texts))


def redirect_to(text: str) -> str:
    """One address, without a display name. Raises PolicyError."""
    return _address(text, "staging@contoso.com").addr_spec


def default_sender(text: str) -> str:
    """One address, with or without a display name. Raises PolicyError."""
    return _address(text, "Contoso <noreply@contoso.com>").render()


def lanes(texts: Iterable[str]) -> tuple[Lane, ...]:
    """Lanes, each once. The first is for messages that name none, if `normal` is not among them. Raises PolicyError."""
    return tuple(dict.fromkeys(map(_lane, texts)))


def item_limit(number: int) -> int:
    """Messages or recipients in a window. Raises PolicyError."""
    return _limit(number, MAX_ITEMS)


def byte_limit(number: int) -> int:
    """Bytes in a window. Raises PolicyError."""
    return _limit(number, MAX_BYTES)


def _limit(number: int, most: int) -> int:
    if not 1 <= number <= most:
        raise PolicyError(f"{number} is no budget. Give a whole number from 1 to {most}.")
    return number


def _pattern(text: str, what: str) -> str:
    try:
        return pattern(text)
    except PatternError as error:
        raise PolicyError(f"{text.strip()!r:.60} is no pattern of a {what}: {error}. {_KINDS}.") from None


def _of_domain(text: str) -> str:
    text = text.strip()
    return text if "@" in text or text == ANYONE else f"*@{text}"


def _address(text: str, such: str) -> Address:
    try:
        return parse_address(text)
    except AddressError:
        raise PolicyError(f"{text!r:.60} is not an email address. Give one such as {such}.") from None


def _lane(text: str) -> Lane:
    try:
        return Lane(text.strip().lower())
    except ValueError:
        raise PolicyError(f"{text!r:.60} is no lane. Give some of {', '.join(Lane)}.") from None
