"""Checks of the upstream server's DNS name and of TCP connections to it, separately for IPv4 and IPv6."""

import asyncio
import socket
from collections.abc import Sequence

from app.doctor import diagnosis
from app.doctor.finding import Finding, Step, failed, ok, skipped, warn
from app.doctor.target import CheckTarget
from app.mail.outcome.attempt import Failure, FailureKind
from app.mail.policy import WITHOUT_REPLY
from app.smtp.happy_eyeballs import CONNECTION_ATTEMPT_DELAY, SocketAddress, connect_error, race, resolve

_MAX_ADDRESSES = 4  # of each family
_STEPS = {socket.AF_INET: Step.TCP_IPV4, socket.AF_INET6: Step.TCP_IPV6}
_NAMES = {Step.TCP_IPV4: "IPv4", Step.TCP_IPV6: "IPv6"}


async def check_dns(target: CheckTarget) -> tuple[Finding, list[SocketAddress]]:
    """Resolve the upstream server's name in the same way as the relay."""
    host = target.upstream.host
    try:
        async with asyncio.timeout(target.step_timeouts.dns):
            addresses = await resolve(host, target.upstream.port, ipv4_only=False)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no reply in time"
        why = WITHOUT_REPLY[FailureKind.DNS]
        return failed(Step.DNS, f"The name {host} has no address ({reason}).", why.fix), []
    facts = {
        name: ", ".join(address.sockaddr[0] for address in addresses if address.family == family) or "none"
        for family, name in ((socket.AF_INET, "A"), (socket.AF_INET6, "AAAA"))
    }
    return ok(Step.DNS, f"{host} has {len(addresses)} address{'es' if len(addresses) != 1 else ''}.", facts), addresses


async def check_tcp(target: CheckTarget, addresses: Sequence[SocketAddress]) -> list[Finding]:
    """Open TCP over both families in parallel. Postern needs only one, so the failure of the other is a warning."""
    tried = {
        step: _connect(target, [address for address in addresses if address.family == family][:_MAX_ADDRESSES])
        for family, step in _STEPS.items()
        if any(address.family == family for address in addresses) and not _is_disabled(target, step)
    }
    ends = dict(zip(tried, await asyncio.gather(*tried.values()), strict=True))
    works = any(failure is None for failure in ends.values())
    return [
        _tcp_finding(target, step, ends[step], works=works, alone=len(ends) == 1)
        if step in ends
        else _absent(target, step)
        for step in _NAMES
    ]


def _is_disabled(target: CheckTarget, step: Step) -> bool:
    return step is Step.TCP_IPV6 and target.upstream.ipv4_only


def _absent(target: CheckTarget, step: Step) -> Finding:
    if _is_disabled(target, step):
        return skipped(step, "IPv6 is not used (POSTERN_IPV4_ONLY).")
    return skipped(step, f"{target.upstream.host} has no {_NAMES[step]} address.")


async def _connect(target: CheckTarget, addresses: Sequence[SocketAddress]) -> Failure | None:
    sock, errors = await race(addresses, target.step_timeouts.tcp - _MAX_ADDRESSES * CONNECTION_ATTEMPT_DELAY)
    if sock is None:
        return connect_error(target.upstream.host, target.upstream.port, errors).failure
    sock.close()
    return None


def _tcp_finding(target: CheckTarget, step: Step, failure: Failure | None, *, works: bool, alone: bool) -> Finding:
    name = _NAMES[step]
    if failure is None:
        return ok(step, f"TCP {target.upstream.port} is open over {name}.")
    if step is Step.TCP_IPV6 and failure.kind is FailureKind.UNREACHABLE and not alone:
        return skipped(step, "This machine has no IPv6 route to the internet.")
    if not works:
        return diagnosis.failure_finding(target, step, failure)
    if step is Step.TCP_IPV6:
        return warn(
            step,
            f"{failure.detail} IPv6 is broken between this machine and the server, which delays every "
            "connection until IPv4 is tried.",
            "Set POSTERN_IPV4_ONLY=true, or have the network administrator fix IPv6.",
        )
    return warn(step, f"{failure.detail} IPv4 does not work; IPv6 is used.", diagnosis.how_to_test(target))
