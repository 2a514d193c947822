"""Pipelining (RFC 2920), and the number of round trips."""

import asyncio

from app.simulator import ExchangeLimits, Simulator
from tests.contract.simulator.client import MAILBOX, Client, content
from tests.contract.simulator.conftest import Ready, Start

ENVELOPE = f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<ada@example.net>\r\nDATA\r\n".encode()


async def submit(client: Client) -> str:
    """Send one message in two writes."""
    client.write(ENVELOPE)
    assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
    client.write(content() + b".\r\n")
    return await client.reply()


async def test_a_pipelined_message_takes_two_round_trips(sim: Simulator, ready: Ready) -> None:
    """The envelope with DATA is one write, the content another."""
    client = await ready(sim)
    for _ in range(3):
        before = sim.sessions[0].turns
        assert (await submit(client)).startswith("250 ")
        await client.command("NOOP")
        assert sim.sessions[0].turns - before == 3
    assert [seen.turns for seen in sim.messages] == [2, 2, 2]


async def test_a_message_without_pipelining_takes_four_round_trips(sim: Simulator, ready: Ready) -> None:
    """MAIL, RCPT, DATA and the content are one round trip each."""
    client = await ready(sim)
    await client.send()
    assert sim.messages[0].turns == 4


async def test_the_next_envelope_in_the_same_write_as_the_content(sim: Simulator, ready: Ready) -> None:
    """Content, final dot and the next MAIL in one write: one round trip for each message (RFC 2920 §3.1)."""
    client = await ready(sim)
    client.write(ENVELOPE)
    for _ in range(3):
        await client.reply()
    client.write(content() + b".\r\n" + ENVELOPE)
    assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    assert len(sim.accepted) == 1


async def test_replies_are_in_the_order_of_the_commands(sim: Simulator, ready: Ready) -> None:
    """Each command has its reply, also if it is refused. DATA without an accepted recipient is refused."""
    client = await ready(sim)
    client.write(f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\nRSET\r\nNOOP\r\n".encode())
    replies = [(await client.reply())[:9] for _ in range(6)]
    assert replies == ["250 2.1.0", "501 5.1.3", "501 5.1.3", "503 5.5.1", "250 2.0.0", "250 2.0.0"]


async def test_the_501st_recipient_is_refused(start: Start, ready: Ready) -> None:
    """Only this recipient is refused, with 452 4.5.3."""
    sim = await start(limits=ExchangeLimits(tarpit=0))
    client = await ready(sim)
    batch = "".join(f"RCPT TO:<r{number}@example.net>\r\n" for number in range(501))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n{batch}DATA\r\n".encode())
    replies = [await client.reply() for _ in range(503)]
    assert [reply for reply in replies if reply[:3] not in {"250", "354"}] == ["452 4.5.3 Too many recipients"]
    client.write(content() + b".\r\n")
    assert (await client.reply()).startswith("250 ")
    assert len(sim.messages[0].recipients) == 500
    assert [violation.what for violation in sim.violations] == ["recipients of one message: more than 500"]


async def test_content_byte_by_byte(sim: Simulator, ready: Ready) -> None:
    """Segment boundaries make no difference, even within CRLF.CRLF."""
    client = await ready(sim)
    await client.envelope()
    for byte in content(body="..a\r\n") + b".\r\n":
        client.write(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await client.reply()).startswith("250 ")
    assert sim.messages[0].content == content(body=".a\r\n")
