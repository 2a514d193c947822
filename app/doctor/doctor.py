"""Sequence of the diagnosis. After a failed step the steps that depend on it are reported as skipped.

First each distinct connection to an upstream server, then each mailbox in turn, because each needs a login. The DNS
records of the domains are checked at the same time.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from app.doctor.domain.records import check_domains
from app.doctor.finding import Finding, Step, StepOutcome, ok, skipped
from app.doctor.handshake import STEPS as HANDSHAKE_STEPS
from app.doctor.handshake import check_handshake
from app.doctor.login import check_credential, check_login
from app.doctor.network import check_dns, check_tcp
from app.doctor.senders import check_senders, send_test
from app.doctor.target import CheckTarget
from app.smtp.auth.credentials import LoginSecret
from app.smtp.handshake import Session, Upstream

Report = Callable[[Finding], None]
Admit = Callable[[str], AbstractAsyncContextManager[Finding | None]]


async def examine(targets: Sequence[CheckTarget], report: Report = lambda _: None) -> list[Finding]:
    """Return every finding about the targets; `report` receives each as soon as it is known.

    It ends within the sum of the targets' step timeouts.
    """
    examination = _Examination(report)
    domains = asyncio.create_task(check_domains(targets))
    try:
        await examination.run(targets)
        for finding in await domains:
            examination.record(finding.about, finding)
    finally:
        domains.cancel()
    return examination.findings


async def examine_logins(targets: Sequence[CheckTarget], report: Report, admit: Admit) -> None:
    """Check the connection to each upstream server and log in once to each mailbox, without MAIL and DNS records.

    Each login takes place inside the context from `admit`; if that gives a finding, it is reported instead. The check
    can be repeated often without effects.
    """
    await _Examination(report, admit).run(targets)


class _Examination:
    """Run of the diagnosis. Methods return the failure because of which later steps are skipped, or None."""

    def __init__(self, report: Report, admit: Admit | None = None) -> None:
        self.findings: list[Finding] = []
        self._admit = admit
        self._report = report
        self._reached: dict[tuple[str, int, bool], Finding | None] = {}
        self._opened: dict[Upstream, Finding | None] = {}

    def record(self, about: str, *findings: Finding) -> None:
        """Record findings and report them."""
        for finding in findings:
            self.findings.append(whole := replace(finding, about=about))
            self._report(whole)

    async def run(self, targets: Sequence[CheckTarget]) -> None:
        """Run all steps. The settings are valid: the targets were built from them."""
        self.record("", ok(Step.SETTINGS, "The settings are valid.", _facts(targets)))
        for target in targets:
            if target.upstream not in self._opened:
                self._opened[target.upstream] = await self._connection(target)
        for target in targets:
            await self._admitted(target, self._opened[target.upstream])

    async def _connection(self, target: CheckTarget) -> Finding | None:
        """Check the network once per host and port, and the handshake once per upstream (EHLO name included)."""
        there = (target.upstream.host, target.upstream.port, target.upstream.ipv4_only)
        if there not in self._reached:
            self._reached[there] = await self._network(target)
        if (why := self._reached[there]) is not None:
            self._skip(target.host_and_port, HANDSHAKE_STEPS, why)
            return why
        return await self._handshake(target)

    async def _network(self, target: CheckTarget) -> Finding | None:
        finding, addresses = await check_dns(target)
        self.record(target.host_and_port, finding)
        if finding.outcome is StepOutcome.FAILED:
            self._skip(target.host_and_port, (Step.TCP_IPV4, Step.TCP_IPV6), finding)
            return finding
        findings = await check_tcp(target, addresses)
        self.record(target.host_and_port, *findings)
        return _failed(findings)

    async def _handshake(self, target: CheckTarget) -> Finding | None:
        findings = await check_handshake(target)
        self.record(target.host_and_port, *findings)
        if (why := _failed(findings)) is not None:
            self._skip(target.host_and_port, HANDSHAKE_STEPS[HANDSHAKE_STEPS.index(why.step) + 1 :], why)
        return why

    async def _admitted(self, target: CheckTarget, connection_failure: Finding | None) -> None:
        if self._admit is None:
            await self._mailbox(target, connection_failure)
            return
        async with self._admit(target.mailbox) as replacement:
            if replacement is None:
                await self._mailbox(target, connection_failure)
            else:
                self.record(target.mailbox, replacement)

    async def _mailbox(self, target: CheckTarget, connection_failure: Finding | None) -> None:
        finding, secret = await check_credential(target)
        self.record(target.mailbox, finding)
        await self._session_steps(
            target, secret, connection_failure or (finding if finding.outcome is StepOutcome.FAILED else None)
        )

    async def _session_steps(self, target: CheckTarget, secret: LoginSecret | None, why: Finding | None) -> None:
        """Log in and run the steps that need a session."""
        session = None
        if why is None and secret is not None:
            finding, session = await check_login(target, secret)
            self.record(target.mailbox, finding)
            why = finding if session is None else None
        else:
            self._skip(target.mailbox, (Step.AUTH,), why)
        if session is None:
            self._skip(target.mailbox, self._after_login(target), why)
            return
        try:
            if self._admit is None:
                await self._sender_steps(target, session)
        finally:
            await session.quit()

    def _after_login(self, target: CheckTarget) -> tuple[Step, ...]:
        if self._admit is not None:
            return ()
        return (Step.SENDER, Step.TEST_MESSAGE) if target.test_to else (Step.SENDER,)

    async def _sender_steps(self, target: CheckTarget, session: Session) -> None:
        self.record(target.mailbox, *await check_senders(target, session))
        if target.test_to is None:
            return
        if session.reusable:
            self.record(target.mailbox, await send_test(target, session, target.test_to))
        else:
            self.record(target.mailbox, skipped(Step.TEST_MESSAGE, "Not checked: the session has ended."))

    def _skip(self, about: str, steps: Iterable[Step], why: Finding | None) -> None:
        if why is not None:
            self.record(about, *(skipped(step, f"Not checked, because the step {why.step} failed.") for step in steps))


def _facts(targets: Sequence[CheckTarget]) -> dict[str, str]:
    upstreams = ", ".join(dict.fromkeys(target.host_and_port for target in targets))
    if len(targets) == 1:
        return {"mailbox": targets[0].mailbox, "upstream": upstreams}
    return {"mailboxes": str(len(targets)), "upstream": upstreams}


def _failed(findings: Iterable[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.outcome is StepOutcome.FAILED), None)
