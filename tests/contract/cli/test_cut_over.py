"""`postern mailboxes cut-over`: the mailboxes that log in with a password, and what moves them to OAuth 2.0."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import application
from app.smtp.auth.credentials import BASIC_AUTH_EXPIRY

CLIENT, TENANT = "11c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c01", "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10"
PASSWORD = 'password = "a-password-for-tests"'
OAUTH = f'tenant_id = "{TENANT}"\nclient_id = "{CLIENT}"\nclient_secret = "made-up~client.secret_for-tests"'


def cut_over(folder: Path, *arguments: str, **logins: str) -> Result:
    """Run the command over one pool, whose mailboxes have these logins."""
    mailboxes = "".join(f'[[pools.mailboxes]]\nmailbox = "{name}@contoso.com"\n{it}\n' for name, it in logins.items())
    (folder / "postern.toml").write_text(f'[[pools]]\nname = "shop"\n{mailboxes}')
    return CliRunner().invoke(
        application,
        ["mailboxes", "cut-over", *arguments],
        env={"POSTERN_CONFIG": str(folder / "postern.toml"), "POSTERN_DATA_DIR": str(folder / "none")},
    )


def test_each_mailbox_with_a_password_has_its_command(tmp_path: Path) -> None:
    """With the app that the settings have; no database is needed, and no secret is shown."""
    result = cut_over(tmp_path, a=PASSWORD, b=OAUTH, c=PASSWORD)
    assert result.exit_code == 0, result.output
    assert [line.split("\t")[:3] for line in result.stdout.splitlines()] == [
        ["a@contoso.com", "shop", "password"],
        ["b@contoso.com", "shop", "client secret"],
        ["c@contoso.com", "shop", "password"],
    ]
    grants = re.findall(r"\./Grant-PosternMailbox\.ps1 .*", result.stderr)
    assert grants == [
        f"./Grant-PosternMailbox.ps1 -ClientId {CLIENT} -ObjectId <object-id> -Mailbox {name}@contoso.com"
        for name in "ac"
    ]
    assert "end of December 2026" in result.stderr
    assert "./Register-PosternApp.ps1" not in result.stderr
    assert "for-tests" not in result.output
    assert not (tmp_path / "none").exists()


def test_without_an_app_its_registration_comes_first(tmp_path: Path) -> None:
    """The steps are numbered."""
    steps = re.findall(r"^  (\d)\. (.*)", cut_over(tmp_path, a=PASSWORD).stderr, re.MULTILINE)
    assert [number for number, _ in steps] == ["1", "2", "3"]
    assert "./Register-PosternApp.ps1" in steps[0][1]
    assert "POSTERN_CLIENT_CERTIFICATE" in steps[2][1]


def test_nothing_to_do_with_oauth_alone(tmp_path: Path) -> None:
    """The rows say how each mailbox logs in."""
    result = cut_over(tmp_path, b=OAUTH)
    assert "client secret" in result.stdout
    assert result.stderr.splitlines()[-1] == "No mailbox logs in with a password. Nothing to do."


def test_for_a_program_each_mailbox_has_date_and_command(tmp_path: Path) -> None:
    """The members that do not apply are null."""
    first, second = json.loads(cut_over(tmp_path, "--json", a=PASSWORD, b=OAUTH).stdout)
    assert first.keys() == second.keys() == {"name", "pool", "login", "ends_at", "days_left", "command"}
    assert (first["login"], first["ends_at"]) == ("password", "2026-12-31T00:00:00+00:00")
    assert isinstance(first["days_left"], int)
    assert first["command"].endswith("-Mailbox a@contoso.com")
    assert (second["login"], second["ends_at"], second["days_left"], second["command"]) == (
        "client secret",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(("days", "text"), [(40.5, "40 days are left."), (-3.0, "The date has passed.")])
def test_the_days_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, text: str) -> None:
    """Whole days until Microsoft's date."""
    monkeypatch.setattr("app.clock.Clock.now", lambda _: BASIC_AUTH_EXPIRY.at - days * 86_400)
    assert text in cut_over(tmp_path, a=PASSWORD).stderr


def test_a_wrong_setting_ends_with_78(tmp_path: Path) -> None:
    """In one line."""
    result = cut_over(tmp_path, a='password = ""')
    assert result.exit_code == 78
    assert result.stderr.startswith("postern: ")
