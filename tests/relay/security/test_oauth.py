"""OAuth 2.0 over the whole path: HTTP in, a token from a checking endpoint, XOAUTH2 out; and every failure."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app import metrics
from app.clock import Clock
from app.mail.mailbox_health import Health
from app.settings import FileSecret
from app.simulator import Account, ExchangeLimits, Simulator
from app.simulator.entra import TENANT
from tests.clock import LoopClock, autojump
from tests.entra import CLIENT, SECRET, RunningEntra, app, certificate, federated, key_pem, pem, running_entra
from tests.harness import MAILBOX, Harness, open_harness, settings_for
from tests.waiting import until

FREE = ExchangeLimits(connections_sending=1000, messages_per_minute=100_000, idle=1e9, session=1e9, tarpit=0)
SECRET_SETTINGS: dict[str, Any] = {"tenant_id": TENANT, "client_id": CLIENT, "client_secret": SecretStr(SECRET)}


@asynccontextmanager
async def oauth_harness(
    folder: Path,
    *,
    clock: Clock | None = None,
    limits: ExchangeLimits = FREE,
    lifetime: float = 4500.0,
    refuse: str | None = None,
    **credential: Any,
) -> AsyncIterator[tuple[Harness, RunningEntra]]:
    """Postern with simulators of both services, logging in with a token."""
    clock = clock or LoopClock()
    async with (
        Simulator(clock=clock, limits=limits) as simulator,
        running_entra(simulator, folder, lifetime=lifetime) as there,
    ):
        simulator.accounts.add(Account(MAILBOX, send_as=("*@contoso.com",), validate_token=there.entra.is_valid_token))
        if refuse:
            there.entra.refuse(refuse, times=None)
        settings = settings_for(simulator, folder, **{**facts(there), **(credential or SECRET_SETTINGS)})
        async with open_harness(simulator, settings, clock) as harness:
            yield harness, there


def facts(there: RunningEntra) -> dict[str, Any]:
    """Return settings for Entra."""
    return {
        "password": None,
        "authority": there.entra.authority,
        "token_ca_file": there.ca_file,
        "messages_per_minute": 100_000,
    }


def by_certificate(folder: Path) -> dict[str, Any]:
    """Return settings with the app's certificate in a file."""
    (folder / "app.pem").write_text(pem(certificate()) + key_pem())
    return {"tenant_id": TENANT, "client_id": CLIENT, "client_certificate": folder / "app.pem"}


def by_federation(folder: Path) -> dict[str, Any]:
    """Return settings with another issuer's token in a file."""
    (folder / "token").write_text(federated())
    return {"tenant_id": TENANT, "client_id": CLIENT, "federated_token_file": folder / "token"}


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "secret": lambda _: SECRET_SETTINGS,
    "certificate": by_certificate,
    "federated": by_federation,
    "identity": lambda _: {"managed_identity": True},
}


@pytest.mark.parametrize("kind", KINDS)
@autojump
async def test_an_email_is_relayed_with_each_kind_of_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One token request and one XOAUTH2 login that the simulator has verified."""
    async with oauth_harness(tmp_path, **KINDS[kind](tmp_path)) as (harness, there):
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", there.entra.authority)
        there.entra.directory.add(app(certificates=(registered(tmp_path),)))
        email = await harness.until(await harness.post(), "done")
        assert email["last_event"] == "sent"
        assert [(asked.method, asked.outcome) for asked in there.entra.requests] == [(kind, "ok")]
        assert [(login.mechanism, login.ok) for login in harness.simulator.logins] == [("XOAUTH2", True)]
        assert len(harness.simulator.accepted) == 1


@autojump
async def test_the_expiry_of_the_certificate_is_monitored(tmp_path: Path) -> None:
    """From the start, with or without mail."""
    one = certificate("watched", ends=timedelta(days=5))
    (tmp_path / "app.pem").write_text(pem(one) + key_pem("watched"))
    credential: dict[str, Any] = {"tenant_id": TENANT, "client_id": CLIENT, "client_certificate": tmp_path / "app.pem"}
    async with oauth_harness(tmp_path, **credential):
        await until(lambda: last_day() == one.not_valid_after_utc.timestamp())


def last_day() -> float:
    """Return the metric of the certificate's expiry; 0 for none."""
    label = (
        'postern_credential_expires_timestamp_seconds{credential="client certificate",mailbox="noreply@contoso.com"} '
    )
    found = [line.removeprefix(label) for line in metrics.expose().decode().splitlines() if line.startswith(label)]
    return float(found[0]) if found else 0.0


def registered(folder: Path) -> str:
    """Return the certificate of the file as uploaded; any other if there is no file."""
    file = folder / "app.pem"
    return file.read_text().partition("-----BEGIN PRIVATE")[0] if file.exists() else pem(certificate())


@autojump
async def test_expiring_tokens_fail_no_message(tmp_path: Path) -> None:
    """Three token lifetimes with dropped sessions: no login is refused, every message arrives once."""
    clock = LoopClock(speed=450.0)
    limits = ExchangeLimits(connections_sending=1000, messages_per_minute=10**9, idle=1e9, session=300, tarpit=0)
    async with oauth_harness(tmp_path, clock=clock, limits=limits, lifetime=1300.0) as (harness, there):
        ids, ends_at = [], clock.now() + 3 * 1300
        while clock.now() < ends_at:
            ids.append(await harness.post())
            await harness.until(ids[-1], "done")
            await clock.advance(20.0)
        emails = [await harness.email(id) for id in ids]
        assert {email["last_event"] for email in emails} == {"sent"}
        assert len(harness.simulator.accepted) == len(ids)
        assert [login for login in harness.simulator.logins if not login.ok] == []
        assert len(there.entra.requests) >= 3
        assert set(there.outcomes) == {"ok"}


