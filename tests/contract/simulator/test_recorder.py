"""Recorder: messages, maximum number of records, waiting for messages."""

import asyncio
from pathlib import Path

import pytest

from app.simulator import ExchangeLimits, Fault, Point, Silence, Simulator
from tests.contract.simulator.client import MAILBOX, Client, content
from tests.contract.simulator.conftest import Ready, Start
from tests.waiting import WAIT_TIMEOUT, until


async def test_waiting_ends_with_the_message(sim: Simulator, ready: Ready) -> None:
    """wait_for returns when `count` messages were accepted, immediately if they already are."""
    client = await ready(sim)
    waiting = asyncio.create_task(sim.wait_for(2, WAIT_TIMEOUT))
    await client.send()
    await client.send(content(sender="ceo@contoso.com"))
    assert not waiting.done()
    await client.send()
    await waiting
    await sim.wait_for(2, 0)


async def test_waiting_too_long(sim: Simulator) -> None:
    """TimeoutError has the numbers."""
    with pytest.raises(TimeoutError, match="0 of 1 messages"):
        await sim.wait_for(1, 0.01)


async def test_reset_deletes_records_and_faults(start: Start, ready: Ready) -> None:
    """Messages, logins, violations, counts and faults are deleted; the open session continues."""
    sim = await start(limits=ExchangeLimits(tarpit=0, messages_per_minute=1, recipients_per_day=2))
    client = await ready(sim)
    for _ in range(3):
        await client.send()
    sim.faults.add(Fault(Point.DOT, Silence()))
    sim.reset()
    assert (sim.messages, sim.logins, sim.violations, list(sim.faults)) == ([], [], [], [])
    assert (await client.send()).startswith("250 ")
    await sim.wait_for(1, 0)
    assert (len(sim.sessions), sim.violations) == (1, [])


async def test_a_maximum_number_of_records(start: Start, ready: Ready) -> None:
    """Only the last records are stored; all accepted messages are counted."""
    sim = await start(max_records=2)
    client = await ready(sim)
    for number in range(4):
        await client.send(content(f"Subject: {number}"))
    await sim.wait_for(4, 0)
    assert [seen.content.count(b"Subject: 3") for seen in sim.messages] == [0, 1]


async def test_accepted_messages_can_be_written_to_a_folder(start: Start, ready: Ready, tmp_path: Path) -> None:
    """Each accepted message is one unchanged .eml file; refused messages are not written."""
    sim = await start(folder=tmp_path / "mail")
    client = await ready(sim)
    await client.send()
    await client.send(content(sender="ceo@contoso.com"))
    (path,) = (tmp_path / "mail").iterdir()
    assert path.name == f"{sim.messages[0].id}.eml"
    assert path.read_bytes() == content()


async def test_a_client_that_disconnects_before_the_final_dot(sim: Simulator, ready: Ready) -> None:
    """Incomplete content is not recorded as a message."""
    client = await ready(sim)
    await client.envelope()
    client.write(content())
    await client.close()
    await until(lambda: sim.sessions[0].closed_at is not None)
    assert sim.messages == []


async def test_it_can_stop_and_start_again_on_its_port(sim: Simulator, ready: Ready) -> None:
    """`stop` closes connections and the port; records and certificate remain."""
    client = await ready(sim)
    await client.send()
    port = sim.port
    await sim.stop()
    assert await client.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(sim)
    await sim.start(port=port)
    assert (await (await ready(sim)).send()).startswith("250 ")
    assert [seen.mailbox for seen in sim.messages] == [MAILBOX, MAILBOX]
