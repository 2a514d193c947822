"""The steps in order. A step that failed spares those that need it; they say so.

First each way to an upstream, once however many mailboxes take it; then each mailbox, one after the other, since every
one is a login. The records of the domains are asked for meanwhile, since they need nothing of the rest.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from app.doctor.domain_records import check_domains
from app.doctor.finding import Finding, Outcome, Step, ok, skipped
from app.doctor.handshake import STEPS as OPENING
from app.doctor.handshake import check_handshake
from app.doctor.login import check_credential, check_login
from app.doctor.network import check_dns, check_tcp
from app.doctor.senders import check_senders, send_test
from app.doctor.target import CheckTarget
from app.smtp.auth.credentials import Secret
from app.smtp.handshake import Session, Upstream

Report = Callable[[Finding], None]
Admit = Callable[[str], AbstractAsyncContextManager[Finding | None]]


async def examine(targets: Sequence[CheckTarget], report: Report = lambda _: None) -> list[Finding]:
    """Every finding about one mailbox or more, each also told as soon as it is there.

    It ends within the sum of the targets' bounds.
    """
    examination = _Examination(report)
    domains = asyncio.create_task(check_domains(targets))
    try:
        await examination.run(targets)
        for finding in await domains:
            examination.tell(finding.about, finding)
    finally:
        domains.cancel()
    return examination.findings


async def examine_logins(targets: Sequence[CheckTarget], report: Report, admit: Admit) -> None:
    """The way to each upstream, and one login to each mailbox inside what `admit` gives; a finding that it gives is
    told instead of a login.

    No MAIL, no sender, no domain: what can be done again and again without being noticed.
    """
    await _Examination(report, admit).run(targets)


class _Examination:
    """One run. What gives a Finding or None gives the failure that spares the steps after it."""

    def __init__(self, tell: Report, admit: Admit | None = None) -> None:
        self.findings: list[Finding] = []
        self._admit = admit
        self._tell = tell
        self._reached: dict[tuple[str, int, bool], Finding | None] = {}
        self._opened: dict[Upstream, Finding | None] = {}

    def tell(self, about: str, *findings: Finding) -> None:
        """Keep and tell."""
        for finding in findings:
            self.findings.append(whole := replace(finding, about=about))
            self._tell(whole)

    async def run(self, targets: Sequence[CheckTarget]) -> None:
        """The settings are right already, or there would be no target."""
        self.tell("", ok(Step.SETTINGS, "The settings can be read.", _facts(targets)))
        for target in targets:
            if target.upstream not in self._opened:
                self._opened[target.upstream] = await self._way(target)
        for target in targets:
            await self._admitted(target, self._opened[target.upstream])

    async def _way(self, target: CheckTarget) -> Finding | None:
        """Mailboxes whose names in EHLO differ share the network alone."""
        there = (target.upstream.host, target.upstream.port, target.upstream.ipv4_only)
        if there not in self._reached:
            self._reached[there] = await self._network(target)
        if (why := self._reached[there]) is not None:
            self._skip(target.where, OPENING, why)
            return why
        return await self._opening(target)

    async def _network(self, target: CheckTarget) -> Finding | None:
        finding, addresses = await check_dns(target)
        self.tell(target.where, finding)
        if finding.outcome is Outcome.FAILED:
            self._skip(target.where, (Step.TCP_IPV4, Step.TCP_IPV6), finding)
            return finding
        findings = await check_tcp(target, addresses)
        self.tell(target.where, *findings)
        return _failed(findings)

    async def _opening(self, target: CheckTarget) -> Finding | None:
        findings = await check_handshake(target)
        self.tell(target.where, *findings)
        if (why := _failed(findings)) is not None:
            self._skip(target.where, OPENING[OPENING.index(why.step) + 1 :], why)
        return why

    async def _admitted(self, target: CheckTarget, way: Finding | None) -> None:
        if self._admit is None:
            await self._mailbox(target, way)
            return
        async with self._admit(target.mailbox) as instead:
            if instead is None:
                await self._mailbox(target, way)
            else:
                self.tell(target.mailbox, instead)

    async def _mailbox(self, target: CheckTarget, way: Finding | None) -> None:
        finding, secret = await check_credential(target)
        self.tell(target.mailbox, finding)
        await self._inside(target, secret, way or (finding if finding.outcome is Outcome.FAILED else None))

    async def _inside(self, target: CheckTarget, secret: Secret | None, why: Finding | None) -> None:
        """What needs a login."""
        session = None
        if why is None and secret is not None:
            finding, session = await check_login(target, secret)
            self.tell(target.mailbox, finding)
            why = finding if session is None else None
        else:
            self._skip(target.mailbox, (Step.AUTH,), why)
        if session is None:
            self._skip(target.mailbox, self._after_login(target), why)
            return
        try:
            if self._admit is None:
                await self._on(target, session)
        finally:
            await session.quit()

    def _after_login(self, target: CheckTarget) -> tuple[Step, ...]:
        if self._admit is not None:
            return ()
        return (Step.SENDER, Step.TEST_MESSAGE) if target.test_to else (Step.SENDER,)

    async def _on(self, target: CheckTarget, session: Session) -> None:
        self.tell(target.mailbox, *await check_senders(target, session))
        if target.test_to is None:
            return
        if session.reusable:
            self.tell(target.mailbox, await send_test(target, session, target.test_to))
        else:
            self.tell(target.mailbox, skipped(Step.TEST_MESSAGE, "Not tried: the session has ended."))

    def _skip(self, about: str, steps: Iterable[Step], why: Finding | None) -> None:
        if why is not None:
            self.tell(about, *(skipped(step, f"Not tried, because the step {why.step} failed.") for step in steps))


def _facts(targets: Sequence[CheckTarget]) -> dict[str, str]:
    upstreams = ", ".join(dict.fromkeys(target.where for target in targets))
    if len(targets) == 1:
        return {"mailbox": targets[0].mailbox, "upstream": upstreams}
    return {"mailboxes": str(len(targets)), "upstream": upstreams}


def _failed(findings: Iterable[Finding]) -> Finding | None:
    return next((one for one in findings if one.outcome is Outcome.FAILED), None)
