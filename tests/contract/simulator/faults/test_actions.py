"""Every action of the fault script, at the points where a relay can be hurt."""

import asyncio
import contextlib
import os
import signal
import ssl
import sys

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
from tests.contract.simulator.client import MAILBOX, Client, b64, content, expect, trusting, walk
from tests.contract.simulator.conftest import Ready, Start

BUSY = "451 4.3.2 Temporary server error. Please try again later"


async def until(sim: Simulator, client: Client, point: Point) -> str:
    """The reply at that point of a session, "" if the connection ended; the walk ends there."""
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
async def test_say_stands_in_the_place_of_the_reply(sim: Simulator, clients: list[Client], point: Point) -> None:
    """Word for word; with `close` the connection ends after it. Nothing is accepted."""
    armed = sim.faults.add(Fault(point, Say("421 4.3.2 Service not active", close=True)))
    clients.append(client := await Client.connect(sim))
    assert await until(sim, client, point) == "421 4.3.2 Service not active"
    assert await client.rest() == b""
    assert armed.fired == 1
    assert len(sim.accepted) == (1 if point is Point.QUIT else 0)


@pytest.mark.parametrize("point", [Point.CONNECT, *ANSWERED])
@pytest.mark.parametrize("action", [Drop(), Reset(), Half(0)], ids=lambda action: action.action)
async def test_the_connection_can_end_anywhere(
    sim: Simulator, clients: list[Client], point: Point, action: Drop | Reset | Half
) -> None:
    """The connection ends with FIN or RST before the command is run."""
    sim.faults.add(Fault(point, action))
    clients.append(client := await Client.connect(sim))
    end = await until(sim, client, Point.GREETING if point is Point.CONNECT else point)
    assert end in ({"", "reset"} if isinstance(action, Reset) else {""})
    assert len(sim.accepted) == (1 if point is Point.QUIT else 0)


async def test_reset_is_a_reset(sim: Simulator, clients: list[Client]) -> None:
    """Told apart from FIN where TCP is bare."""
    sim.faults.add(Fault(Point.EHLO, Reset()))
    clients.append(client := await Client.connect(sim))
    await client.reply()
    with pytest.raises(ConnectionResetError):
        await client.ask("EHLO client.example")


async def test_a_refused_command_is_not_carried_out(sim: Simulator, ready: Ready) -> None:
    """After a 4yz to MAIL there is no transaction; the session goes on."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Say(BUSY), times=1))
    assert await client.ask(f"MAIL FROM:<{MAILBOX}>") == BUSY
    assert (await client.ask("RCPT TO:<ada@example.net>")).startswith("503 ")
    assert (await client.send()).startswith("250 ")


async def test_another_positive_reply_changes_only_the_text(sim: Simulator, ready: Ready) -> None:
    """The command is carried out; many lines are framed (RFC 5321 §4.2.1)."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.RCPT, Say("251 2.1.5 User not local\nwill forward")))
    sim.faults.add(Fault(Point.DOT, Say("250 2.6.0 <1@contoso.com> Queued mail for delivery")))
    await client.ask(f"MAIL FROM:<{MAILBOX}>")
    assert await client.ask("RCPT TO:<ada@example.net>") == "251-2.1.5 User not local\n251 will forward"
    await client.ask("DATA")
    client.write(content() + b".\r\n")
    assert await client.reply() == "250 2.6.0 <1@contoso.com> Queued mail for delivery"
    assert len(sim.accepted) == 1


