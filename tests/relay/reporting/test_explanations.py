"""Explanation of a resting mailbox in HTTP, the log and the message."""

import json

import pytest

from app import logs
from app.simulator import Fault
from tests.harness import MAILBOX, Harness


async def test_a_disabled_login_has_its_command_everywhere(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    """The waiting message, its mailbox and the log have the command of the fix, ready to copy."""
    harness.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox"))
    logs.configure(human=False)
    id = await harness.post()
    mailbox = await harness.until_health("held")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logs.configure(human=True)
    said = (await harness.until(id, "queued"))["relay"]["explanation"]
    assert f"Mailbox {MAILBOX} has been held since " in said["summary"]
    [held] = [line for line in lines if line["event"] == "mailbox.held"]
    for fix in (said["fix"], mailbox["explanation"]["fix"], held["fix"]):
        assert f"Set-CASMailbox -Identity {MAILBOX} -SmtpClientAuthenticationDisabled $false" in fix
        assert fix.endswith(
            f" 3. Run `postern mailboxes release {MAILBOX}`: it continues at once. "
            "Without that, also after a restart, it waits for its next attempt."
        )
        assert "<mailbox>" not in fix


async def test_a_mailbox_held_by_an_operator(harness: Harness) -> None:
    """Messages accepted meanwhile have the reason and its end; afterwards they read as relayed."""
    answer = await harness.caller.post(f"/mailboxes/{MAILBOX}/hold", json={"reason": "audit"})
    assert answer.status_code == 200
    await harness.until_health("held")
    id = await harness.post()
    said = (await harness.email(id))["relay"]["explanation"]
    assert "An operator holds the mailbox: audit." in said["summary"]
    assert f"`postern mailboxes release {MAILBOX}`" in said["fix"]
    await harness.caller.post(f"/mailboxes/{MAILBOX}/release")
    said = (await harness.until(id, "done"))["relay"]["explanation"]
    assert "does not mean that it was delivered" in said["summary"]
    assert "Message trace" in said["fix"]
