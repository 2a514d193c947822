"""Pipelining and turns: how often the client had to wait for the server."""

import asyncio

from app.simulator import Limits, Simulator
from tests.contract.simulator.client import MAILBOX, Client, content
from tests.contract.simulator.conftest import Ready, Start

ENVELOPE = f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<ada@example.net>\r\nDATA\r\n".encode()


async def submit(client: Client) -> str:
    """One message in two writes."""
    client.write(ENVELOPE)
    assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
    client.write(content() + b".\r\n")
    return await client.reply()


async def test_a_warm_pipelined_message_costs_two_turns(sim: Simulator, ready: Ready) -> None:
    """The envelope with DATA in one write, then the content."""
    client = await ready(sim)
    for _ in range(3):
        before = sim.sessions[0].turns
        assert (await submit(client)).startswith("250 ")
        await client.ask("NOOP")
        assert sim.sessions[0].turns - before == 3
    assert [seen.turns for seen in sim.messages] == [2, 2, 2]


async def test_a_message_line_by_line_costs_four_turns(sim: Simulator, ready: Ready) -> None:
    """MAIL, RCPT, DATA, content."""
    client = await ready(sim)
    await client.send()
    assert sim.messages[0].turns == 4


async def test_the_next_envelope_may_ride_with_the_content(sim: Simulator, ready: Ready) -> None:
    """Content, dot and the next MAIL in one write: one turn a message (RFC 2920 §3.1)."""
    client = await ready(sim)
    client.write(ENVELOPE)
    for _ in range(3):
        await client.reply()
    client.write(content() + b".\r\n" + ENVELOPE)
    assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    assert len(sim.accepted) == 1


async def test_a_batch_is_answered_in_order(sim: Simulator, ready: Ready) -> None:
    """Each command gets its reply, refusals among them; DATA with no recipient accepted is refused."""
    client = await ready(sim)
    client.write(f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\nRSET\r\nNOOP\r\n".encode())
    replies = [(await client.reply())[:9] for _ in range(6)]
    assert replies == ["250 2.1.0", "501 5.1.3", "501 5.1.3", "503 5.5.1", "250 2.0.0", "250 2.0.0"]


async def test_the_501st_recipient_is_one_too_many(start: Start, ready: Ready) -> None:
    """452 4.5.3 for it alone; the others get the message."""
    sim = await start(limits=Limits(tarpit=0))
    client = await ready(sim)
    batch = "".join(f"RCPT TO:<r{number}@example.net>\r\n" for number in range(501))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n{batch}DATA\r\n".encode())
    replies = [await client.reply() for _ in range(503)]
    assert [reply for reply in replies if reply[:3] not in {"250", "354"}] == ["452 4.5.3 Too many recipients"]
    client.write(content() + b".\r\n")
    assert (await client.reply()).startswith("250 ")
    assert len(sim.messages[0].recipients) == 500
    assert [violation.what for violation in sim.violations] == ["recipients of one message: more than 500"]


async def test_octets_may_come_one_by_one(sim: Simulator, ready: Ready) -> None:
    """Segment boundaries make no difference, not even within CRLF.CRLF."""
    client = await ready(sim)
    await client.envelope()
    for octet in content(body="..a\r\n") + b".\r\n":
        client.write(bytes((octet,)))
        await asyncio.sleep(0)
    assert (await client.reply()).startswith("250 ")
    assert sim.messages[0].content == content(body=".a\r\n")
