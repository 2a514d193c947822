"""The whole path of a bounce: POST, refusal, suppression, and the next email."""

from pathlib import Path

from app.simulator import Fault, Point, Say, Simulator
from tests.harness import Harness, open_harness, settings_for


async def test_a_refused_address_gets_no_second_email(harness: Harness) -> None:
    """Its neighbour does; the entry has the reply."""
    harness.simulator.faults.add(
        Fault(at=Point.RCPT, do=Say("550 5.1.10 Recipient not found"), recipient="gone@example.net")
    )
    first = await harness.post(to=["gone@example.net", "there@example.net"])
    await harness.until(first, "done")
    found = (await harness.caller.get("/suppressions/gone@example.net")).json()
    assert (found["origin"], found["source_id"]) == ("bounce", str(first))
    assert found["evidence"] == {
        "email_id": str(first), "code": "5.1.10", "text": "Recipient not found", "seen_by": "reply",
    }  # fmt: skip
    assert found["expires_at"] is not None
    assert (await harness.caller.get("/suppressions/there@example.net")).status_code == 404
    email = await harness.until(await harness.post(to=["gone@example.net", "there@example.net"]), "done")
    assert email["last_event"] == "sent"
    assert [one["state"] for one in email["relay"]["recipients"]] == ["suppressed", "relayed"]
    assert [seen.recipients for seen in harness.simulator.accepted] == [("there@example.net",)] * 2


async def test_an_address_that_is_added_before_the_attempt_gets_nothing(harness: Harness) -> None:
    """The email was accepted before, for a later time. The size of the list is a metric."""
    id = await harness.post(to=["gone@example.net", "there@example.net"], scheduled_at="in 1 hour")
    alone = await harness.post(to="gone@example.net", scheduled_at="in 1 hour")
    added = await harness.caller.post("/suppressions", json={"email": "gone@example.net"})
    assert added.status_code == 201
    for one in (id, alone):
        assert (await harness.caller.patch(f"/emails/{one}", json={"scheduled_at": "in 0 seconds"})).status_code == 200
    email = await harness.until(id, "done")
    assert [one["state"] for one in email["relay"]["recipients"]] == ["suppressed", "relayed"]
    email = await harness.until(alone, "done")
    assert email["last_event"] == "failed"
    assert "suppression list" in email["relay"]["explanation"]["summary"]
    assert [seen.recipients for seen in harness.simulator.accepted] == [("there@example.net",)]
    assert 'postern_suppressions{origin="manual"} 1.0' in (await harness.caller.get("/metrics")).text


async def test_without_the_setting_no_bounce_is_suppressed(simulator: Simulator, tmp_path: Path) -> None:
    """POSTERN_SUPPRESS_BOUNCES=false: addresses are added by hand alone."""
    simulator.faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.10 Recipient not found"), recipient="gone@example.net"))
    settings = settings_for(simulator, tmp_path, suppress_bounces=False)
    async with open_harness(simulator, settings) as harness:
        email = await harness.until(await harness.post(to="gone@example.net"), "done")
        assert email["last_event"] == "failed"
        assert (await harness.caller.get("/suppressions")).json()["data"] == []
