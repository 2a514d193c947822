"""DNS client with a timeout for each query."""

from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

_TRY_TIMEOUT = 2.0  # seconds until the next try


class NxDomainError(Exception):
    """Name that does not exist (NXDOMAIN)."""


class DnsTimeoutError(Exception):
    """Query without a usable answer of the name server. The text is a sentence."""


class DnsClient:
    """Client of the name server `server` (address, port), or of the system's; `seconds` is the timeout of a query."""

    def __init__(self, server: tuple[str, int] | None, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def txt(self, name: str) -> list[str]:
        """Return the TXT records, each joined (RFC 7208 §3.3); [] for an unknown name. Raises DnsTimeoutError."""
        try:
            found = await self._query(name, dns.rdatatype.TXT)
        except NxDomainError:
            return []
        return [b"".join(record.strings).decode("ascii", "replace") for record in found]

    async def cname(self, name: str) -> str | None:
        """Return the target of a CNAME record, or None. Raises DnsTimeoutError."""
        try:
            found = await self._query(name, dns.rdatatype.CNAME)
        except NxDomainError:
            return None
        return _plain(found[0].target) if found else None

    async def mx(self, domain: str) -> list[str]:
        """Return the MX hosts by preference; "" is a null MX (RFC 7505). Raises NxDomainError, DnsTimeoutError."""
        found = await self._query(domain, dns.rdatatype.MX)
        return [_plain(record.exchange) for record in sorted(found, key=lambda record: int(record.preference))]

    async def ptr(self, address: str) -> list[str]:
        """Return the PTR names of an IP address. Raises DnsTimeoutError; ValueError for an invalid address."""
        try:
            return [_plain(record.target) for record in await self._query(_reverse(address), dns.rdatatype.PTR)]
        except NxDomainError:
            return []

    async def addresses(self, name: str) -> set[str]:
        """Return the A and AAAA addresses. Raises DnsTimeoutError."""
        found: set[str] = set()
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            try:
                found |= {str(record.address) for record in await self._query(name, kind)}
            except NxDomainError:
                return set()
        return found

    async def _query(self, name: str, kind: dns.rdatatype.RdataType) -> Sequence[Any]:
        try:
            answer = await self._get_resolver().resolve(name, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            raise NxDomainError(name) from None
        except dns.resolver.NoResolverConfiguration:
            raise DnsTimeoutError("This machine has no name server configured.") from None
        except dns.exception.Timeout:
            raise DnsTimeoutError(f"The name server did not answer for {name} in {self._seconds:g} s.") from None
        except (dns.exception.DNSException, OSError):
            raise DnsTimeoutError(f"The name server has no usable answer for {name}.") from None
        return list(answer.rrset or ())

    def _get_resolver(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            resolver = dns.asyncresolver.Resolver(configure=self._server is None)
            if self._server is not None:
                address, resolver.port = self._server
                resolver.nameservers = [address]
            resolver.lifetime, resolver.timeout = self._seconds, min(_TRY_TIMEOUT, self._seconds)
            self._resolver = resolver
        return self._resolver


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).removesuffix(".").lower()


def _reverse(address: str) -> str:
    try:
        return dns.reversename.from_address(address).to_text()
    except dns.exception.SyntaxError:
        raise ValueError(f"{address} is not an IP address") from None
