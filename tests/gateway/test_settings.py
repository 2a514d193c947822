"""POSTERN_ROOT_PATH and POSTERN_FORWARDED_ALLOW_IPS of a complete Postern."""

from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, Harness, open_harness, settings_for

FORGED = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}


async def logged(harness: Harness, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the log of a refused request."""
    assert (await harness.caller.get("/nope", headers=FORGED)).status_code == 404
    return capsys.readouterr().err


async def test_a_trusted_gateway_gives_the_callers_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, forwarded_allow_ips="192.0.2.1, 127.0.0.0/8", root_path="/mail/")
        async with open_harness(simulator, settings) as harness:
            assert "203.0.113.9" in await logged(harness, capsys)
            assert (await harness.caller.get("/mail/openapi.json")).json()["servers"][0]["url"] == "/mail"
            assert (await harness.caller.get("/mail")).status_code == 404
            assert (await harness.caller.get("/mailboxes")).status_code == 200


async def test_other_addresses_are_not_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None by default, and only the listed ones otherwise."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        for place, forwarders in (("default", None), ("other", "192.0.2.1")):
            folder = tmp_path / place
            folder.mkdir()
            settings = settings_for(simulator, folder, forwarded_allow_ips=forwarders)
            async with open_harness(simulator, settings) as harness:
                line = await logged(harness, capsys)
            assert "127.0.0.1" in line
            assert "203.0.113.9" not in line
