"""The whole path of a bounce: POST, refusal, suppression, and the next email."""

from app.simulator import Fault, Point, Say
from tests.harness import Harness


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
