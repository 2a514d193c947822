"""SPF evaluation (RFC 7208): does the record permit Exchange, and is it valid for receivers?

No IP address is tested. Macros are not expanded: an include with one is counted and not followed.
"""

import re
from dataclasses import dataclass, field

from app.doctor.domain.dns_client import DnsClient

MAX_LOOKUPS = 10  # RFC 7208 §4.6.4
_LOOKUPS_FOLLOWED = 2 * MAX_LOOKUPS  # more do not change the result
_TERM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:[:/](.*))?", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_LOOKUP_MECHANISMS = frozenset({"include", "a", "mx", "ptr", "exists"})


@dataclass(slots=True)
class Spf:
    """Result of the evaluation. `records` are the domain's own; `errors` cause a permerror at receivers."""

    records: list[str]
    permits_exchange: bool = False
    lookups: int = 0
    permits_anyone: bool = False  # +all
    errors: list[str] = field(default_factory=list)


async def evaluate_spf(records: DnsClient, domain: str, exchange: str) -> Spf:
    """Evaluate the record of `domain`; including the name `exchange` permits Exchange.

    Raises DnsTimeoutError.
    """
    own = _spf(await records.txt(domain))
    found = Spf(own)
    if len(own) == 1:
        await _Evaluation(records, exchange, found).follow(domain, own[0], passing=True, within=frozenset({domain}))
    return found


class _Evaluation:
    """Evaluation of a record: terms from left to right, includes and redirects in depth."""

    def __init__(self, records: DnsClient, exchange: str, found: Spf) -> None:
        self._records = records
        self._exchange = exchange
        self._found = found

    async def follow(self, domain: str, record: str, *, passing: bool, within: frozenset[str]) -> None:
        """Evaluate one record. `passing`: a match in it is a pass for the evaluated domain."""
        redirect = ""
        for term in record.split()[1:]:
            if mechanism := _TERM.fullmatch(term):
                sign, kind, target = mechanism[1], mechanism[2].lower(), mechanism[3] or ""
                if await self._mechanism(kind, target, passing=passing and sign in ("", "+"), within=within):
                    return  # terms after `all`, and a redirect, are ignored (RFC 7208 §5.1)
            elif modifier := _MODIFIER.fullmatch(term):
                redirect = modifier[2] if modifier[1].lower() == "redirect" else redirect
            else:
                self._found.errors.append(f"{domain} has an unknown term, {term!r:.60}")
        if redirect:
            self._found.lookups += 1
            await self._into(redirect, passing=passing, within=within)

    async def _mechanism(self, kind: str, target: str, *, passing: bool, within: frozenset[str]) -> bool:
        """Evaluate one mechanism; return True if it is `all`."""
        self._found.lookups += kind in _LOOKUP_MECHANISMS
        if kind == "include":
            await self._into(target, passing=passing, within=within)
        if kind == "all":
            self._found.permits_anyone |= passing
        return kind == "all"

    async def _into(self, target: str, *, passing: bool, within: frozenset[str]) -> None:
        name = target.lower().rstrip(".")
        self._found.permits_exchange |= passing and name == self._exchange
        if "%" in name or self._found.lookups > _LOOKUPS_FOLLOWED:
            return
        if name in within:
            self._found.errors.append(f"{name} includes itself")
            return
        inner = _spf(await self._records.txt(name))
        if len(inner) != 1:
            self._found.errors.append(f"{name or 'an include'} has {len(inner) or 'no'} SPF record{'s' * bool(inner)}")
            return
        await self.follow(name, inner[0], passing=passing, within=within | {name})


def _spf(texts: list[str]) -> list[str]:
    return [text for text in texts if text.lower().split(" ", 1)[0] == "v=spf1"]
