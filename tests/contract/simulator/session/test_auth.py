"""AUTH with LOGIN and XOAUTH2, with and without an initial response, and its errors."""

import asyncio

import pytest

from app.simulator import Account, ExchangeLimits, Simulator
from tests.contract.simulator.client import MAILBOX, PASSWORD, TOKEN, Client, b64, expect, verifying_context
from tests.contract.simulator.conftest import Start

OK = "235 2.7.0 Authentication successful"
UNSUCCESSFUL = "535 5.7.3 Authentication unsuccessful [{frontend}]"
INCORRECT = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [{frontend}]"
UNRECOGNIZED = "504 5.7.4 Unrecognized authentication type [{frontend}]"


SOH = "\x01"


def sasl(user: str = MAILBOX, token: str = TOKEN, bearer: str = "Bearer ", end: str = SOH + SOH) -> str:
    """Return the initial response of XOAUTH2."""
    return b64(f"user={user}{SOH}auth={bearer}{token}{end}")


DIALOGUES = {
    "LOGIN, user at once": ([(f"AUTH LOGIN {b64(MAILBOX)}", "334 UGFzc3dvcmQ6"), (b64(PASSWORD), OK)], True),
    "LOGIN, user asked for": (
        [("AUTH LOGIN", "334 VXNlcm5hbWU6"), (b64(MAILBOX), "334 UGFzc3dvcmQ6"), (b64(PASSWORD), OK)],
        True,
    ),
    "LOGIN, case of the address": (
        [(f"auth login {b64(MAILBOX.upper())}", "334 UGFzc3dvcmQ6"), (b64(PASSWORD), OK)],
        True,
    ),
    "LOGIN, wrong password": ([(f"AUTH LOGIN {b64(MAILBOX)}", "334 UGFzc3dvcmQ6"), (b64("wrong"), INCORRECT)], False),
    "LOGIN, unknown user": ([(f"AUTH LOGIN {b64('x@y.z')}", "334 UGFzc3dvcmQ6"), (b64(PASSWORD), INCORRECT)], False),
    "LOGIN, cancelled": ([("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("*", UNSUCCESSFUL)], False),
    "XOAUTH2, one line": ([(f"AUTH XOAUTH2 {sasl()}", OK)], True),
    "XOAUTH2, two lines": ([("AUTH XOAUTH2", "334 "), (sasl(), OK)], True),
    "XOAUTH2, bad token": ([(f"AUTH XOAUTH2 {sasl(token='stale')}", UNSUCCESSFUL)], False),
    "XOAUTH2, unknown user": ([(f"AUTH XOAUTH2 {sasl(user='x@y.z')}", UNSUCCESSFUL)], False),
    "XOAUTH2, cancelled": ([("AUTH XOAUTH2", "334 "), ("*", UNSUCCESSFUL)], False),
    "XOAUTH2, no base64": ([("AUTH XOAUTH2 user=x", UNSUCCESSFUL)], False),
    "XOAUTH2, one SOH at the end": ([(f"AUTH XOAUTH2 {sasl(end=SOH)}", UNSUCCESSFUL)], False),
    "XOAUTH2, no Bearer": ([(f"AUTH XOAUTH2 {sasl(bearer='')}", UNSUCCESSFUL)], False),
}


@pytest.mark.parametrize(("dialogue", "ok"), DIALOGUES.values(), ids=DIALOGUES)
async def test_a_login(sim: Simulator, clients: list[Client], dialogue: list[tuple[str, str]], ok: bool) -> None:
    """Replies are those of Exchange, the login is recorded once, and MAIL is allowed only after success."""
    clients.append(client := await Client.secured(sim))
    for line, expected in dialogue:
        expect(expected, await client.command(line))
    assert [login.ok for login in sim.logins] == [ok]
    assert sim.sessions[0].logins == 1
    assert (await client.command(f"MAIL FROM:<{MAILBOX}>")).startswith("250 " if ok else "530 5.7.57")


@pytest.mark.parametrize("mechanism", ["PLAIN", "CRAM-MD5", "OAUTHBEARER", ""])
async def test_other_mechanisms_are_unrecognized(sim: Simulator, clients: list[Client], mechanism: str) -> None:
    """AUTH PLAIN and other mechanisms are not announced by Exchange."""
    clients.append(client := await Client.secured(sim))
    expect(UNRECOGNIZED, await client.command(f"AUTH {mechanism}"))
    assert sim.logins == []


async def test_auth_requires_ehlo_after_tls(sim: Simulator, clients: list[Client]) -> None:
    """TLS resets the session (RFC 3207 §4.2)."""
    clients.append(client := await Client.secured(sim))
    again = await Client.greeted(sim)
    clients.append(again)
    await again.command("STARTTLS")
    await again.start_tls(verifying_context(sim))
    expect("503 5.5.1 Bad sequence of commands", await again.command(f"AUTH XOAUTH2 {sasl()}"))
    expect(OK, await client.command(f"AUTH XOAUTH2 {sasl()}"))


async def test_a_failed_login_is_tarpitted(start: Start, clients: list[Client]) -> None:
    """The 535 is sent after 5 seconds of the clock, and one failed login is recorded."""
    sim = await start(speed=20, limits=ExchangeLimits())
    clients.append(client := await Client.secured(sim))
    began = asyncio.get_running_loop().time()
    expect(UNSUCCESSFUL, await client.command(f"AUTH XOAUTH2 {sasl(token='stale')}"))
    assert asyncio.get_running_loop().time() - began >= 5 / 20
    ((_, mailbox, mechanism, ok),) = sim.logins
    assert (mailbox, mechanism, ok) == (MAILBOX, "XOAUTH2", False)


async def test_tokens_are_validated_by_a_callable(sim: Simulator, clients: list[Client]) -> None:
    """A token is valid if `validate_token` of the account returns True."""
    sim.accounts.add(Account("app@contoso.com", validate_token=lambda token: token.startswith("fresh-")))
    clients.append(client := await Client.secured(sim))
    expect(UNSUCCESSFUL, await client.command(f"AUTH XOAUTH2 {sasl('app@contoso.com', 'old-1')}"))
    expect(OK, await client.command(f"AUTH XOAUTH2 {sasl('app@contoso.com', 'fresh-1')}"))


async def test_an_account_without_a_password_accepts_none(sim: Simulator, clients: list[Client]) -> None:
    """An account without a password does not accept the empty password."""
    sim.accounts.add(Account("app@contoso.com"))
    clients.append(client := await Client.secured(sim))
    expect(INCORRECT, await client.commands((f"AUTH LOGIN {b64('app@contoso.com')}", "")))
