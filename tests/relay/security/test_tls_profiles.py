"""TLS that does not verify: no credential and no mail is sent, the message waits, and the reason is readable."""

import ssl
from pathlib import Path

import pytest

from app.simulator import ServerProfile, Simulator
from tests.harness import ACCOUNT, open_harness, settings_for

BAD_TLS_PROFILES = {
    "no STARTTLS": (ServerProfile(starttls=False), "tls"),
    "wrong host": (ServerProfile(certificate="wrong_host"), "certificate"),
    "foreign CA": (ServerProfile(certificate="foreign"), "certificate"),
    "expired": (ServerProfile(certificate="expired"), "certificate"),
    "self-signed": (ServerProfile(certificate="self_signed"), "certificate"),
    "TLS 1.1": (ServerProfile(tls_minimum=ssl.TLSVersion.TLSv1_1, tls_maximum=ssl.TLSVersion.TLSv1_1), "tls"),
    "text injected before TLS": (ServerProfile(inject=b"250 2.1.0 Sender OK\r\n"), "tls"),
}


@pytest.mark.parametrize("name", BAD_TLS_PROFILES)
async def test_nothing_is_sent_without_verified_tls(tmp_path: Path, name: str) -> None:
    """No login, envelope or content; the mailbox rests with the reason."""
    profile, kind = BAD_TLS_PROFILES[name]
    async with Simulator(accounts=[ACCOUNT], profile=profile) as simulator:
        async with open_harness(simulator, settings_for(simulator, tmp_path)) as harness:
            id = await harness.post()
            await harness.until_health("paused")
            email = await harness.until(id, "queued")
        [attempt] = email["relay"]["attempts"]
        assert attempt["failure"]["kind"] == kind
        assert email["relay"]["explanation"]["fix"]
        assert simulator.logins == []
        assert simulator.messages == []
        assert not [
            command for one in simulator.sessions for command in one.commands if command[:4] in ("AUTH", "MAIL")
        ]