@autojump
async def test_fifty_concurrent_connections_share_one_token_request(tmp_path: Path) -> None:
    async with oauth_harness(tmp_path, connections=50, **SECRET_SETTINGS) as (harness, there):
        ids = [await harness.post() for _ in range(200)]
        for id in ids:
            await harness.until(id, "done")
        assert len(harness.simulator.accepted) == 200
        assert there.outcomes == ["ok"]


@autojump
async def test_a_refused_token_is_renewed(tmp_path: Path) -> None:
    """One refused login, one new token; the message has no attempt for it."""
    async with oauth_harness(tmp_path) as (harness, there):
        there.entra.revoke()
        there.entra.lifetime = 4000.0
        first = await harness.post()
        await harness.until(first, "done")
        there.entra.revoke()
        await cut(harness)
        email = await harness.until(await harness.post(), "done")
        assert len(email["relay"]["attempts"]) == 1
        assert [login.ok for login in harness.simulator.logins] == [True, False, True]
        assert there.outcomes == ["ok", "ok"]


async def cut(harness: Harness) -> None:
    """End every session, so that the next message logs in again."""
    port = harness.simulator.port
    await harness.simulator.stop()
    await harness.simulator.start(port=port)


@autojump
async def test_a_refused_new_token_holds_the_mailbox(tmp_path: Path) -> None:
    """Two logins for all waiting messages, of which none fails."""
    async with oauth_harness(tmp_path) as (harness, there):
        harness.simulator.accounts.add(Account(MAILBOX))
        ids = [await harness.post() for _ in range(10)]
        await harness.until_health(Health.HELD)
        assert [login.ok for login in harness.simulator.logins] == [False, False]
        assert there.outcomes == ["ok", "ok"]
        for id in ids:
            await harness.until(id, "queued")
        assert len(harness.simulator.logins) == 2
        explanation = harness.mailbox.condition.explanation
        assert explanation is not None
        assert "login of the OAuth app is refused" in explanation.summary


@autojump
async def test_a_wrong_secret_holds_the_mailbox_without_a_login(tmp_path: Path) -> None:
    """Entra's code with its fix; no login is made; the correct secret in the file is used."""
    clock = LoopClock(speed=300.0)
    file = tmp_path / "secret"
    file.write_text("wrong~secret")
    credential: dict[str, Any] = {**SECRET_SETTINGS, "client_secret": FileSecret("wrong~secret", file)}
    async with oauth_harness(tmp_path, clock=clock, **credential) as (harness, there):
        id = await harness.post()
        await harness.until_health(Health.HELD)
        email = await harness.until(id, "queued")
        assert "refuses the app's client secret: it is wrong" in email["relay"]["explanation"]["summary"]
        assert "not its Secret ID" in email["relay"]["explanation"]["fix"]
        [attempt] = email["relay"]["attempts"]
        assert "AADSTS7000215" in attempt["failure"]["detail"]
        assert harness.simulator.sessions == []
        assert there.outcomes == ["AADSTS7000215"]
        file.write_text(SECRET)
        assert (await harness.until(id, "done"))["last_event"] == "sent"


@autojump
async def test_an_unreachable_token_endpoint_pauses_the_mailbox(tmp_path: Path) -> None:
    """No login meanwhile, no failure, and everything is relayed once it is back."""
    clock = LoopClock(speed=60.0)
    async with oauth_harness(tmp_path, clock=clock, refuse="503", **SECRET_SETTINGS) as (harness, there):
        ids = [await harness.post() for _ in range(10)]
        await harness.until_health(Health.PAUSED)
        assert harness.simulator.sessions == []
        there.entra.clear_failures()
        emails = [await harness.until(id, "done") for id in ids]
        assert {email["last_event"] for email in emails} == {"sent"}
        assert there.outcomes[-1] == "ok"


@autojump
async def test_a_secret_is_rotated_without_a_restart(tmp_path: Path) -> None:
    """The old one is removed, the file changes, the next token request uses the new one."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    credential: dict[str, Any] = {**SECRET_SETTINGS, "client_secret": FileSecret(SECRET, file)}
    async with oauth_harness(tmp_path, **credential) as (harness, there):
        await harness.until(await harness.post(), "done")
        file.write_text("rotated~secret\n")
        there.entra.directory.add(app(secrets=("rotated~secret",)))
        there.entra.revoke()
        await cut(harness)
        await harness.until(await harness.post(), "done")
        assert there.outcomes == ["ok", "ok"]
        assert len(harness.simulator.accepted) == 2


@autojump
async def test_the_second_secret_replaces_an_expired_first(tmp_path: Path) -> None:
    """Only the log shows it."""
    credential: dict[str, Any] = {
        **SECRET_SETTINGS,
        "client_secret": SecretStr("ended~secret"),
        "client_secret_next": SecretStr(SECRET),
    }
    async with oauth_harness(tmp_path, **credential) as (harness, there):
        email = await harness.until(await harness.post(), "done")
        assert len(email["relay"]["attempts"]) == 1
        assert there.outcomes == ["AADSTS7000215", "ok"]
