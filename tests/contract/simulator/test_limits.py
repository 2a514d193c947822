"""Limits: an excess has the reply of Exchange and is recorded as a violation."""

import contextlib

import pytest

from app.simulator import Account, ExchangeLimits, OverMinute, Simulator
from app.simulator.limits import UsageTracker
from tests.contract.simulator.client import MAILBOX, PASSWORD, Client, content, expect
from tests.contract.simulator.conftest import Ready, Start
from tests.waiting import until

CONCURRENT = (
    "432 4.3.2 Concurrent connections limit exceeded. "
    "Visit https://aka.ms/concurrent_sending for more information. [Hostname={backend}]"
)
QUOTA = (
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a "
    "permanent exception with message The message can't be submitted because the sender's submission quota was "
    "exceeded. [Hostname={backend}]"
)


async def finish(client: Client) -> str:
    """Send the content of an open transaction and return the reply."""
    client.write(content() + b".\r\n")
    return await client.reply()


async def test_a_fourth_submission_at_once_is_refused_after_its_content(sim: Simulator, ready: Ready) -> None:
    """Only transactions count, not connections. The refusal is sent after the content."""
    clients = [await ready(sim) for _ in range(4)]
    for client in clients:
        await client.envelope()
    expect(CONCURRENT, await finish(clients[3]))
    assert [(await finish(client))[:3] for client in clients[:3]] == ["250", "250", "250"]
    ((_, mailbox, what),) = sim.violations
    assert (mailbox, what) == (MAILBOX, "connections sending: more than 3")
    assert (await clients[3].send()).startswith("250 ")


@pytest.mark.parametrize("end", ["reply", "rset", "ehlo", "abort", "refused"])
async def test_a_slot_is_free_when_its_submission_ends(start: Start, ready: Ready, end: str) -> None:
    """A reply, RSET, EHLO, a lost connection or a refusal frees the slot."""
    sim = await start(limits=ExchangeLimits(tarpit=0, connections_sending=1))
    first, second = await ready(sim), await ready(sim)
    match end:
        case "reply":
            await first.send()
        case "refused":
            await first.send(content(sender="ceo@contoso.com"))
        case "abort":
            await first.envelope()
            first.write(b"From")
            await first.close()
            await until(lambda: sim.sessions[0].closed_at is not None)
        case verb:
            await first.commands((f"MAIL FROM:<{MAILBOX}>", "EHLO client.example" if verb == "ehlo" else "RSET"))
    assert (await second.send()).startswith("250 ")
    assert sim.violations == []


async def test_slots_linger(start: Start, ready: Ready) -> None:
    """With `slot_linger`, a slot is free some time after its transaction."""
    sim = await start(limits=ExchangeLimits(tarpit=0, connections_sending=1, slot_linger=3600), speed=1)
    client = await ready(sim)
    assert (await client.send()).startswith("250 ")
    expect(CONCURRENT, await client.send())


async def test_slots_are_counted_by_mailbox(start: Start, ready: Ready, clients: list[Client]) -> None:
    """Each mailbox has its own slots."""
    sim = await start(limits=ExchangeLimits(tarpit=0, connections_sending=1))
    sim.accounts.add(Account("other@contoso.com", PASSWORD))
    await (await ready(sim)).envelope()
    clients.append(other := await Client.ready(sim, "other@contoso.com"))
    assert (await other.send(content(sender="other@contoso.com"), "other@contoso.com")).startswith("250 ")


async def test_the_31st_message_in_a_minute_is_recorded(start: Start, ready: Ready) -> None:
    """By default the message is accepted: Microsoft's documentation is inconsistent."""
    sim = await start(speed=1)
    client = await ready(sim)
    for _ in range(31):
        assert (await client.send()).startswith("250 ")
    ((_, _, what),) = sim.violations
    assert what == "messages in 60 s: more than 30"


