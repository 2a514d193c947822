"""The steps in order. A step that failed spares those that need it; they say so.

The records of the domains are asked for meanwhile, since they need nothing of the rest.
"""

import asyncio
from collections.abc import Callable, Iterable

from app.doctor.case import Case
from app.doctor.domain import examine_domains
from app.doctor.finding import Finding, Outcome, Step, ok, skipped
from app.doctor.login import credential, log_in
from app.doctor.network import look_up, reach
from app.doctor.opening import STEPS as OPENING
from app.doctor.opening import open_up
from app.doctor.senders import send_test, try_senders
from app.smtp.credentials import Secret
from app.smtp.session import Session

Tell = Callable[[Finding], None]


async def examine(case: Case, tell: Tell = lambda _: None) -> list[Finding]:
    """Every finding, each also told as soon as it is there. It ends within the sum of the case's bounds."""
    examination = _Examination(case, tell)
    domains = asyncio.create_task(examine_domains(case))
    try:
        await examination.run()
        examination.tell(*await domains)
    finally:
        domains.cancel()
    return examination.findings


class _Examination:
    """One run. Each method returns what the next one needs, or None when it failed."""

    def __init__(self, case: Case, tell: Tell) -> None:
        self.findings: list[Finding] = []
        self._case = case
        self._tell = tell

    def tell(self, *findings: Finding) -> None:
        """Keep and tell."""
        self.findings += findings
        for finding in findings:
            self._tell(finding)

    async def run(self) -> None:
        """The settings are right already, or there would be no case."""
        case = self._case
        facts = {"mailbox": case.mailbox, "upstream": case.where}
        self.tell(ok(Step.SETTINGS, "The settings can be read.", facts))
        network = await self._network()
        self._skip(OPENING, network)
        opening = network or await self._opening()
        finding, secret = await credential(case)
        self.tell(finding)
        why = opening or (finding if finding.outcome is Outcome.FAILED else None)
        await self._inside(secret, why)

    async def _network(self) -> Finding | None:
        finding, addresses = await look_up(self._case)
        self.tell(finding)
        if finding.outcome is Outcome.FAILED:
            self._skip((Step.TCP_IPV4, Step.TCP_IPV6), finding)
            return finding
        findings = await reach(self._case, addresses)
        self.tell(*findings)
        return _failed(findings)

    async def _opening(self) -> Finding | None:
        findings = await open_up(self._case)
        self.tell(*findings)
        if (why := _failed(findings)) is not None:
            self._skip(OPENING[OPENING.index(why.step) + 1 :], why)
        return why

    async def _inside(self, secret: Secret | None, why: Finding | None) -> None:
        """What needs a login."""
        session = None
        if why is None and secret is not None:
            finding, session = await log_in(self._case, secret)
            self.tell(finding)
            why = finding if session is None else None
        else:
            self._skip((Step.AUTH,), why)
        if session is None:
            self._skip((Step.SENDER, *([Step.TEST_MESSAGE] if self._case.test_to else [])), why)
            return
        try:
            await self._on(session)
        finally:
            await session.quit()

    async def _on(self, session: Session) -> None:
        self.tell(*await try_senders(self._case, session))
        if self._case.test_to is None:
            return
        if session.alive:
            self.tell(await send_test(self._case, session, self._case.test_to))
        else:
            self.tell(skipped(Step.TEST_MESSAGE, "Not tried: the session has ended."))

    def _skip(self, steps: Iterable[Step], why: Finding | None) -> None:
        if why is not None:
            self.tell(*(skipped(step, f"Not tried, because the step {why.step} failed.") for step in steps))


def _failed(findings: Iterable[Finding]) -> Finding | None:
    return next((one for one in findings if one.outcome is Outcome.FAILED), None)
