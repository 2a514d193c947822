"""TCP to a name with many addresses: happy eyeballs (RFC 8305), so that broken IPv6 costs 250 ms and not a minute.

Neither aiosmtplib nor uvloop staggers its attempts, hence our own.
"""

import asyncio
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from app.mail.outcome.attempt import FailureKind, Phase
from app.smtp.failure import SessionError, classify, session_error

CONNECTION_ATTEMPT_DELAY = 0.25  # seconds until the next address is tried beside those before it (RFC 8305 §8)


class Address(NamedTuple):
    """As getaddrinfo says it and sock_connect wants it."""

    family: int
    sockaddr: Any


async def connect(host: str, port: int, *, ipv4_only: bool, seconds: float) -> socket.socket:
    """A connected, non-blocking socket. `seconds` is for each address. Raises SessionFailed at CONNECT."""
    try:
        async with asyncio.timeout(seconds):
            addresses = await resolve(host, port, ipv4_only=ipv4_only)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that no name can have
        reason = getattr(error, "strerror", None) or "no answer"
        raise session_error(Phase.CONNECT, FailureKind.DNS, f"The name {host} has no address ({reason}).") from None
    winner, errors = await race(addresses, seconds)
    if winner is None:
        raise connect_error(host, port, errors)
    return winner


async def race(addresses: Iterable[Address], seconds: float) -> tuple[socket.socket | None, list[OSError]]:
    """The first socket to connect, or None and why each attempt failed. All others are closed on return."""
    waiting = list(addresses)
    attempts: set[asyncio.Task[socket.socket | OSError]] = set()
    winner: socket.socket | None = None
    errors: list[OSError] = []
    try:
        while winner is None and (waiting or attempts):
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.pop(0), seconds)))
            stagger = CONNECTION_ATTEMPT_DELAY if waiting else None
            done, attempts = await asyncio.wait(attempts, timeout=stagger, return_when=asyncio.FIRST_COMPLETED)
            results = [task.result() for task in done]
            errors += [result for result in results if isinstance(result, OSError)]
            winner = _keep_one([result for result in results if isinstance(result, socket.socket)])
    finally:
        await _drop(attempts)
    return winner, errors


async def resolve(host: str, port: int, *, ipv4_only: bool) -> list[Address]:
    """The addresses, families taking turns in the resolver's order (RFC 8305 §4). Raises OSError, UnicodeError."""
    family = socket.AF_INET if ipv4_only else socket.AF_UNSPEC
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    families: dict[int, list[Address]] = {}
    for entry in found:
        families.setdefault(entry[0], []).append(Address(entry[0], entry[4]))
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


async def _attempt(address: Address, seconds: float) -> socket.socket | OSError:
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:  # the machine has no such family
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


def _keep_one(connected: list[socket.socket]) -> socket.socket | None:
    for extra in connected[1:]:
        extra.close()
    return connected[0] if connected else None


async def _drop(attempts: set[asyncio.Task[socket.socket | OSError]]) -> None:
    for task in attempts:
        task.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()


def connect_error(host: str, port: int, errors: list[OSError]) -> SessionError:
    """Why no address answered: the kind they share, else UNREACHABLE."""
    found = {classify(error, f"{host}:{port}") for error in errors}
    kinds = {kind for kind, _ in found}
    kind = kinds.pop() if len(kinds) == 1 else FailureKind.UNREACHABLE
    return session_error(Phase.CONNECT, kind, " ".join(sorted(detail for _, detail in found)))
