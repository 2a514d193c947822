"""Actions of faults at the points of a session."""

import asyncio
import contextlib
import os
import signal
import ssl

import pytest

from app.simulator import (
    Call,
    Delay,
    Drop,
    Endless,
    Fault,
    FaultContext,
    Garbage,
    Half,
    Kill,
    LongLine,
    Point,
    Reset,
    Say,
    Silence,
    Simulator,
    SlowRead,
    SlowWrite,
    replies,
)
from tests.contract.simulator.client import MAILBOX, Client, b64, content, expect, verifying_context, walk
from tests.contract.simulator.conftest import Ready, Start
from tests.waiting import WAIT_TIMEOUT, until

BUSY = "451 4.3.2 Temporary server error. Please try again later"


async def run_until(sim: Simulator, client: Client, point: Point) -> str:
    """Run a session up to the point and return the reply there, "" if the connection ended."""
    with contextlib.suppress(ConnectionResetError):
        async for reached, reply in walk(sim, client):
            if reached is point or reply == "":
                return reply
    return "reset"


ANSWERED = [
    Point.GREETING,
    Point.EHLO,
    Point.STARTTLS,
    Point.AUTH,
    Point.MAIL,
    Point.RCPT,
    Point.DATA,
    Point.DOT,
    Point.QUIT,
]


@pytest.mark.parametrize("point", ANSWERED)
async def test_say_replaces_the_reply(sim: Simulator, clients: list[Client], point: Point) -> None:
    """The text is sent verbatim; with `close` the connection ends after it. No message is accepted."""
    fault = sim.faults.add(Fault(point, Say("421 4.3.2 Service not active", close=True)))
    clients.append(client := await Client.connect(sim))
    assert await run_until(sim, client, point) == "421 4.3.2 Service not active"
    assert await client.rest() == b""
    assert fault.fired == 1
    assert len(sim.accepted) == (1 if point is Point.QUIT else 0)


@pytest.mark.parametrize("point", [Point.CONNECT, *ANSWERED])
@pytest.mark.parametrize("action", [Drop(), Reset(), Half(0)], ids=lambda action: action.action)
async def test_the_connection_can_end_anywhere(
    sim: Simulator, clients: list[Client], point: Point, action: Drop | Reset | Half
) -> None:
    """The connection ends with FIN or RST before the command is handled."""
    sim.faults.add(Fault(point, action))
    clients.append(client := await Client.connect(sim))
    end = await run_until(sim, client, Point.GREETING if point is Point.CONNECT else point)
    assert end in ({"", "reset"} if isinstance(action, Reset) else {""})
    assert len(sim.accepted) == (1 if point is Point.QUIT else 0)


async def test_reset_is_a_reset(sim: Simulator, clients: list[Client]) -> None:
    """Without TLS, the client sees RST, not FIN."""
    sim.faults.add(Fault(Point.EHLO, Reset()))
    clients.append(client := await Client.connect(sim))
    await client.reply()
    with pytest.raises(ConnectionResetError):
        await client.command("EHLO client.example")


async def test_a_refused_command_is_not_executed(sim: Simulator, ready: Ready) -> None:
    """After a 4yz to MAIL there is no transaction, and the session continues."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Say(BUSY), times=1))
    assert await client.command(f"MAIL FROM:<{MAILBOX}>") == BUSY
    assert (await client.command("RCPT TO:<ada@example.net>")).startswith("503 ")
    assert (await client.send()).startswith("250 ")


async def test_another_positive_reply_changes_only_the_text(sim: Simulator, ready: Ready) -> None:
    """The command is executed. A text of several lines becomes a multiline reply (RFC 5321 §4.2.1)."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.RCPT, Say("251 2.1.5 User not local\nwill forward")))
    sim.faults.add(Fault(Point.DOT, Say("250 2.6.0 <1@contoso.com> Queued mail for delivery")))
    await client.command(f"MAIL FROM:<{MAILBOX}>")
    assert await client.command("RCPT TO:<ada@example.net>") == "251-2.1.5 User not local\n251 will forward"
    await client.command("DATA")
    client.write(content() + b".\r\n")
    assert await client.reply() == "250 2.6.0 <1@contoso.com> Queued mail for delivery"
    assert len(sim.accepted) == 1


