"""Log of a message: every step by the email's id and the request's."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import logs, main
from app.simulator import Fault, Point, Say, Simulator
from tests.harness import EMAIL, MAILBOX, Harness, open_harness, settings_for


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_each_step_has_its_line(harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    """Accepted, claimed, attempted, coalesced: with the email's id, and the caller's steps with the request's."""
    logs.configure(human=False, level="debug")
    harness.simulator.faults.add(Fault(at=Point.RCPT, do=Say("451 4.9.9 Not now"), recipient="late@example.net"))
    answer = await harness.caller.post(
        "/emails", json={**EMAIL, "to": "late@example.net", "coalesce": "it"}, headers={"X-Request-Id": "first"}
    )
    old = answer.json()["id"]
    await harness.until(old, "deferred")
    newer = await harness.caller.post("/emails", json={**EMAIL, "coalesce": "it"}, headers={"X-Request-Id": "second"})
    await harness.until(newer.json()["id"], "done")
    logged = lines(capsys)
    assert [one["event"] for one in logged if one.get("email") == old] == [
        "email.accepted",
        "email.claimed",
        "email.attempted",
        "email.superseded",
    ]
    requests = {(one["event"], one["email"]): one.get("request_id") for one in logged if "email" in one}
    assert requests["email.accepted", old] == "first"
    assert requests["email.superseded", old] == requests["email.accepted", newer.json()["id"]] == "second"
    assert requests["email.attempted", old] is None
    (end,) = [one for one in logged if one["event"] == "email.attempted" and one["email"] == old]
    assert (end["outcome"], end["phase"], end["mailbox"], end["number"]) == ("defer", "rcpt", MAILBOX, 1)


async def test_the_setting_masks_recipients(
    simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refusals and upstream replies have no address; the mailbox is named."""
    settings = settings_for(simulator, tmp_path, log_addresses="masked", log_format="json")
    main.configure_logs(settings)
    simulator.faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 <lovelace@example.net> is unknown")))
    async with open_harness(simulator, settings) as harness:
        await harness.until(await harness.post(to="lovelace@example.net"), "done")
        for changes in ({"to": "lovelace@@example.net"}, {"from": "lovelace@example.net"}):
            answer = await harness.caller.post("/emails", json={**EMAIL, **changes})
            assert answer.status_code in (403, 422)
        await harness.caller.get("/lovelace@example.net")
    written = capsys.readouterr().err
    assert "lovelace" not in written
    assert "***@example.net" in written
    assert f'"mailbox":"{MAILBOX}"' in written
