"""Checks of the senders' domains in DNS (MX, SPF, DKIM, DMARC) and of the PTR record of the public address.

These records do not affect sending; receivers use them to decide whether they accept and trust the mail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from app.doctor.domain.dns_client import DnsClient, DnsTimeoutError, NxDomainError
from app.doctor.domain.spf import MAX_LOOKUPS, Spf, evaluate_spf
from app.doctor.finding import Finding, Step, failed, ok, skipped, warn
from app.doctor.target import CheckTarget
from app.mail.outcome.fix_steps import numbered

_QUERY_TIMEOUT = 5.0  # seconds
_MAX_DOMAINS = 5  # of one mailbox, and at the same time
_SPF_OF_CLOUD = {".office365.us": "spf.protection.office365.us", ".outlook.cn": "spf.protection.partner.outlook.cn"}
_SPF = "spf.protection.outlook.com"
_MICROSOFT_DOMAINS = (".onmicrosoft.com", ".onmicrosoft.us", ".partner.onmschina.cn")  # Microsoft signs for them
_KEYS_AT = (".dkim.mail.microsoft", *_MICROSOFT_DOMAINS)
_SELECTORS = ("selector1", "selector2")
_POLICIES = ("none", "quarantine", "reject")

_DomainCheck = Callable[[CheckTarget, DnsClient, str], Awaitable[Finding]]


async def check_domains(targets: Sequence[CheckTarget]) -> list[Finding]:
    """Run every check for each domain of the senders, and check the egress address."""
    first = targets[0]  # egress and name server are the same for all
    records = DnsClient(first.name_server, min(_QUERY_TIMEOUT, first.step_timeouts.domain))
    of_domain, left = _assign_domains(targets)
    few = asyncio.Semaphore(_MAX_DOMAINS)

    async def examine(domain: str, target: CheckTarget) -> list[Finding]:
        async with few:
            work = [_bounded(target, step, check, records, domain) for step, check in _CHECKS.items()]
            return await asyncio.gather(*work)

    found = await asyncio.gather(*(examine(domain, target) for domain, target in of_domain.items()))
    skips = [replace(skipped(Step.MX, f"The records of {domain} were not checked."), about=domain) for domain in left]
    ptr = await _bounded(first, Step.PTR, _ptr, records, first.egress or "")
    return [*(finding for row in found for finding in row), *skips, ptr]


def _assign_domains(targets: Sequence[CheckTarget]) -> tuple[dict[str, CheckTarget], list[str]]:
    """Return each domain with its first target, and the domains beyond the limit of a target."""
    of_domain: dict[str, CheckTarget] = {}
    left: dict[str, None] = {}
    for target in targets:
        found = domains(target)
        left.update(dict.fromkeys(found[_MAX_DOMAINS:]))
        for domain in found[:_MAX_DOMAINS]:
            of_domain.setdefault(domain, target)
    return of_domain, [domain for domain in left if domain not in of_domain]


def domains(target: CheckTarget) -> list[str]:
    """Return the domains of the mailbox, the default sender and the allowed senders, except wildcard domains."""
    addresses: Iterable[str] = (target.mailbox, target.sender.addr_spec, *target.senders)
    found = (address.rpartition("@")[2].lower() for address in addresses)
    return [domain for domain in dict.fromkeys(found) if not set(domain) & set("*?[")]


async def _bounded(target: CheckTarget, step: Step, check: _DomainCheck, records: DnsClient, domain: str) -> Finding:
    """Run one check; a missing reply of the name server is a warning."""
    try:
        async with asyncio.timeout(target.step_timeouts.domain):
            return replace(await check(target, records, domain), about=domain)
    except DnsTimeoutError as error:
        why = str(error)
    except TimeoutError:
        why = f"The name server took longer than {target.step_timeouts.domain:g} s."
    fix = "Check that this machine can reach its name server (UDP and TCP port 53), or set another with --name-server."
    return replace(warn(step, f"{domain}: {step.upper()} could not be looked up. {why}", fix), about=domain)


async def _mx(target: CheckTarget, records: DnsClient, domain: str) -> Finding:
    try:
        exchangers = await records.mx(domain)
    except NxDomainError:
        fix = (
            f"Check the sender's address for a typing error. If it is right, register {domain} and add it at {_PORTAL}."
        )
        return failed(Step.MX, f"{domain} does not exist in the DNS.", fix)
    if exchangers and exchangers != [""]:
        return ok(Step.MX, f"{domain} accepts mail.", {"MX": ", ".join(exchangers)})
    return warn(
        Step.MX,
        f"{domain} accepts no mail (no MX record), so replies and non-delivery reports are lost, and many receivers "
        "do not trust it.",
        f"Publish the MX record that {_shown_at(domain)} shows.",
    )


async def _spf(target: CheckTarget, records: DnsClient, domain: str) -> Finding:
    exchange = next((spf for end, spf in _SPF_OF_CLOUD.items() if target.upstream.host.endswith(end)), _SPF)
    found = await evaluate_spf(records, domain, exchange)
    facts = {"SPF": " | ".join(found.records) or "none", "lookups": str(found.lookups)}
    if not found.records:
        return failed(
            Step.SPF,
            f"{domain} has no SPF record, so receivers do not know that Office 365 may send for it.",
            f"Publish a TXT record at {domain}: `v=spf1 include:{exchange} -all`",
        )
    if len(found.records) > 1:
        return failed(
            Step.SPF,
            f"{domain} has {len(found.records)} SPF records; with more than one, receivers ignore all.",
            f"Merge them into one TXT record at {domain}: `v=spf1`, the terms of all records with include:{exchange}, "
            "and one `-all` at the end.",
            facts,
        )
    if not found.permits_exchange:
        return failed(
            Step.SPF,
            f"The SPF record of {domain} does not let Office 365 send.",
            f"Add `include:{exchange}` to it, before the `all`.",
            facts,
        )
    return _spf_doubts(domain, found, facts) or ok(Step.SPF, f"{domain} lets Office 365 send (SPF).", facts)


def _spf_doubts(domain: str, found: Spf, facts: dict[str, str]) -> Finding | None:
    if found.lookups > MAX_LOOKUPS:
        return warn(
            Step.SPF,
            f"The SPF record of {domain} needs {found.lookups} lookups or more; receivers allow {MAX_LOOKUPS} "
            "and treat it as invalid.",
            "Remove includes of services that no longer send, or replace them with their addresses (ip4: and ip6:).",
            facts,
        )
    if found.errors:
        why = "; ".join(found.errors[:3])
        return warn(
            Step.SPF,
            f"The SPF record of {domain} is invalid for strict receivers: {why}.",
            "Correct or remove that term.",
            facts,
        )
    if found.permits_anyone:
        return warn(
            Step.SPF, f"The SPF record of {domain} lets anyone send (+all).", "End it with `-all` instead.", facts
        )
    return None


async def _dkim(target: CheckTarget, records: DnsClient, domain: str) -> Finding:
    if domain.endswith(_MICROSOFT_DOMAINS):
        return skipped(Step.DKIM, f"Microsoft signs mail of {domain} automatically.")
    names = [f"{selector}._domainkey.{domain}" for selector in _SELECTORS]
    targets = dict(zip(names, await asyncio.gather(*(records.cname(name) for name in names)), strict=True))
    facts = {name: target or "none" for name, target in targets.items()}
    if all(target and target.endswith(_KEYS_AT) for target in targets.values()):
        return ok(
            Step.DKIM,
            f"{domain} has the DKIM records of Microsoft. Whether signing is enabled is visible only in a "
            "received message: dkim=pass in Authentication-Results.",
            facts,
        )
    return warn(
        Step.DKIM,
        f"{domain} has no DKIM records of Microsoft, so Office 365 cannot sign its mail as {domain}.",
        numbered(
            f"In Exchange Online PowerShell run `Get-DkimSigningConfig -Identity {domain} | Format-List "
            "Selector1CNAME, Selector2CNAME`. If there is no configuration yet, run `New-DkimSigningConfig "
            f"-DomainName {domain} -Enabled $false` first.",
            f"Publish the two values as CNAME records at {' and '.join(names)}.",
            f"Run `Set-DkimSigningConfig -Identity {domain} -Enabled $true`.",
        ),
        facts,
    )


async def _dmarc(target: CheckTarget, records: DnsClient, domain: str) -> Finding:
    at, policies = await _dmarc_records(records, domain)
    if not policies:
        return warn(
            Step.DMARC,
            f"{domain} has no DMARC record; large receivers require one.",
            numbered(
                f"Publish a TXT record at _dmarc.{domain}: `v=DMARC1; p=none`.",
                "When SPF and DKIM pass for all your mail, change it to `p=reject`.",
            ),
        )
    facts = {f"_dmarc.{at}": " | ".join(policies)}
    if len(policies) > 1:
        return warn(
            Step.DMARC,
            f"{at} has {len(policies)} DMARC records; with more than one, receivers ignore all.",
            f"Keep one TXT record at _dmarc.{at}.",
            facts,
        )
    tags = dict(_tag(part) for part in policies[0].split(";") if "=" in part)
    policy = tags.get("sp", tags.get("p", "")) if at != domain else tags.get("p", "")
    if policy.lower() not in _POLICIES:
        fix = "Give it p=none, p=quarantine or p=reject."
        return warn(Step.DMARC, f"The DMARC record of {at} has no policy that receivers know.", fix, facts)
    return ok(Step.DMARC, f"{domain} has the DMARC policy {policy}.", facts)


async def _dmarc_records(records: DnsClient, domain: str) -> tuple[str, list[str]]:
    """Return the records of the domain or of its nearest parent with one, except a top-level domain."""
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        at = ".".join(labels[start:])
        texts = await records.txt(f"_dmarc.{at}")
        if found := [text for text in texts if _tag(text.split(";")[0]) == ("v", "DMARC1")]:
            return at, found
    return domain, []


def _tag(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip()


async def _ptr(target: CheckTarget, records: DnsClient, address: str) -> Finding:
    if not address:
        return skipped(Step.PTR, "No public address of this machine was given (--egress).")
    names = await records.ptr(address)
    facts = {"PTR": ", ".join(names) or "none"}
    back = [name for name in names[:3] if address in await records.addresses(name)]
    if back:
        return ok(Step.PTR, f"The DNS name of {address} is {back[0]}, and this name has that address.", facts)
    why = "has no DNS name" if not names else "has a DNS name without that address"
    return warn(
        Step.PTR,
        f"{address} {why}. Office 365 does not require one on port {target.upstream.port}, so mail is sent.",
        "If you want one, ask the provider of the address for a PTR record, and publish an A or AAAA record with the "
        "address for that name.",
        facts,
    )


_PORTAL = "https://admin.microsoft.com, Settings, Domains"


def _shown_at(domain: str) -> str:
    return f"{_PORTAL}, {domain}, DNS records"


_CHECKS: dict[Step, _DomainCheck] = {Step.MX: _mx, Step.SPF: _spf, Step.DKIM: _dkim, Step.DMARC: _dmarc}
