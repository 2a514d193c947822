"""Several mailboxes: a shared host or domain is checked once, each mailbox logs in once, whatever fails elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from app.doctor.doctor import examine
from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.target import CheckTarget
from app.mail.message.address import parse_address
from app.simulator import Account
from app.smtp.auth.credentials import Password
from tests.contract.doctor.fixtures import MAILBOX, PASSWORD, DoctorEnvironment, outcomes, password, report_text, zone

OTHER = "shop@fabrikam.com"
THIRD = "news@contoso.com"
NETWORK = [Step.DNS, Step.TCP_IPV4, Step.TCP_IPV6]
HANDSHAKE_STEPS = [Step.GREETING, Step.EHLO, Step.STARTTLS, Step.CERTIFICATE, Step.CAPABILITIES]
INSIDE = [Step.CREDENTIAL, Step.AUTH, Step.SENDER]
RECORDS = [Step.MX, Step.SPF, Step.DKIM, Step.DMARC]


def another(environment: DoctorEnvironment, case: CheckTarget, mailbox: str, secret: str = PASSWORD) -> CheckTarget:
    """Return another mailbox with an account on the same server."""
    environment.simulator.accounts.add(Account(mailbox, password=PASSWORD))
    environment.names.zone.update(zone(mailbox.rpartition("@")[2]))
    sender = parse_address(mailbox)
    return replace(case, mailbox=mailbox, credentials=Password(mailbox, secret), senders=(mailbox,), sender=sender)


def about(findings: Sequence[Finding], what: str) -> list[Step]:
    """The steps about one of them."""
    return [one.step for one in findings if one.about == what]


def logins(environment: DoctorEnvironment) -> list[tuple[str, bool]]:
    """Return mailbox and result of each login."""
    return [(login.mailbox, login.ok) for login in environment.simulator.logins]


async def test_a_shared_host_is_checked_once(environment: DoctorEnvironment) -> None:
    """Each domain too; each mailbox logs in once, one after the other."""
    password(environment)
    first = environment.target()
    cases = [first, another(environment, first, OTHER), another(environment, first, THIRD)]
    findings = await examine(cases)
    assert outcomes(findings, StepOutcome.FAILED) == []
    assert findings[0].facts == {"mailboxes": "3", "upstream": first.host_and_port}
    assert about(findings, first.host_and_port) == [*NETWORK, *HANDSHAKE_STEPS]
    assert [about(findings, one.mailbox) for one in cases] == [INSIDE] * 3
    assert [about(findings, one) for one in ("contoso.com", "fabrikam.com")] == [RECORDS] * 2
    assert about(findings, "203.0.113.7") == [Step.PTR]
    assert logins(environment) == [(MAILBOX, True), (OTHER, True), (THIRD, True)]
    assert len(environment.simulator.sessions) == 5  # TCP alone, one without a login, one for each login


async def test_findings_of_one_subject_are_consecutive(environment: DoctorEnvironment) -> None:
    """Each subject can have one heading, also while the findings are reported."""
    password(environment)
    first = environment.target()
    reported: list[str] = []
    findings = await examine(
        [first, another(environment, first, OTHER)], lambda finding: reported.append(finding.about)
    )
    assert reported == [one.about for one in findings]
    assert list(dict.fromkeys(reported)) == [
        "", first.host_and_port, MAILBOX, OTHER, "contoso.com", "fabrikam.com", "203.0.113.7",
    ]  # fmt: skip
    assert sum(left != right for left, right in pairwise(reported)) == 6


async def test_each_ehlo_name_is_checked(environment: DoctorEnvironment) -> None:
    """The network is checked once, the handshake once for each name."""
    password(environment)
    first = environment.target()
    other = another(environment, first, OTHER)
    other = replace(other, upstream=replace(other.upstream, ehlo_name="my_host."))
    findings = await examine([first, other])
    assert about(findings, first.host_and_port) == [*NETWORK, *HANDSHAKE_STEPS, *HANDSHAKE_STEPS]
    assert outcomes(findings, StepOutcome.FAILED) == [Step.EHLO]
    assert logins(environment) == [(MAILBOX, True)]
    skipped = [one.step for one in findings if one.outcome is StepOutcome.SKIPPED and one.about == OTHER]
    assert skipped == [Step.AUTH, Step.SENDER]


async def test_a_failed_login_does_not_affect_the_others(environment: DoctorEnvironment) -> None:
    """It is refused once; the others are checked, and its secret is not reported."""
    password(environment)
    first = environment.target()
    refused = another(environment, first, OTHER, secret="another-password-than-that")
    findings = await examine([refused, first])
    assert logins(environment) == [(OTHER, False), (MAILBOX, True)]
    [failed] = [one for one in findings if one.outcome is StepOutcome.FAILED]
    assert (failed.step, failed.about) == (Step.AUTH, OTHER)
    assert "another-password-than-that" not in report_text(findings)


async def test_without_the_host_no_mailbox_is_tried(environment: DoctorEnvironment) -> None:
    """The host has one failure, and each mailbox skipped steps with the reason."""
    password(environment)
    first = environment.target()
    cases = [first, another(environment, first, OTHER)]
    await environment.simulator.stop()
    findings = await examine(cases)
    assert outcomes(findings, StepOutcome.FAILED) == [Step.TCP_IPV4]
    for mailbox in (MAILBOX, OTHER):
        check_skipped = [one for one in findings if one.about == mailbox and one.step in (Step.AUTH, Step.SENDER)]
        assert {one.summary for one in check_skipped} == {"Not checked, because the step tcp-ipv4 failed."}


async def test_each_sends_its_test_message(environment: DoctorEnvironment) -> None:
    """From the sender of its own pool."""
    password(environment)
    environment.changes["test_to"] = parse_address("ada@example.net")
    first = environment.target()
    findings = await examine([first, another(environment, first, OTHER)])
    sent = [one for one in findings if one.step is Step.TEST_MESSAGE]
    assert [(one.about, one.facts["from"]) for one in sent] == [(MAILBOX, MAILBOX), (OTHER, OTHER)]
    assert len(environment.simulator.accepted) == 2