async def test_a_reply_lost_after_acceptance_leaves_the_message_accepted(sim: Simulator, ready: Ready) -> None:
    """The ugliest failure: counted and kept, but the 250 never leaves."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.ACCEPTED, Drop()))
    assert await client.send() == ""
    await sim.wait_for(1, 0)
    assert (sim.messages[0].accepted, sim.messages[0].reply) == (True, "")


async def test_a_delayed_acceptance_happens_even_if_the_client_has_left(start: Start, ready: Ready) -> None:
    """The whole content is there, so a slow server accepts it after the client has given up."""
    sim = await start(speed=10)
    client = await ready(sim)
    armed = sim.faults.add(Fault(Point.DOT, Delay(2)))
    await client.envelope()
    client.write(content() + b".\r\n")
    await armed.wait(5)
    await client.close()
    assert sim.accepted == []
    await sim.wait_for(1, 5)


async def test_delay_runs_on_the_clock(start: Start, ready: Ready) -> None:
    """Then all goes on as if nothing had been."""
    sim = await start(speed=100)
    client = await ready(sim)
    sim.faults.add(Fault(Point.RCPT, Delay(10)))
    began = asyncio.get_running_loop().time()
    assert (await client.send()).startswith("250 ")
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_half_a_reply(sim: Simulator, ready: Ready) -> None:
    """The first bytes of the reply, then FIN; at `accepted` the message is stored, at `dot` it is not."""
    sim.faults.add(Fault(Point.DOT, Half(10), nth=1))
    sim.faults.add(Fault(Point.ACCEPTED, Half(3)))
    assert await (await ready(sim)).send() == "250 2.0.0 "
    assert sim.accepted == []
    assert await (await ready(sim)).send() == "250"
    assert len(sim.accepted) == 1


async def test_silence_keeps_the_connection_open(sim: Simulator, ready: Ready) -> None:
    """Nothing is answered any more; the client's leaving is noticed."""
    client = await ready(sim)
    armed = sim.faults.add(Fault(Point.DATA, Silence()))
    await client.talk((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<ada@example.net>"))
    client.write(b"DATA\r\n")
    await armed.wait(5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.reader.read(1)
    client.write(b"x" * 3_000_000)
    await client.writer.drain()
    await client.close()
    while sim.sessions[0].closed_at is None:
        await asyncio.sleep(0)


async def test_garbage_and_long_lines(sim: Simulator, ready: Ready) -> None:
    """Invalid and too long replies."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Garbage(b"\x00\xff what?\r\n"), nth=1))
    sim.faults.add(Fault(Point.MAIL, LongLine(9000), nth=2))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    assert await client.reader.readexactly(10) == b"\x00\xff what?\r\n"
    line = await client.ask(f"MAIL FROM:<{MAILBOX}>")
    assert (line[:5], len(line)) == ("250 x", 9000)


async def test_an_endless_reply_is_bounded(sim: Simulator, ready: Ready) -> None:
    """Continuation lines only, so many octets, then FIN."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, Endless(1_000_000)))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    octets = await client.rest()
    assert len(octets) == 1_000_000
    assert {line[:4] for line in octets.split(b"\r\n")[:-1]} == {b"250-"}


async def test_a_slow_reader_is_felt(start: Start, ready: Ready) -> None:
    """The content takes as long as its size at that rate, on the clock."""
    sim = await start(speed=10)
    client = await ready(sim)
    sim.faults.add(Fault(Point.DATA, SlowRead(400_000)))
    began = asyncio.get_running_loop().time()
    assert (await client.send(content(body="x" * 2_000_000 + "\r\n"))).startswith("250 ")
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_deaf_reader_blocks_the_client(sim: Simulator, ready: Ready) -> None:
    """With a rate of 0 the client's writes block."""
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
    """Replies come octet by octet."""
    sim = await start(speed=100)
    client = await ready(sim)
    sim.faults.add(Fault(Point.MAIL, SlowWrite(10)))
    client.write(f"MAIL FROM:<{MAILBOX}>\r\n".encode())
    assert await client.reader.read(100) == b"2"
    assert await client.reply() == "50 2.1.0 Sender OK"


@pytest.mark.parametrize("action", [Drop(), Say("421 4.3.2 Service not active", close=True)])
async def test_the_upload_can_be_broken_off(sim: Simulator, ready: Ready, action: Drop | Say) -> None:
    """After so many octets of content, however long it is; short content does not reach the point."""
    armed = sim.faults.add(Fault(Point.CONTENT, action, after=5000))
    client = await ready(sim)
    assert (await client.send()).startswith("250 ")
    assert armed.reached == 0
    await client.envelope()
    client.write(content(body="x" * 10_000))
    said = await client.rest()
    assert said == (b"" if isinstance(action, Drop) else b"421 4.3.2 Service not active\r\n")
    assert (armed.fired, len(sim.messages)) == (1, 1)


async def test_a_reply_within_the_content_ends_the_message(sim: Simulator, ready: Ready) -> None:
    """The rest of the content is discarded without a second reply."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.CONTENT, Say("552 5.3.4 Message size exceeds fixed maximum message size"), times=1))
    await client.envelope()
    assert (await client.reply()).startswith("552 ")
    client.write(content() + b".\r\n")
    assert await client.ask("NOOP") == "250 2.0.0 OK"
    assert (await client.send()).startswith("250 ")
    assert len(sim.messages) == 1


async def test_an_idle_session_can_be_closed(start: Start, ready: Ready) -> None:
    """After so many seconds of the clock without a command, no transaction open: as a stale pooled connection is."""
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
    """In the middle of TLS, when the client has begun it."""
    sim.faults.add(Fault(Point.TLS, action))
    clients.append(client := await Client.greeted(sim))
    await client.ask("STARTTLS")
    with pytest.raises(error):
        await client.start_tls(trusting(sim))


async def test_a_handshake_can_be_slow(sim: Simulator, clients: list[Client]) -> None:
    """A delay there is no harm."""
    sim.faults.add(Fault(Point.TLS, Delay(3)))
    clients.append(await Client.ready(sim))


async def test_every_reply_is_a_point(sim: Simulator, ready: Ready) -> None:
    """`reply` strikes before any reply, after its command was carried out."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.REPLY, Drop(), nth=4))
    assert await client.send() == ""
    assert len(sim.accepted) == 1


async def test_a_process_can_be_killed_at_a_point(sim: Simulator, ready: Ready) -> None:
    """SIGKILL when the content is there; the message is accepted nevertheless."""
    client = await ready(sim)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    sim.faults.add(Fault(Point.DOT, Kill(process.pid)))
    assert (await client.send()).startswith("250 ")
    assert await process.wait() == -signal.SIGKILL


async def test_a_kill_before_acceptance_loses_the_message(sim: Simulator, ready: Ready) -> None:
    """Two faults at one point: the first goes on, the second ends it."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.DOT, Kill(os.getpid(), signal.SIGCONT)))
    sim.faults.add(Fault(Point.DOT, Drop()))
    assert await client.send() == ""
    assert [seen.accepted for seen in sim.messages] == [False]


async def test_a_function_can_be_called_at_a_point(sim: Simulator, ready: Ready) -> None:
    """The function receives the FaultContext."""
    met: list[FaultContext] = []

    async def note(moment: FaultContext) -> None:
        met.append(moment)

    client = await ready(sim)
    sim.faults.add(Fault(Point.DOT, Call(note)))
    assert (await client.send()).startswith("250 ")
    (moment,) = met
    assert (moment.point, moment.mailbox, moment.sender) == ("dot", MAILBOX, MAILBOX)
    assert moment.recipients == ("ada@example.net",)


async def test_a_gmail_style_detail_is_followed_by_the_refusal(sim: Simulator, clients: list[Client]) -> None:
    """334 with the detail, an empty line, then 535."""
    sim.faults.add(Fault.named("gmail_style_challenge"))
    clients.append(client := await Client.secured(sim))
    assert (await client.ask(f"AUTH XOAUTH2 {b64('x')}")).startswith("334 ey")
    expect("535 5.7.3 Authentication unsuccessful [{frontend}]", await client.ask(""))
