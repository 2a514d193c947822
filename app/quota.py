"""Quota of an amount that callers share: a limit in total, and one per holder (an address, an API key).

Connections, requests in progress, memory and waiting requests are all counted by a `Quota`. `network` returns the
holder for an address.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

_IPV6_NETWORK = 64  # bits of an IPv6 address that name a caller, who may choose the others freely


class Quota:
    """Amount taken, in total and by each holder. For use in one thread."""

    def __init__(self, limit: int, holder_limit: int) -> None:
        self.limit = limit
        self.holder_limit = holder_limit
        self._taken = 0
        self._taken_by: dict[Hashable, int] = {}

    def take(self, amount: int, holders: Sequence[Hashable] = ()) -> bool:
        """Count the amount in total and for each holder. False: it exceeds a limit, and nothing is counted."""
        if self._taken + amount > self.limit:
            return False
        for holder in holders:
            if self._taken_by.get(holder, 0) + amount > self.holder_limit:
                return False
        self._taken += amount
        for holder in holders:
            self._taken_by[holder] = self._taken_by.get(holder, 0) + amount
        return True

    def give_back(self, amount: int, holders: Sequence[Hashable] = ()) -> None:
        """Undo a `take`."""
        self._taken -= amount
        for holder in holders:
            left = self._taken_by[holder] - amount
            if left:
                self._taken_by[holder] = left
            else:
                del self._taken_by[holder]


@lru_cache(4096)
def network(address: str) -> str:
    """Return the address or network by which a caller is counted: an IPv4 address, or an IPv6 /64 network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> _IPV6_NETWORK << _IPV6_NETWORK))
