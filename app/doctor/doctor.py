"""The steps in order. A step that failed spares those that need it; they say so.

First each way to an upstream, once however many mailboxes take it; then each mailbox, one after the other, since every
one is a login. The records of the domains are asked for meanwhile, since they need nothing of the rest.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from app.doctor.domain_records import examine_domains
from app.doctor.finding import Finding, Outcome, Step, ok, skipped
from app.doctor.handshake import STEPS as OPENING
from app.doctor.handshake import open_up
from app.doctor.login import credential, log_in
from app.doctor.network import look_up, reach
from app.doctor.senders import send_test, try_senders
from app.doctor.target import CheckTarget
from app.smtp.auth.credentials import Secret
from app.smtp.handshake import Session, Upstream

Tell = Callable[[Finding], None]
Admit = Callable[[str], AbstractAsyncContextManager[Finding | None]]


async def examine(cases: Sequence[CheckTarget], tell: Tell = lambda _: None) -> list[Finding]:
    """Every finding about one mailbox or more, each also told as soon as it is there.

    It ends within the sum of the cases' bounds.
    """
    examination = _Examination(tell)
    domains = asyncio.create_task(examine_domains(cases))
    try:
        await examination.run(cases)
        for finding in await domains:
            examination.tell(finding.about, finding)
    finally:
        domains.cancel()
    return examination.findings


async def examine_logins(cases: Sequence[CheckTarget], tell: Tell, admit: Admit) -> None:
    """The way to each upstream, and one login to each mailbox inside what `admit` gives; a finding that it gives is
    told instead of a login.

    No MAIL, no sender, no domain: what can be done again and again without being noticed.
    """
    await _Examination(tell, admit).run(cases)


class _Examination:
    """One run. What gives a Finding or None gives the failure that spares the steps after it."""

    def __init__(self, tell: Tell, admit: Admit | None = None) -> None:
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

    async def run(self, cases: Sequence[CheckTarget]) -> None:
        """The settings are right already, or there would be no case."""
        self.tell("", ok(Step.SETTINGS, "The settings can be read.", _facts(cases)))
        for case in cases:
            if case.upstream not in self._opened:
                self._opened[case.upstream] = await self._way(case)
        for case in cases:
            await self._admitted(case, self._opened[case.upstream])

    async def _way(self, case: CheckTarget) -> Finding | None:
        """Mailboxes whose names in EHLO differ share the network alone."""
        there = (case.upstream.host, case.upstream.port, case.upstream.ipv4_only)
        if there not in self._reached:
            self._reached[there] = await self._network(case)
        if (why := self._reached[there]) is not None:
            self._skip(case.where, OPENING, why)
            return why
        return await self._opening(case)

    async def _network(self, case: CheckTarget) -> Finding | None:
        finding, addresses = await look_up(case)
        self.tell(case.where, finding)
        if finding.outcome is Outcome.FAILED:
            self._skip(case.where, (Step.TCP_IPV4, Step.TCP_IPV6), finding)
            return finding
        findings = await reach(case, addresses)
        self.tell(case.where, *findings)
        return _failed(findings)

    async def _opening(self, case: CheckTarget) -> Finding | None:
        findings = await open_up(case)
        self.tell(case.where, *findings)
        if (why := _failed(findings)) is not None:
            self._skip(case.where, OPENING[OPENING.index(why.step) + 1 :], why)
        return why

    async def _admitted(self, case: CheckTarget, way: Finding | None) -> None:
        if self._admit is None:
            await self._mailbox(case, way)
            return
        async with self._admit(case.mailbox) as instead:
            if instead is None:
                await self._mailbox(case, way)
            else:
                self.tell(case.mailbox, instead)

    async def _mailbox(self, case: CheckTarget, way: Finding | None) -> None:
        finding, secret = await credential(case)
        self.tell(case.mailbox, finding)
        await self._inside(case, secret, way or (finding if finding.outcome is Outcome.FAILED else None))

    async def _inside(self, case: CheckTarget, secret: Secret | None, why: Finding | None) -> None:
        """What needs a login."""
        session = None
        if why is None and secret is not None:
            finding, session = await log_in(case, secret)
            self.tell(case.mailbox, finding)
            why = finding if session is None else None
        else:
            self._skip(case.mailbox, (Step.AUTH,), why)
        if session is None:
            self._skip(case.mailbox, self._after_login(case), why)
            return
        try:
            if self._admit is None:
                await self._on(case, session)
        finally:
            await session.quit()

    def _after_login(self, case: CheckTarget) -> tuple[Step, ...]:
        if self._admit is not None:
            return ()
        return (Step.SENDER, Step.TEST_MESSAGE) if case.test_to else (Step.SENDER,)

    async def _on(self, case: CheckTarget, session: Session) -> None:
        self.tell(case.mailbox, *await try_senders(case, session))
        if case.test_to is None:
            return
        if session.reusable:
            self.tell(case.mailbox, await send_test(case, session, case.test_to))
        else:
            self.tell(case.mailbox, skipped(Step.TEST_MESSAGE, "Not tried: the session has ended."))

    def _skip(self, about: str, steps: Iterable[Step], why: Finding | None) -> None:
        if why is not None:
            self.tell(about, *(skipped(step, f"Not tried, because the step {why.step} failed.") for step in steps))


def _facts(cases: Sequence[CheckTarget]) -> dict[str, str]:
    upstreams = ", ".join(dict.fromkeys(case.where for case in cases))
    if len(cases) == 1:
        return {"mailbox": cases[0].mailbox, "upstream": upstreams}
    return {"mailboxes": str(len(cases)), "upstream": upstreams}


def _failed(findings: Iterable[Finding]) -> Finding | None:
    return next((one for one in findings if one.outcome is Outcome.FAILED), None)
