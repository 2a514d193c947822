"""Routing: address patterns, and the pool of each sender. Pure.

Four kinds of pattern, from specific to general: `anna@example.com`, `*@example.com`, `*@*.example.com` (all subdomains,
not the domain itself) and `*`. Each pattern that matches an address is looked up, so the cost depends on the labels of
its domain and not on the number of pools. Comparisons ignore case, also in the local part, as in Exchange.
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
    """Invalid pattern. Its text is a phrase that does not repeat the input."""


def pattern(text: str) -> str:
    """Return the pattern in lower case with its domain in A-labels. Raises PatternError."""
    text = text.strip()
    if text in (ANYONE, _ANY_ADDRESS):
        return ANYONE
    local, at, domain = text.rpartition("@")
    if not at:
        raise PatternError("it has no @")
    try:
        return _domain_pattern(domain) if local == ANYONE else _address_pattern(text)
    except AddressError:
        raise PatternError("it is neither an address nor a pattern") from None


def allowed(sender: Address, patterns: Collection[str]) -> bool:
    """Return True if one of the patterns matches the address."""
    return not {entry.lower() for entry in patterns}.isdisjoint(_forms(sender))


@dataclass(frozen=True, slots=True)
class Routes:
    """Pools by sender pattern. `default_sender`, from the first pool that has one, is for messages without `From`."""

    pools: Mapping[str, str]  # by pattern
    default_sender: str | None = None

    @classmethod
    def of(cls, pools: Iterable[tuple[str, Sequence[str], str | None]]) -> Self:
        """Build from (name, patterns, default sender) of each pool. Raises ValueError for a pattern in two pools."""
        by_pattern: dict[str, str] = {}
        default: str | None = None
        for name, patterns, sender in pools:
            default = default or sender
            for entry in map(pattern, patterns):
                if by_pattern.setdefault(entry, name) != name:
                    raise ValueError(f"{entry} is in the pools {by_pattern[entry]} and {name}")
        return cls(MappingProxyType(by_pattern), default)

    def route(self, sender: Address) -> str | None:
        """Return the name of the pool with the most specific matching pattern, or None."""
        return next((self.pools[form] for form in _forms(sender) if form in self.pools), None)


def _forms(sender: Address) -> Iterator[str]:
    """Yield every pattern that matches the address, from specific to general."""
    yield sender.addr_spec.lower()
    yield f"*@{sender.domain}"
    _, _, parent = sender.domain.partition(".")
    while parent:
        yield f"*@*.{parent}"
        _, _, parent = parent.partition(".")
    yield ANYONE


def _domain_pattern(domain: str) -> str:
    name = domain.removeprefix("*.")
    below = "*." if name != domain else ""
    return f"*@{below}{parse_address(f'postmaster@{name}').domain}"


def _address_pattern(text: str) -> str:
    if _WILD & set(text):
        raise PatternError("a wildcard stands for the whole local part or for all subdomains")
    address = parse_address(text)
    if address.display_name:
        raise PatternError("it has a display name")
    return address.addr_spec.lower()
