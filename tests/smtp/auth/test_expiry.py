"""Expiry notices: one per step and date."""

import json
from dataclasses import dataclass, replace

import pytest

from app import logs, metrics
from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.outcome.verdict import Explanation, LoginMethod
from app.mail.times import DAY
from app.smtp.auth.credentials import LoginSecret, Mechanism, Password
from app.smtp.auth.expiry_monitor import CredentialExpiryMonitor

WHY = Explanation("It ends.", "Make a new one.")
CERTIFICATE = CredentialExpiry("client certificate", 4_000_000_000.0, WHY)


@dataclass
class ExpiringCredentials:
    """Credentials that expire."""

    mortal: CredentialExpiry | None
    method = LoginMethod.PASSWORD

    async def secret(self) -> LoginSecret:
        """Not called here."""
        return LoginSecret(Mechanism.LOGIN, "", "")

    def reject(self, secret: LoginSecret) -> bool:
        """Do nothing."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """Return the expiry of the constructor."""
        return self.mortal


def noticed(capsys: pytest.CaptureFixture[str]) -> list[int]:
    """Return the days of each warning since the last call."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line["days"] for line in lines if line["event"] == "credential.ends"]


def at(days: float, credentials: ExpiringCredentials) -> Clock:
    """Return a clock that is this many days before the expiry."""
    assert credentials.mortal is not None
    return Clock(speed=1e-9, origin=credentials.mortal.at - days * DAY)


def test_notices_are_due_30_7_and_1_days_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each, and once after the expiry."""
    logs.configure(human=False)
    credentials = ExpiringCredentials(CERTIFICATE)
    watch = CredentialExpiryMonitor("noreply@contoso.com", credentials, at(0, credentials))
    for days in (90.5, 31.5, 29.5, 29.4, 10.5, 6.5, 2.5, 0.5, 0.4, -0.5, -3.5):
        monkeypatch.setattr(watch, "_clock", at(days, credentials))
        watch.check()
    assert noticed(capsys) == [29, 6, 0, -1]


def test_a_new_date_restarts_the_notices(capsys: pytest.CaptureFixture[str]) -> None:
    """A replaced file is quiet until its own steps."""
    logs.configure(human=False)
    credentials = ExpiringCredentials(CERTIFICATE)
    watch = CredentialExpiryMonitor("noreply@contoso.com", credentials, at(5.5, credentials))
    watch.check()
    credentials.mortal = replace(CERTIFICATE, at=CERTIFICATE.at + 365 * DAY)
    watch.check()
    credentials.mortal = replace(CERTIFICATE, at=CERTIFICATE.at + 1 * DAY)
    watch.check()
    credentials.mortal = None
    watch.check()
    assert noticed(capsys) == [5, 6]


def test_a_password_shows_the_retirement_of_basic_authentication(capsys: pytest.CaptureFixture[str]) -> None:
    """At the start, at any distance, because an operator must act."""
    logs.configure(human=False)
    password = Password("noreply@contoso.com", "a-password-for-tests")
    ending = password.expiry()
    assert ending is not None
    watch = CredentialExpiryMonitor("noreply@contoso.com", password, Clock(origin=ending.at - 400 * DAY))
    watch.check()
    watch.check()
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["date"]) == ("credential.ends", "2026-12-31")
    assert "end of December 2026" in line["reason"]
    assert "POSTERN_CLIENT_CERTIFICATE" in line["fix"]
    assert "-Mailbox noreply@contoso.com" in line["fix"]


def test_the_date_is_a_metric() -> None:
    """The metric has the date."""
    credentials = ExpiringCredentials(CERTIFICATE)
    CredentialExpiryMonitor("noreply@contoso.com", credentials, at(90, credentials)).check()
    labels = 'credential="client certificate",mailbox="noreply@contoso.com"'
    assert f"postern_credential_expires_timestamp_seconds{{{labels}}} 4e+09".encode() in metrics.expose()
