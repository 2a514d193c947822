"""Network backend that connects to public addresses only (SSRF protection). Independent of TLS and HTTP.

A name is resolved once, and the connection uses the address that was checked, which prevents DNS rebinding. TLS still
verifies the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from app.mail.webhook.public_address import is_public

CONNECT_TIMEOUT = 5.0  # seconds for one address, so that a dead one leaves time for the next

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefusedError(Exception):
    """Name without an address that may be connected to. The text is one sentence."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the system's order. Raises OSError, AddressRefusedError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or has more than 63 characters
        raise AddressRefusedError(f"{host} is not a host name.") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class PublicOnlyBackend(httpcore.AsyncNetworkBackend):
    """httpcore backend over `network`. `allow_private`: every address is allowed."""

    def __init__(
        self, resolve: Resolve, *, allow_private: bool, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises AddressRefusedError, OSError, httpcore.ConnectError."""
        failed: Exception = AddressRefusedError(f"{host} has no address.")
        for address in await self._allowed(host, port):
            try:
                return await self._network.connect_tcp(address, port, CONNECT_TIMEOUT, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def _allowed(self, host: str, port: int) -> list[str]:
        addresses = await self._resolve(host, port)
        allowed = [address for address in addresses if self._allow_private or is_public(address)]
        if addresses and not allowed:
            raise AddressRefusedError(
                f"{host} leads to {addresses[0]}, which is not a public address; "
                "POSTERN_WEBHOOK_PRIVATE_ADDRESSES=true allows it."
            )
        return allowed
