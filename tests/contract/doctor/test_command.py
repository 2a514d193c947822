"""`postern check` over a postern.toml: every mailbox or one, for a person and for a program, and how it ends."""

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner, Result

from app.cli import application
from app.simulator import Account, Fault
from tests.contract.doctor.fixtures import MAILBOX, PASSWORD, DoctorEnvironment, account, zone

SHOP = "shop@contoso.com"
BILLING = "billing@fabrikam.com"
SECRETS = (PASSWORD, "another-password-than-that")
Check: TypeAlias = Callable[..., Any]


@pytest.fixture
def check(environment: DoctorEnvironment, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command over two pools with three mailboxes, in a thread of its own."""
    for mailbox in (SHOP, BILLING):
        environment.simulator.accounts.add(Account(mailbox, password=PASSWORD))
    environment.simulator.accounts.add(account(send_as=(SHOP,)))
    environment.simulator.write_ca(environment.folder / "ca.pem")
    environment.names.zone.update(zone("fabrikam.com"))
    (environment.folder / "secret").write_text(PASSWORD)
    monkeypatch.setenv("POSTERN_CONFIG", str(environment.folder / "postern.toml"))
    host, port = environment.names.address

    async def run(*arguments: str, billing: str = PASSWORD) -> Result:
        (environment.folder / "postern.toml").write_text(document(environment, billing))
        line = ["check", "--name-server", f"{host}:{port}", "--egress", "203.0.113.7", *arguments]
        return await asyncio.to_thread(CliRunner().invoke, application, line)

    return run


def document(environment: DoctorEnvironment, billing: str) -> str:
    """Return the settings. The last mailbox has the password `billing`."""
    return f"""
smtp_host = "localhost"
smtp_port = {environment.simulator.port}
smtp_ca_file = "{environment.folder}/ca.pem"
ehlo_name = "relay.contoso.com"
ipv4_only = true
password_file = "{environment.folder}/secret"

[[pools]]
name = "shop"
[[pools.mailboxes]]
mailbox = "{MAILBOX}"
[[pools.mailboxes]]
mailbox = "{SHOP}"

[[pools]]
name = "billing"
[[pools.mailboxes]]
mailbox = "{BILLING}"
password = "{billing}"
"""


def headings(result: Result) -> list[str]:
    """Lines behind an empty one, but for the problems and the summary."""
    lines = result.stdout.splitlines()
    return [line for before, line in pairwise(lines) if not before and line[0] not in "✗!"][:-1]


def paragraph(result: Result, heading: str) -> list[str]:
    """Lines of the only problem that begins so."""
    [found] = [part for part in result.stdout.split("\n\n") if part.startswith(heading)]
    return found.splitlines()


async def test_every_mailbox_has_its_heading(environment: DoctorEnvironment, check: Check) -> None:
    """With its pool; the findings of the shared host come first."""
    result = await check()
    assert result.exit_code == 0, result.output
    assert headings(result) == [
        f"localhost:{environment.simulator.port}",
        f"{MAILBOX} (pool shop)",
        f"{SHOP} (pool shop)",
        f"{BILLING} (pool billing)",
        "contoso.com",
        "fabrikam.com",
        "203.0.113.7",
    ]
    assert result.stdout.count(" starttls ") == 1
    assert environment.simulator.messages == []


async def test_one_mailbox_has_no_heading(environment: DoctorEnvironment, check: Check) -> None:
    """Case is ignored; no other mailbox is logged in."""
    result = await check("--mailbox", "Billing@Fabrikam.com")
    assert result.exit_code == 0, result.output
    assert headings(result) == []
    assert [login.mailbox for login in environment.simulator.logins] == [BILLING]
    assert "contoso.com takes mail" not in result.stdout


async def test_an_unknown_mailbox_is_an_error_with_the_known_ones(environment: DoctorEnvironment, check: Check) -> None:
    """Nothing is tried."""
    result = await check("--mailbox", "shop@contoso.org")
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "There is no mailbox shop@contoso.org in the settings." in said
    assert f"The settings have: {MAILBOX}, {SHOP}, {BILLING}." in said
    assert environment.simulator.sessions == []


async def test_a_failure_decides_the_exit_code(check: Check) -> None:
    """The other mailboxes are reported too; no secret is."""
    result = await check(billing=SECRETS[1])
    assert result.exit_code == 1
    below = result.stdout.partition(f"{BILLING} (pool billing)")[2].partition("\n\n")[0]
    assert "✗ auth" in below
    problem = paragraph(result, "✗ auth: ")
    assert problem[1] == f"   {BILLING}"
    assert "✗" not in result.stdout.replace(below, "").replace(problem[0], "")
    assert not [secret for secret in SECRETS if secret in result.output]


async def test_for_a_program_each_finding_has_its_subject(environment: DoctorEnvironment, check: Check) -> None:
    """One array; the members are those that README.md names."""
    result = await check("--json", billing=SECRETS[1])
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert {tuple(finding) for finding in findings} == {
        ("step", "outcome", "summary", "fix", "facts", "about", "cause", "steps")
    }
    assert [(one["about"], one["step"]) for one in findings if one["outcome"] == "failed"] == [(BILLING, "auth")]
    assert [one["about"] for one in findings if one["step"] == "auth"] == [MAILBOX, SHOP, BILLING]
    assert [one["about"] for one in findings if one["step"] == "starttls"] == [
        f"localhost:{environment.simulator.port}"
    ]


async def test_a_wrong_setting_is_a_finding(check: Check) -> None:
    """With the place in the file, and the status of a wrong setting."""
    result = await check("--json", billing="")
    [finding] = json.loads(result.stdout)
    assert result.exit_code == 78
    assert (finding["step"], finding["outcome"], finding["about"]) == ("settings", "failed", "")
    assert ": pools[1].mailboxes[0].password: is missing. Set it" in finding["summary"]


async def test_a_cause_of_several_mailboxes_is_one_paragraph(environment: DoctorEnvironment, check: Check) -> None:
    """With the mailboxes in one line, the steps in order, and a command for all where there is one."""
    environment.simulator.faults.add(Fault.named("basic_auth_disabled", times=None))
    result = await check()
    assert result.exit_code == 1
    summary, mailboxes, reply, *steps = paragraph(result, "✗ auth: ")
    assert reply.startswith("   reply: 535 5.7.139 ")
    assert summary.startswith("✗ auth: A login with a password is switched off for this mailbox")
    assert mailboxes == f"   3 mailboxes: {MAILBOX}, {SHOP}, {BILLING}"
    assert [step[:6] for step in steps] == ["   1. ", "   2. ", "   3. ", "   4. "]
    assert f"-Mailbox {MAILBOX}, {SHOP}, {BILLING}`" in steps[1]
    assert "<mailbox>" not in result.stdout


async def test_a_command_for_one_mailbox_keeps_its_place(environment: DoctorEnvironment, check: Check) -> None:
    """A line says that it stands for each of them; with one mailbox, its address is there."""
    environment.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=None))
    problem = paragraph(await check(), "✗ auth: ")
    assert problem[3] == "   <mailbox> stands for each of them."
    assert "Set-CASMailbox -Identity <mailbox> " in problem[4]
    alone = paragraph(await check("--mailbox", SHOP), "✗ auth: ")
    assert alone[1] == f"   {SHOP}"
    assert f"Set-CASMailbox -Identity {SHOP} " in alone[3]


async def test_a_program_gets_cause_and_steps(environment: DoctorEnvironment, check: Check) -> None:
    """Each finding has them; those of one cause have one name for it."""
    environment.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=None))
    findings = json.loads((await check("--json")).stdout)
    refused = [one for one in findings if one["outcome"] == "failed"]
    assert [(one["about"], one["cause"]) for one in refused] == [
        (mailbox, "smtp-auth-disabled-mailbox") for mailbox in (MAILBOX, SHOP, BILLING)
    ]
    for one in refused:
        assert len(one["steps"]) == 2
        assert f"Set-CASMailbox -Identity {one['about']} " in one["steps"][0]
        assert one["fix"] == " ".join(f"{number}. {step}" for number, step in enumerate(one["steps"], 1))
