"""The doctor against broken upstreams: each ends at its own step, with its own cause and fix, within a bounded time.

In every case no mail is sent, at most one login is made, and no secret is shown.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.handshake import STEPS as HANDSHAKE_STEPS
from app.doctor.target import StepTimeouts
from app.mail.message.address import parse_address
from app.simulator import Drop, Fault, Garbage, Point, Say, ServerProfile, Silence
from app.simulator.entra import SCOPE, TENANT, Entra
from app.smtp.auth.grants import ClientSecret, Registration
from app.smtp.auth.oauth import OAuth, TokenSource
from tests.contract.doctor.fixtures import (
    CLIENT,
    MAILBOX,
    OBJECT,
    PASSWORD,
    TOKEN,
    Bearer,
    DoctorEnvironment,
    account,
    black_hole,
    hosts,
    of,
    outcomes,
    password,
    report_text,
    step_timeouts,
    token,
)
from tests.entra import SECRET, app

Break = Callable[[DoctorEnvironment], Awaitable[None]]
FAILED, WARN = StepOutcome.FAILED, StepOutcome.WARN
OTHER = "shop@contoso.com"
ADA = parse_address("ada@example.net")


class Broken(NamedTuple):
    """Fault, the step that detects it, and parts of the cause and the fix."""

    broken: Break
    step: Step
    cause: str
    fix: str
    outcome: StepOutcome = FAILED


def changed(**changes: Any) -> Break:
    """Change the target."""

    async def do(environment: DoctorEnvironment) -> None:
        environment.changes.update(changes)

    return do


def token_with(expires_in: int = 3600, **claims: Any) -> Break:
    """Use a token with these claims, which expires so many seconds later; the simulator accepts it."""

    async def do(environment: DoctorEnvironment) -> None:
        environment.simulator.accounts.add(account(validate_token=lambda _: True))
        environment.changes["credentials"] = Bearer(token(exp=int(time.time()) + expires_in, **claims))

    return do


def upstream(**changes: Any) -> Break:
    """Change the upstream."""

    async def do(environment: DoctorEnvironment) -> None:
        environment.of_upstream.update(changes)

    return do


def server_profile(**face: Any) -> Break:
    """Change the simulator's profile."""

    async def do(environment: DoctorEnvironment) -> None:
        environment.simulator.profile = ServerProfile(**face)

    return do


def says(row: str, *, by_password: bool = True, **changes: Any) -> Break:
    """Make the simulator send one of Exchange's refusals."""

    async def do(environment: DoctorEnvironment) -> None:
        if by_password:
            password(environment)
        environment.changes.update(changes)
        environment.simulator.faults.add(Fault.named(row))

    return do


def fault(point: Point, action: Any, **changes: float) -> Break:
    """A fault of the connection; `changes` are timeouts for faults that delay a step."""

    async def do(environment: DoctorEnvironment) -> None:
        environment.changes["step_timeouts"] = step_timeouts(**changes)
        environment.simulator.faults.add(Fault(point, action))

    return do


def entra(refuse: str = "", scope: str = SCOPE, *, reachable: bool = True) -> Break:
    """Start a token endpoint, and let the mailbox use it."""

    async def do(environment: DoctorEnvironment) -> None:
        there = await environment.stack.enter_async_context(Entra(environment.simulator, [app()], scope=scope))
        if refuse:
            there.refuse(refuse, times=None)
        environment.simulator.write_ca(environment.folder / "ca.pem")
        registration = Registration(there.authority, TENANT, CLIENT, scope, environment.folder / "ca.pem")
        source = TokenSource(ClientSecret(registration, SECRET), environment.simulator.clock)
        environment.changes["credentials"] = OAuth(MAILBOX, source)
        environment.changes["step_timeouts"] = step_timeouts(credential=18.0 if reachable else 1.0)
        if not reachable:
            await there.stop()

    return do


async def closed_port(environment: DoctorEnvironment) -> None:
    await environment.simulator.stop()


async def black_holed_port(environment: DoctorEnvironment) -> None:
    environment.of_upstream["port"] = environment.stack.enter_context(black_hole(socket.AF_INET, "127.0.0.1"))
    environment.changes["step_timeouts"] = step_timeouts(tcp=1.5)


