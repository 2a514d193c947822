"""Limits of connections: so many in all, so many from one address, and a few beyond for the checks of operators.

A connection from a gateway counts in all alone: behind it are many callers, whose requests are limited by address in
the application. Beyond the limits a few connections are reserved, on which the internal paths are answered.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.quota import Quota, network

RESERVED_CONNECTIONS = 16  # connections beyond the limits


class ReservedConnection(Protocol):
    """A connection beyond the limits."""

    def give_way(self) -> bool:
        """Close for a newer one, if no request is being answered."""


class ConnectionLimits:
    """Those of one listener. `gateways`: addresses and networks that are believed to forward the requests of others."""

    def __init__(self, limit: int, limit_per_address: int, gateways: Sequence[str]) -> None:
        self._quota = Quota(limit, limit_per_address)
        self._gateways = ProxyHeadersMiddleware(_nothing, [*gateways]).trusted_hosts
        self._reserved: list[ReservedConnection] = []

    def admit(self, address: str | None) -> tuple[Hashable, ...] | None:
        """Whom the connection is charged to, until `leave`; None beyond the limits."""
        holders = () if address is None or address in self._gateways else (network(address),)
        return holders if self._quota.take(1, holders) else None

    def leave(self, holders: tuple[Hashable, ...]) -> None:
        """The connection has ended."""
        self._quota.give_back(1, holders)

    def reserve(self, connection: ReservedConnection) -> bool:
        """Keep one of the reserved connections for it, until `unreserve`. The oldest that asks nothing gives way."""
        if len(self._reserved) >= RESERVED_CONNECTIONS and not any(other.give_way() for other in [*self._reserved]):
            return False
        self._reserved.append(connection)
        return True

    def unreserve(self, connection: ReservedConnection) -> None:
        """The connection has ended."""
        if connection in self._reserved:
            self._reserved.remove(connection)


async def _nothing(*_: object) -> None:
    pass
