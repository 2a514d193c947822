"""Connection limits: in total and per address, with a few more connections reserved for the internal paths.

A connection from a gateway counts only in the total, because it carries requests of many callers; the application
limits those by address.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.quota import Quota, network

RESERVED_CONNECTIONS = 16  # beyond the limits


class ReservedConnection(Protocol):
    """Connection beyond the limits."""

    def close_if_idle(self) -> bool:
        """Close the connection and return True, unless a request is being processed."""


class ConnectionLimits:
    """Connection limits of one server. `gateways` are the addresses and networks of trusted proxies."""

    def __init__(self, limit: int, limit_per_address: int, gateways: Sequence[str]) -> None:
        self._quota = Quota(limit, limit_per_address)
        self._gateways = ProxyHeadersMiddleware(_nothing, [*gateways]).trusted_hosts
        self._reserved: list[ReservedConnection] = []

    def admit(self, address: str | None) -> tuple[Hashable, ...] | None:
        """Count a connection until `leave`; return the holders it counts for, or None beyond the limits."""
        holders = () if address is None or address in self._gateways else (network(address),)
        return holders if self._quota.take(1, holders) else None

    def leave(self, holders: tuple[Hashable, ...]) -> None:
        """Stop counting a connection that has ended."""
        self._quota.give_back(1, holders)

    def reserve(self, connection: ReservedConnection) -> bool:
        """Reserve a connection until `unreserve`, if necessary by closing the oldest idle one. False: none is free."""
        if len(self._reserved) >= RESERVED_CONNECTIONS and not any(
            reserved.close_if_idle() for reserved in [*self._reserved]
        ):
            return False
        self._reserved.append(connection)
        return True

    def unreserve(self, connection: ReservedConnection) -> None:
        """Free the place of a connection that has ended."""
        if connection in self._reserved:
            self._reserved.remove(connection)


async def _nothing(*_: object) -> None:
    pass
