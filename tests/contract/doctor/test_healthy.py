"""A mailbox without a fault: all steps ok, nothing sent, one login, and no secret in the report."""

import socket

import pytest

from app.doctor.doctor import examine
from app.doctor.finding import Step, StepOutcome
from app.mail.message.address import parse_address
from app.simulator import ServerProfile
from tests.contract.doctor.fixtures import (
    CLIENT,
    MAILBOX,
    OBJECT,
    PASSWORD,
    TOKEN,
    Bearer,
    DoctorEnvironment,
    account,
    hosts,
    of,
    outcomes,
    password,
    report_text,
    token,
)


async def test_all_is_in_order(environment: DoctorEnvironment) -> None:
    """Every step once, in order, reported as it is found; IPv6 is skipped because the settings exclude it."""
    reported: list[Step] = []
    findings = await examine([environment.target()], lambda finding: reported.append(finding.step))
    assert [one.step for one in findings] == reported
    assert reported == [step for step in Step if step not in (Step.TEST_MESSAGE, Step.TRACE, Step.REPORTS)]
    assert outcomes(findings, StepOutcome.SKIPPED) == [Step.TCP_IPV6]
    assert len(outcomes(findings, StepOutcome.OK)) == len(reported) - 1


async def test_a_token_of_rbac_for_applications_is_in_order(environment: DoctorEnvironment) -> None:
    """It has no permission: Exchange has the app's role. So there is no warning, and the login decides."""
    environment.simulator.accounts.add(account(validate_token=lambda _: True))
    environment.changes["credentials"] = Bearer(token(roles=[]))
    finding = of(await environment.examine(), Step.CREDENTIAL)
    assert (finding.outcome, finding.fix) == (StepOutcome.OK, "")
    assert "role Application SMTP.SendAsApp" in finding.summary
    assert finding.facts["permissions"] == "none"


async def test_nothing_is_sent_and_one_login_is_made(environment: DoctorEnvironment) -> None:
    """Three connections: TCP alone, one without and one with a login; the latter two are ended with QUIT."""
    await environment.examine()
    assert environment.simulator.messages == []
    assert [login.ok for login in environment.simulator.logins] == [True]
    verbs = [[command.split()[0] for command in session.commands] for session in environment.simulator.sessions]
    login_commands = ["EHLO", "STARTTLS", "EHLO"]
    assert verbs == [[], [*login_commands, "QUIT"], [*login_commands, "AUTH", "MAIL", "RSET", "QUIT"]]


async def test_the_token_is_read_and_never_shown(environment: DoctorEnvironment) -> None:
    """Audience, permissions, expiry, and the object id that Exchange must know."""
    findings = await environment.examine()
    facts = of(findings, Step.CREDENTIAL).facts
    assert facts["audience"] == "https://outlook.office365.com"
    assert facts["permissions"] == "SMTP.SendAsApp"
    assert facts["client id"] == CLIENT
    assert OBJECT in facts.values()
    assert not [part for part in TOKEN.split(".") if part in report_text(findings)]


async def test_a_password_has_a_warning_with_its_end(environment: DoctorEnvironment) -> None:
    """A warning, because Microsoft switches passwords off."""
    password(environment)
    findings = await environment.examine()
    assert outcomes(findings, StepOutcome.WARN) == [Step.CREDENTIAL]
    assert "December 2026" in of(findings, Step.CREDENTIAL).summary
    assert "SMTP.SendAsApp" in of(findings, Step.CREDENTIAL).fix
    assert PASSWORD not in report_text(findings)


async def test_the_facts_are_those_of_the_server(environment: DoctorEnvironment) -> None:
    """Facts that a person compares: greeting, certificate, extensions."""
    findings = await environment.examine()
    assert of(findings, Step.GREETING).facts["banner"].startswith("220 ")
    assert "TLSv1.3" in of(findings, Step.STARTTLS).summary
    assert "localhost" in of(findings, Step.CERTIFICATE).facts["for"]
    assert "AUTH LOGIN XOAUTH2" in of(findings, Step.CAPABILITIES).facts["offered"]


async def test_each_sender_is_tried_without_a_message(environment: DoctorEnvironment) -> None:
    """Each address once, with MAIL FROM and RSET; a pattern has no address to try."""
    environment.changes["senders"] = ("*@contoso.com", "shop@contoso.com", MAILBOX)
    environment.changes["sender"] = parse_address("Shop <shop@contoso.com>")
    findings = await environment.examine()
    mailbox, shop, pattern = [one for one in findings if one.step is Step.SENDER]
    assert "is the mailbox itself" in mailbox.summary
    assert "checks the permission Send As only with a whole message" in shop.summary
    assert (pattern.outcome, "is a pattern" in pattern.summary) == (StepOutcome.SKIPPED, True)
    said = [command for command in environment.simulator.sessions[-1].commands if command.startswith(("MAIL", "RSET"))]
    assert said == ["MAIL FROM:<noreply@contoso.com>", "RSET", "MAIL FROM:<shop@contoso.com>", "RSET"]


async def test_one_message_is_sent_when_asked(environment: DoctorEnvironment) -> None:
    """Over the same login; the finding has Exchange's words."""
    environment.changes["test_to"] = parse_address("ada@example.net")
    findings = await environment.examine()
    [message] = environment.simulator.accepted
    finding = of(findings, Step.TEST_MESSAGE)
    assert finding.outcome is StepOutcome.OK
    assert finding.facts["reply"].startswith("250 2.0.0 OK")
    assert finding.facts["message id"].encode() in message.content
    assert message.recipients == ("ada@example.net",) or list(message.recipients) == ["ada@example.net"]
    assert len(environment.simulator.logins) == 1


async def test_a_greeting_that_is_not_microsofts_is_a_warning(
    environment: DoctorEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is Microsoft's, the greeting is not."""
    monkeypatch.setattr(socket, "getaddrinfo", hosts((socket.AF_INET, "127.0.0.1")))
    environment.of_upstream["host"] = "smtp.office365.com"
    assert of(await environment.examine(), Step.GREETING).outcome is StepOutcome.OK
    environment.simulator.profile = ServerProfile(greeting="220 *************************")
    finding = of(await environment.examine(), Step.GREETING)
    assert finding.outcome is StepOutcome.WARN
    assert "is not Microsoft's" in finding.summary
