"""TCP connections with Happy Eyeballs (RFC 8305): a broken IPv6 route delays by 250 ms instead of a minute.

Neither aiosmtplib nor uvloop implements it.
"""

import asyncio
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from app.mail.outcome.attempt import FailureKind, Phase
from app.smtp.failure import SessionError, classify, session_error

CONNECTION_ATTEMPT_DELAY = 0.25  # seconds (RFC 8305 §8)


class SocketAddress(NamedTuple):
    """Socket address from getaddrinfo, for sock_connect."""

    family: int
    sockaddr: Any


async def connect(host: str, port: int, *, ipv4_only: bool, seconds: float) -> socket.socket:
    """Return a connected, non-blocking socket. `seconds` is the timeout per address. Raises SessionError at CONNECT."""
    try:
        async with asyncio.timeout(seconds):
            addresses = await resolve(host, port, ipv4_only=ipv4_only)
    except (OSError, UnicodeError) as error:  # UnicodeError: invalid label
        reason = getattr(error, "strerror", None) or "no answer"
        raise session_error(Phase.CONNECT, FailureKind.DNS, f"The name {host} has no address ({reason}).") from None
    winner, errors = await race(addresses, seconds)
    if winner is None:
        raise connect_error(host, port, errors)
    return winner


async def race(
    addresses: Iterable[SocketAddress], seconds: float, attempt_delay: float = CONNECTION_ATTEMPT_DELAY
) -> tuple[socket.socket | None, list[OSError]]:
    """Return the first connected socket or None, and the errors of failed attempts. Other sockets are closed.

    The next address is tried after a failure, or after `attempt_delay` seconds.
    """
    waiting = list(addresses)
    attempts: set[asyncio.Task[socket.socket | OSError]] = set()
    winner: socket.socket | None = None
    errors: list[OSError] = []
    try:
        while winner is None and (waiting or attempts):
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.pop(0), seconds)))
            stagger = attempt_delay if waiting else None
            done, attempts = await asyncio.wait(attempts, timeout=stagger, return_when=asyncio.FIRST_COMPLETED)
            results = [task.result() for task in done]
            errors += [result for result in results if isinstance(result, OSError)]
            winner = _take_first([result for result in results if isinstance(result, socket.socket)])
    finally:
        await _cancel(attempts)
    return winner, errors


async def resolve(host: str, port: int, *, ipv4_only: bool) -> list[SocketAddress]:
    """Return the addresses with alternating families in the order of the resolver (RFC 8305 §4).

    Raises OSError, UnicodeError.
    """
    family = socket.AF_INET if ipv4_only else socket.AF_UNSPEC
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    families: dict[int, list[SocketAddress]] = {}
    for entry in found:
        families.setdefault(entry[0], []).append(SocketAddress(entry[0], entry[4]))
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def _attempt(address: SocketAddress, seconds: float) -> socket.socket | OSError:
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:  # address family not supported
        return error
    sock.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except OSError as error:
        sock.close()
        return error
    except BaseException:
        sock.close()
        raise
    return sock


def _take_first(connected: list[socket.socket]) -> socket.socket | None:
    for extra in connected[1:]:
        extra.close()
    return connected[0] if connected else None


async def _cancel(attempts: set[asyncio.Task[socket.socket | OSError]]) -> None:
    for task in attempts:
        task.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()


def connect_error(host: str, port: int, errors: list[OSError]) -> SessionError:
    """Return the error for failed attempts: their common kind, else UNREACHABLE."""
    found = {classify(error, f"{host}:{port}") for error in errors}
    kinds = {kind for kind, _ in found}
    kind = kinds.pop() if len(kinds) == 1 else FailureKind.UNREACHABLE
    return session_error(Phase.CONNECT, kind, " ".join(sorted(detail for _, detail in found)))