async def test_a_reply_lost_after_acceptance_leaves_the_message_accepted(sim: Simulator, ready: Ready) -> None:
    """The message is counted and recorded, but the 250 is not sent."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.ACCEPTED, Drop()))
    assert await client.send() == ""
    await sim.wait_for(1, 0)
    assert (sim.messages[0].accepted, sim.messages[0].reply) == (True, "")


async def test_a_delayed_acceptance_after_the_client_has_disconnected(start: Start, ready: Ready) -> None:
    """A slow server accepts the complete content after the client has closed the connection."""
    sim = await start(speed=10)
    client = await ready(sim)
    fault = sim.faults.add(Fault(Point.DOT, Delay(2)))
    await client.envelope()
    client.write(content() + b".\r\n")
    await fault.wait(WAIT_TIMEOUT)
    await client.close()
    assert sim.accepted == []
    await sim.wait_for(1, WAIT_TIMEOUT)


async def test_delay_runs_on_the_clock(start: Start, ready: Ready) -> None:
    """After the delay the session continues unchanged."""
    sim = await start(speed=100)
    client = await ready(sim)
    sim.faults.add(Fault(Point.RCPT, Delay(10)))
    began = asyncio.get_running_loop().time()
    assert (await client.send()).startswith("250 ")
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_half_a_reply(sim: Simulator, ready: Ready) -> None:
    """The first bytes of the reply are sent, then FIN. At `accepted` the message is accepted, at `dot` it is not."""
    sim.faults.add(Fault(Point.DOT, Half(10), nth=1))
    sim.faults.add(Fault(Point.ACCEPTED, Half(3)))
    assert await (await ready(sim)).send() == "250 2.0.0 "
    assert sim.accepted == []
    assert await (await ready(sim)).send() == "250"
    assert len(sim.accepted) == 1


async def test_silence_keeps_the_connection_open(sim: Simulator, ready: Ready) -> None:
    """No further reply is sent. The end of the connection is detected."""
    client = await ready(sim)
    fault = sim.faults.add(Fault(Point.DATA, Silence()))
    await client.commands((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<ada@example.net>"))
    client.write(b"DATA\r\n")
    await fault.wait(WAIT_TIMEOUT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.reader.read(1)
    client.write(b"x" * 3_000_000)
    await client.writer.drain()
    await client.close()
    await until(lambda: sim.sessions[0].closed_at is not None)


async def test_garbage_and_long_lines(sim: Simulator, ready: Ready) -> None:
    """Invalid replies and replies that are too long are sent unchanged."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Garbage(b"\x00\xff what?\r\n"), nth=1))
    sim.faults.add(Fault(Point.MAIL, LongLine(9000), nth=2))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    assert await client.reader.readexactly(10) == b"\x00\xff what?\r\n"
    line = await client.command(f"MAIL FROM:<{MAILBOX}>")
    assert (line[:5], len(line)) == ("250 x", 9000)


async def test_an_endless_reply_is_bounded(sim: Simulator, ready: Ready) -> None:
    """Continuation lines up to the given number of bytes are sent, then FIN."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Endless(1_000_000)))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    data = await client.rest()
    assert len(data) == 1_000_000
    assert {line[:4] for line in data.split(b"\r\n")[:-1]} == {b"250-"}


async def test_a_slow_reader(start: Start, ready: Ready) -> None:
    """Reading the content takes its size divided by the rate, in seconds of the clock."""
    sim = await start(speed=10)
    client = await ready(sim)
    sim.faults.add(Fault(Point.DATA, SlowRead(400_000)))
    began = asyncio.get_running_loop().time()
    assert (await client.send(content(body="x" * 2_000_000 + "\r\n"))).startswith("250 ")
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_reader_that_stops_blocks_the_client(sim: Simulator, ready: Ready) -> None:
    """At a rate of 0 the client's writes block."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.CONTENT, SlowRead(0), after=1000))
    await client.envelope()
    written = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while written < 200_000_000:
                client.write(b"x" * 60_000)
                await client.writer.drain()
                written += 60_000
    assert written < 50_000_000


async def test_a_slow_writer(start: Start, ready: Ready) -> None:
    """Replies are sent byte by byte."""
    sim = await start(speed=100)
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, SlowWrite(10)))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    assert await client.reader.read(100) == b"2"
    assert await client.reply() == "50 2.1.0 Sender OK"


@pytest.mark.parametrize("action", [Drop(), Say("421 4.3.2 Service not active", close=True)])
async def test_the_upload_can_be_interrupted(sim: Simulator, ready: Ready, action: Drop | Say) -> None:
    """The fault is applied after `after` bytes of content. Shorter content does not reach the point."""
    fault = sim.faults.add(Fault(Point.CONTENT, action, after=5000))
    client = await ready(sim)
    assert (await client.send()).startswith("250 ")
    assert fault.reached == 0
    await client.envelope()
    client.write(content(body="x" * 10_000))
    said = await client.rest()
    assert said == (b"" if isinstance(action, Drop) else b"421 4.3.2 Service not active\r\n")
    assert (fault.fired, len(sim.messages)) == (1, 1)