def test_the_minute_and_the_day_slide() -> None:
    """Each message counts for 60 s, each recipient for 24 h, from its own acceptance on."""
    books = UsageTracker(ExchangeLimits(messages_per_minute=2, recipients_per_day=10))
    books.count(MAILBOX, 4, 0.0)
    books.count(MAILBOX, 6, 20.0)
    assert books.minute_free_at(MAILBOX, 30.0) == 60.0
    assert books.minute_free_at(MAILBOX, 60.0) == 60.0
    books.count(MAILBOX, 0, 60.0)
    assert books.minute_free_at(MAILBOX, 61.0) == 80.0
    assert not books.has_day_capacity(MAILBOX, 1, 86_399.0)
    assert books.has_day_capacity(MAILBOX, 4, 86_400.0)
    assert not books.has_day_capacity(MAILBOX, 5, 86_400.0)
    assert books.has_day_capacity("other@contoso.com", 10, 30.0)


async def test_the_minute_can_refuse(start: Start, ready: Ready) -> None:
    """The reply is 432 with the text about sender threads."""
    sim = await start(limits=ExchangeLimits(tarpit=0, messages_per_minute=1, over_minute=OverMinute.REFUSE))
    client = await ready(sim)
    await client.send()
    assert (await client.send()).startswith("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded")
    assert [seen.accepted for seen in sim.messages] == [True, False]


async def test_the_minute_can_slow_down(start: Start, ready: Ready) -> None:
    """The message is accepted when the window has capacity."""
    limits = ExchangeLimits(tarpit=0, messages_per_minute=2, minute=600, over_minute=OverMinute.DELAY)
    sim = await start(speed=1000, limits=limits)
    client = await ready(sim)
    for _ in range(3):
        assert (await client.send()).startswith("250 ")
    assert len(sim.violations) == 1
    assert sim.clock.now() - sim.messages[0].at >= 600


async def test_the_day_counts_accepted_recipients(start: Start, ready: Ready) -> None:
    """Above the limit the reply is 554 SubmissionQuotaExceededException; refused messages do not count."""
    sim = await start(limits=ExchangeLimits(tarpit=0, recipients_per_day=2))
    client = await ready(sim)
    assert (await client.send(content(sender="ceo@contoso.com"))).startswith("554 5.2.252")
    assert (await client.send()).startswith("250 ")
    assert (await client.send()).startswith("250 ")
    expect(QUOTA, await client.send())
    assert [violation.what for violation in sim.violations] == ["recipients in 24 hours: more than 2"]


async def test_an_idle_session_ends(start: Start, clients: list[Client]) -> None:
    """After the idle timeout of the simulator's clock, the server sends 421 and closes the connection."""
    sim = await start(speed=3000, limits=ExchangeLimits(tarpit=0))
    clients.append(client := await Client.connect(sim))
    await client.reply()
    assert await client.rest() == b"421 4.4.1 Connection timed out\r\n"
    assert sim.sessions[0].closed_at is not None
    assert sim.sessions[0].closed_at - sim.sessions[0].opened_at >= 300


async def test_a_session_ends_at_its_maximum_age(start: Start, clients: list[Client]) -> None:
    """After ten minutes the session ends with 421, even if it is busy."""
    sim = await start(speed=1200, limits=ExchangeLimits(tarpit=0, idle=1e9))
    clients.append(client := await Client.connect(sim))
    await client.reply()
    last = "250 2.0.0 OK"
    with contextlib.suppress(ConnectionError):
        while last == "250 2.0.0 OK":
            last = await client.command("NOOP")
    assert last.startswith("421 4.4.1 Connection timed out")


async def test_an_idle_session_within_content_ends_too(start: Start, ready: Ready) -> None:
    """A session that is idle within the content ends, and the message is not accepted."""
    sim = await start(speed=1500, limits=ExchangeLimits(tarpit=0, session=1e9))
    client = await ready(sim)
    await client.envelope()
    client.write(b"From: ")
    assert (await client.reply()).startswith("421 4.4.1 Connection timed out")
    assert sim.messages == []


async def test_an_endless_line_ends_a_session(sim: Simulator, clients: list[Client]) -> None:
    """A line without an end closes the connection at MAX_LINE_BYTES."""
    clients.append(client := await Client.connect(sim))
    await client.reply()
    client.write(b"N" * 20_000)
    assert await client.rest() == b"500 5.5.2 Line too long\r\n"
