"""Who may send as whom: patterns of senders, and the pool each sender belongs to. Asks nobody; knows no mailbox.

Four kinds of pattern, the more specific first: `anna@example.com`, `*@example.com`, `*@*.example.com` (any depth below
it, not itself) and `*`. An address has few of these forms, so each is looked up: the cost is the labels of its domain,
however many pools there are. Upper and lower case are one, in the local part too, as Exchange has it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from app.mail.message.address import Address, AddressError, parse_address

ANYONE = "*"
_ANY_ADDRESS = "*@*"
_WILD = frozenset("*?[]")


class PatternError(ValueError):
    """Not a pattern of the four kinds. Its text is a phrase that does not repeat the input."""


def pattern(text: str) -> str:
    """`text` as it is compared: lower case, the domain in A-labels. Raises PatternError."""
    text = text.strip()
    if text in (ANYONE, _ANY_ADDRESS):
        return ANYONE
    local, at, domain = text.rpartition("@")
    if not at:
        raise PatternError("it has no @")
    try:
        return _of_domain(domain) if local == ANYONE else _of_address(text)
    except AddressError:
        raise PatternError("it is neither an address nor one of its kind") from None


def allowed(sender: Address, patterns: Collection[str]) -> bool:
    """True if one of the patterns is the sender's: what an API key may send as."""
    return not {one.lower() for one in patterns}.isdisjoint(_forms(sender))


@dataclass(frozen=True, slots=True)
class Routes:
    """The pool of each sender. `default_sender` is the first that a pool names: `From` of a message without one."""

    pools: Mapping[str, str]  # by pattern
    default_sender: str | None = None

    @classmethod
    def of(cls, pools: Iterable[tuple[str, Sequence[str], str | None]]) -> Self:
        """From (name, patterns, default sender) of each pool. Raises ValueError for a pattern in two pools."""
        by_pattern: dict[str, str] = {}
        default: str | None = None
        for name, patterns, sender in pools:
            default = default or sender
            for one in map(pattern, patterns):
                if by_pattern.setdefault(one, name) != name:
                    raise ValueError(f"{one} is in the pools {by_pattern[one]} and {name}")
        return cls(MappingProxyType(by_pattern), default)

    def route(self, sender: Address) -> str | None:
        """The name of the pool that may send as `sender`, by the most specific pattern; None if there is none."""
        return next((self.pools[form] for form in _forms(sender) if form in self.pools), None)


def _forms(sender: Address) -> Iterator[str]:
    """Every pattern that takes this sender, the most specific first."""
    yield sender.addr_spec.lower()
    yield f"*@{sender.domain}"
    _, _, parent = sender.domain.partition(".")
    while parent:
        yield f"*@*.{parent}"
        _, _, parent = parent.partition(".")
    yield ANYONE


def _of_domain(domain: str) -> str:
    name = domain.removeprefix("*.")
    below = "*." if name != domain else ""
    return f"*@{below}{parse_address(f'postmaster@{name}').domain}"


def _of_address(text: str) -> str:
    if _WILD & set(text):
        raise PatternError("a wildcard stands for the whole local part, or for all that is below a domain")
    address = parse_address(text)
    if address.display_name:
        raise PatternError("it has a display name")
    return address.addr_spec.lower()