async def ipv6_black_hole(environment: DoctorEnvironment) -> None:
    environment.stack.enter_context(black_hole(socket.AF_INET6, "::1", environment.simulator.port))
    patch = environment.stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(socket, "getaddrinfo", hosts((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")))
    environment.of_upstream["ipv4_only"] = False
    environment.changes["step_timeouts"] = step_timeouts(tcp=1.5)


async def wrong_password(environment: DoctorEnvironment) -> None:
    password(environment, "another-password-than-that")


async def wrong_object_id(environment: DoctorEnvironment) -> None:
    environment.simulator.accounts.add(account(token=None))


async def no_send_as(environment: DoctorEnvironment) -> None:
    environment.simulator.accounts.add(account(send_as=()))
    environment.changes.update(senders=(OTHER,), sender=parse_address(OTHER), test_to=ADA)


TLS_1_0 = {"tls_minimum": ssl.TLSVersion.TLSv1, "tls_maximum": ssl.TLSVersion.TLSv1}
GRAPH = "https://graph.microsoft.com/.default"

NETWORK = {
    "unknown name": Broken(upstream(host="no-such-host.invalid"), Step.DNS, "has no address", "POSTERN_SMTP_HOST"),
    "closed port": Broken(closed_port, Step.TCP_IPV4, "refused the connection", "POSTERN_SMTP_PORT (587)"),
    "black-holed port": Broken(
        black_holed_port, Step.TCP_IPV4, "a firewall blocks outbound TCP", "nc -vz -w 10 localhost"
    ),
    "IPv6 black hole": Broken(
        ipv6_black_hole, Step.TCP_IPV6, "IPv6 is broken", "POSTERN_IPV4_ONLY=true", StepOutcome.WARN
    ),
    "silence behind TCP": Broken(
        fault(Point.GREETING, Silence(), handshake=1.0), Step.GREETING, "no SMTP greeting", "pass localhost:"
    ),
    "cut at once": Broken(fault(Point.GREETING, Drop()), Step.GREETING, "closed before a login", "pass localhost:"),
    "no SMTP": Broken(
        fault(Point.GREETING, Garbage(b"HTTP/1.1 400 Bad Request\r\n")), Step.GREETING, "not SMTP", "POSTERN_SMTP_HOST"
    ),
    "421 at connect": Broken(
        says("service_not_active"), Step.GREETING, "taken out of service", "Run `postern check` again."
    ),
    "bad EHLO name": Broken(
        upstream(ehlo_name="my_host."), Step.EHLO, "does not accept the host name", "Set POSTERN_EHLO_NAME"
    ),
}
TLS = {
    "no STARTTLS": Broken(
        server_profile(starttls=False),
        Step.STARTTLS,
        "does not offer STARTTLS",
        "firewalls or proxies between this machine and Office 365",
    ),
    "STARTTLS refused": Broken(
        fault(Point.STARTTLS, Say("454 4.7.0 TLS not available due to temporary reason")),
        Step.STARTTLS,
        "refused to open a session",
        "POSTERN_SMTP_HOST",
    ),
    "handshake cut": Broken(fault(Point.TLS, Drop()), Step.STARTTLS, "closed before a login", "pass localhost:"),
    "TLS 1.0": Broken(server_profile(**TLS_1_0), Step.STARTTLS, "supports TLSv1 at most", "TLS 1.2 on port 587"),
    "self-signed": Broken(
        server_profile(certificate="self_signed"), Step.CERTIFICATE, "self-signed by", "POSTERN_SMTP_CA_FILE"
    ),
    "proxy's own CA": Broken(
        server_profile(certificate="foreign"),
        Step.CERTIFICATE,
        "issued by trustme",
        "Find the device between here and Office",
    ),
    "wrong host": Broken(
        server_profile(certificate="wrong_host"),
        Step.CERTIFICATE,
        "for elsewhere.example and not for localhost",
        "HOST to the",
    ),
    "expired": Broken(server_profile(certificate="expired"), Step.CERTIFICATE, "It expired on 20", "set it (NTP)"),
    "no AUTH": Broken(server_profile(mechanisms=()), Step.CAPABILITIES, "does not offer AUTH", "POSTERN_SMTP_HOST"),
    "offers taken away": Broken(
        server_profile(pipelining=False),
        Step.CAPABILITIES,
        "does not offer PIPELINING",
        "a proxy that rewrites SMTP",
        WARN,
    ),
    "small messages only": Broken(
        changed(max_message_bytes=2**30), Step.CAPABILITIES, "of 157286400 bytes at most", "=157286400", WARN
    ),
}
CREDENTIAL = {
    "expired secret": Broken(
        entra("AADSTS7000222"), Step.CREDENTIAL, "client secret has expired", "create a new secret. 2. Set its Value"
    ),
    "wrong secret": Broken(entra("AADSTS7000215"), Step.CREDENTIAL, "client secret: it is wrong", "not its Secret ID"),
    "token endpoint closed": Broken(
        entra(reachable=False), Step.CREDENTIAL, "could not obtain the credential", "https://login.microsoftonline.com"
    ),
    "wrong audience": Broken(
        entra(scope=GRAPH), Step.CREDENTIAL, "is for Microsoft Graph", "Remove POSTERN_TOKEN_SCOPE"
    ),
    "clock wrong": Broken(token_with(expires_in=-60), Step.CREDENTIAL, "it expired at", "set it right (NTP)"),
    "unknown audience": Broken(
        token_with(aud="api://else"), Step.CREDENTIAL, "not a known one", "Remove POSTERN_TOKEN_SCOPE", WARN
    ),
    "token nearly over": Broken(token_with(expires_in=300), Step.CREDENTIAL, "within ten minutes", "check it", WARN),
}
LOGIN = {
    "tenant switch off": Broken(
        says("smtp_auth_disabled_tenant"), Step.AUTH, "switched off in your organization", f"-Identity {MAILBOX}"
    ),
    "mailbox switch off": Broken(
        says("smtp_auth_disabled_mailbox"), Step.AUTH, "switched off for this mailbox", "tick Authenticated SMTP"
    ),
    "security defaults": Broken(says("security_defaults"), Step.AUTH, "security defaults forbid", "./Grant-PosternMai"),
    "conditional access": Broken(says("conditional_access"), Step.AUTH, "Conditional Access", "Sign-in logs"),
    "passwords off": Broken(says("basic_auth_disabled"), Step.AUTH, "with a password is switched off", "-AllowBasic"),
    "passwords retired": Broken(
        says("basic_auth_retired"), Step.AUTH, "has switched off logins", f"-Mailbox {MAILBOX}"
    ),
    "account locked": Broken(says("account_locked"), Step.AUTH, "has locked the account", "15 minutes"),
    "wrong password": Broken(wrong_password, Step.AUTH, "password or the user name is wrong", "POSTERN_PASSWORD"),
    "wrong object id": Broken(wrong_object_id, Step.AUTH, "refused without a reason", f"-ObjectId {OBJECT} -Mailbox"),
    "legacy TLS seen": Broken(says("legacy_tls"), Step.AUTH, "sees a connection with TLS 1.0 or 1.1", "TLS inspection"),
    "no such login": Broken(server_profile(mechanisms=("LOGIN",)), Step.AUTH, "does not offer AUTH XOAUTH2", "587"),
    "silence at AUTH": Broken(
        fault(Point.AUTH, Silence(), login=1.5), Step.AUTH, "did not finish its reply", "Service health"
    ),
}
SENDING = {
    "SendAs missing": Broken(
        no_send_as, Step.TEST_MESSAGE, "may not send as this From", f"-Identity {OTHER} -Trustee {MAILBOX}"
    ),
    "SendAs missing at MAIL": Broken(
        says("no_send_as_permission", by_password=False), Step.SENDER, "may not send as this From", "Add-RecipientPerm"
    ),
    "not counted as logged in": Broken(
        says("not_authenticated", by_password=False), Step.SENDER, "not treat the session as logged in", "Set-CASMail"
    ),
    "421 at MAIL": Broken(
        says("submission_rate", by_password=False, senders=(MAILBOX, OTHER), test_to=ADA),
        Step.SENDER,
        "more messages in a minute",
        "Run `postern check` again.",
    ),
    "silence at MAIL": Broken(
        fault(Point.MAIL, Silence(), senders=0.5), Step.SENDER, "did not finish its reply", "Service health"
    ),
    "mailbox full": Broken(
        says("mailbox_full", by_password=False, test_to=ADA), Step.TEST_MESSAGE, "mailbox is full", "Sent Items"
    ),
    "silence after the dot": Broken(
        fault(Point.DOT, Silence(), message=0.5), Step.TEST_MESSAGE, "it may have been accepted", "Message-ID"
    ),
}
TABLE = {**NETWORK, **TLS, **CREDENTIAL, **LOGIN, **SENDING}
WITH_TEST = {"silence after the dot"}


@pytest.mark.parametrize("name", TABLE)
async def test_each_has_its_own_cause_and_fix(
    environment: DoctorEnvironment, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failed step has a cause and a fix; the steps that depend on it are skipped."""
    row = TABLE[name]
    await row.broken(environment)
    if name in WITH_TEST:
        environment.changes["test_to"] = ADA
    findings = await examined(environment)
    assert outcomes(findings, FAILED) == ([] if row.outcome is WARN else [row.step])
    finding = next(one for one in findings if one.step is row.step and one.outcome is not StepOutcome.OK)
    assert finding.outcome is row.outcome
    assert row.cause in finding.summary
    assert row.fix in finding.fix
    assert "<mailbox>" not in report_text(findings)
    check_skipped(findings, row)
    assert len(environment.simulator.logins) <= 1
    assert environment.simulator.messages == [] or environment.changes.get("test_to")
    nothing_leaks(report_text(findings) + "".join(capfd.readouterr()))


async def examined(environment: DoctorEnvironment) -> list[Finding]:
    """Within the step timeouts of the target, and a little for a machine that is busy."""
    limits: StepTimeouts = environment.changes.get("step_timeouts", StepTimeouts())
    async with asyncio.timeout(sum(getattr(limits, name) for name in StepTimeouts.__slots__) - limits.domain + 5):
        return await environment.examine()


def check_skipped(findings: Sequence[Finding], row: Broken) -> None:
    """Check that the steps after a failure are skipped and the DNS checks are not."""
    chain = [Step.DNS, Step.TCP_IPV4, *HANDSHAKE_STEPS, Step.AUTH, Step.SENDER]
    if row.outcome is FAILED and row.step in chain:
        for step in chain[chain.index(row.step) + 1 :]:
            finding = of(findings, step)
            assert finding.outcome is StepOutcome.SKIPPED
            assert finding.summary == f"Not checked, because the step {row.step} failed."
    assert {of(findings, step).outcome for step in (Step.MX, Step.SPF, Step.DKIM, Step.DMARC)} == {StepOutcome.OK}


def nothing_leaks(text: str) -> None:
    """Check for passwords, client secrets and parts of tokens."""
    secrets = [PASSWORD, SECRET, "another-password-than-that", *TOKEN.split(".")[1:]]
    assert not [secret for secret in secrets if secret in text]


async def test_a_token_for_another_service_is_not_tried(environment: DoctorEnvironment) -> None:
    """A login with it would fail, and failed logins lock the mailbox out."""
    await entra(scope=GRAPH)(environment)
    findings = await environment.examine()
    assert of(findings, Step.CREDENTIAL).facts["audience"] == "https://graph.microsoft.com"
    assert of(findings, Step.AUTH).summary == "Not checked, because the step credential failed."
    assert environment.simulator.logins == []


async def test_a_certificate_that_is_not_trusted_is_shown(environment: DoctorEnvironment) -> None:
    """Issuer, names and expiry help to find the device in between."""
    await server_profile(certificate="foreign")(environment)
    facts = of(await environment.examine(), Step.CERTIFICATE).facts
    assert "trustme" in facts["issued by"]
    assert "localhost" in facts["for"]
    assert environment.simulator.logins == []


def test_the_step_timeouts_add_up_to_90_seconds() -> None:
    """The DNS checks of the domain run in parallel."""
    limits = StepTimeouts()
    assert sum(getattr(limits, name) for name in StepTimeouts.__slots__) - limits.domain <= 90
    assert limits.domain <= 90