async def test_a_reply_within_the_content_ends_the_message(sim: Simulator, ready: Ready) -> None:
    """The rest of the content is discarded without a second reply."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.CONTENT, Say("552 5.3.4 Message size exceeds fixed maximum message size"), times=1))
    await client.envelope()
    assert (await client.reply()).startswith("552 ")
    client.write(content() + b".\r\n")
    assert await client.command("NOOP") == "250 2.0.0 OK"
    assert (await client.send()).startswith("250 ")
    assert len(sim.messages) == 1


async def test_an_idle_session_can_be_closed(start: Start, ready: Ready) -> None:
    """The fault is applied after `after` seconds without a command, outside a transaction."""
    sim = await start(speed=100)
    client = await ready(sim)
    sim.faults.add(Fault(Point.IDLE, Say(replies.CONNECTION_TIMED_OUT, close=True), after=30, mailbox=MAILBOX))
    assert (await client.send()).startswith("250 ")
    began = asyncio.get_running_loop().time()
    assert await client.reply() == "421 4.4.1 Connection timed out"
    assert asyncio.get_running_loop().time() - began >= 0.25
    assert await client.rest() == b""


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Drop(), ConnectionResetError),
        (Reset(), ConnectionResetError),
        (Garbage(b"no TLS here\r\n"), ssl.SSLError),
        (Say("454 4.7.0 no", close=True), ssl.SSLError),
    ],
    ids=["drop", "reset", "garbage", "say"],
)
async def test_the_handshake_can_fail(
    sim: Simulator, clients: list[Client], action: Drop | Reset | Garbage | Say, error: type[OSError]
) -> None:
    """The connection fails after the ClientHello."""
    sim.faults.add(Fault(Point.TLS, action))
    clients.append(client := await Client.greeted(sim))
    await client.command("STARTTLS")
    with pytest.raises(error):
        await client.start_tls(verifying_context(sim))


async def test_a_handshake_can_be_slow(sim: Simulator, clients: list[Client]) -> None:
    """A delay before the handshake does not break it."""
    sim.faults.add(Fault(Point.TLS, Delay(3)))
    began = sim.clock.now()
    clients.append(await Client.ready(sim))
    assert sim.clock.now() - began >= 3
    assert [(session.tls, session.mailbox) for session in sim.sessions] == [("TLSv1.3", MAILBOX)]


async def test_every_reply_is_a_point(sim: Simulator, ready: Ready) -> None:
    """A fault at `reply` is applied before every reply, after the command was handled."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.REPLY, Drop(), nth=4))
    assert await client.send() == ""
    assert len(sim.accepted) == 1


async def test_a_process_can_be_killed_at_a_point(sim: Simulator, ready: Ready) -> None:
    """A process is killed when the content is complete. The message is still accepted."""
    client = await ready(sim)
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    sim.faults.add(Fault(Point.DOT, Kill(process.pid)))
    assert (await client.send()).startswith("250 ")
    assert await process.wait() == -signal.SIGKILL


async def test_a_kill_before_acceptance_loses_the_message(sim: Simulator, ready: Ready) -> None:
    """Of two faults at one point, the first continues and the second closes the connection."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.DOT, Kill(os.getpid(), signal.SIGCONT)))
    sim.faults.add(Fault(Point.DOT, Drop()))
    assert await client.send() == ""
    assert [seen.accepted for seen in sim.messages] == [False]


async def test_a_function_can_be_called_at_a_point(sim: Simulator, ready: Ready) -> None:
    """The function receives the FaultContext."""
    met: list[FaultContext] = []

    async def note(context: FaultContext) -> None:
        met.append(context)

    client = await ready(sim)
    sim.faults.add(Fault(Point.DOT, Call(note)))
    assert (await client.send()).startswith("250 ")
    (context,) = met
    assert (context.point, context.mailbox, context.sender) == ("dot", MAILBOX, MAILBOX)
    assert context.recipients == ("ada@example.net",)


async def test_a_gmail_style_detail_is_followed_by_the_refusal(sim: Simulator, clients: list[Client]) -> None:
    """The server sends 334 with details, reads an empty line, and replies 535."""
    sim.faults.add(Fault.named("gmail_style_challenge"))
    clients.append(client := await Client.secured(sim))
    assert (await client.command(f"AUTH XOAUTH2 {b64('x')}")).startswith("334 ey")
    expect("535 5.7.3 Authentication unsuccessful [{frontend}]", await client.command(""))
