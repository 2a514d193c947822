"""The name server's answers: records of a domain, asked for with a bound. Judges nothing."""

from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

_TRY = 2.0  # seconds until the next server, or the same again


class NxDomainError(Exception):
    """The name does not exist, with any type of record (NXDOMAIN)."""


class DnsTimeoutError(Exception):
    """The name server gave no answer that can be used. Its text is a plain sentence."""


class DnsClient:
    """Asks `server` (address, port), or whom the system asks; each question has so many `seconds`."""

    def __init__(self, server: tuple[str, int] | None, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def txt(self, name: str) -> list[str]:
        """The texts at a name, each in one piece (RFC 7208 §3.3); none if there is no such name. Raises Unanswered."""
        try:
            found = await self._ask(name, dns.rdatatype.TXT)
        except NxDomainError:
            return []
        return [b"".join(one.strings).decode("ascii", "replace") for one in found]

    async def cname(self, name: str) -> str | None:
        """Where an alias points to. Raises Unanswered."""
        try:
            found = await self._ask(name, dns.rdatatype.CNAME)
        except NxDomainError:
            return None
        return _plain(found[0].target) if found else None

    async def mx(self, domain: str) -> list[str]:
        """The mail exchangers, the preferred one first; "" is a null MX (RFC 7505). Raises NoSuchName, Unanswered."""
        found = await self._ask(domain, dns.rdatatype.MX)
        return [_plain(one.exchange) for one in sorted(found, key=lambda one: int(one.preference))]

    async def ptr(self, address: str) -> list[str]:
        """The names of an IP address. Raises Unanswered; ValueError if it is none."""
        try:
            return [_plain(one.target) for one in await self._ask(_reverse(address), dns.rdatatype.PTR)]
        except NxDomainError:
            return []

    async def addresses(self, name: str) -> set[str]:
        """A and AAAA. Raises Unanswered."""
        found: set[str] = set()
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            try:
                found |= {str(one.address) for one in await self._ask(name, kind)}
            except NxDomainError:
                return set()
        return found

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> Sequence[Any]:
        try:
            answer = await self._asked().resolve(name, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            raise NxDomainError(name) from None
        except dns.resolver.NoResolverConfiguration:
            raise DnsTimeoutError("This machine has no name server configured.") from None
        except dns.exception.Timeout:
            raise DnsTimeoutError(f"The name server did not answer for {name} in {self._seconds:g} s.") from None
        except (dns.exception.DNSException, OSError):
            raise DnsTimeoutError(f"The name server has no usable answer for {name}.") from None
        return list(answer.rrset or ())

    def _asked(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            resolver = dns.asyncresolver.Resolver(configure=self._server is None)
            if self._server is not None:
                address, resolver.port = self._server
                resolver.nameservers = [address]
            resolver.lifetime, resolver.timeout = self._seconds, min(_TRY, self._seconds)
            self._resolver = resolver
        return self._resolver


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).removesuffix(".").lower()


def _reverse(address: str) -> str:
    try:
        return dns.reversename.from_address(address).to_text()
    except dns.exception.SyntaxError:
        raise ValueError(f"{address} is not an IP address") from None
