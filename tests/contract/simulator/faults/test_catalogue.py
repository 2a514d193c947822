"""Catalogue of ready faults: each does what its two sentences say, to a Postern in front of the simulator."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest

from app.mail.mailbox_health import Health
from app.simulator import Drop, ExchangeLimits, Fault, Point, Simulator, find_faults
from app.simulator.faults.catalogue import CATALOGUE
from app.simulator.faults.fault import parse_fault
from app.simulator.protocol.replies import ROWS
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, Harness, open_harness, settings_for
from tests.waiting import until

FREE = ExchangeLimits(messages_per_minute=100_000, idle=1e9, session=1e9, tarpit=0)
REPLY = re.compile(r"\b[45]\d\d [45]\.\d+\.\d+")
SMTP_TIMEOUT = 1200.0  # seconds of the loop: longer than the 10 minutes after the content of RFC 5321 §4.5.3.2.6
Check = Callable[[Harness], Awaitable[None]]


async def held(harness: Harness) -> None:
    """The mailbox is held, and the email waits."""
    id = await harness.post()
    await harness.until_health("held")
    await harness.until(id, "queued")
    assert harness.simulator.accepted == []


async def paused(harness: Harness) -> None:
    """The mailbox pauses; the refused email waits, and is sent once the fault is over."""
    id = await harness.post()
    await until(lambda: harness.mailbox.condition.health is Health.PAUSED)
    assert (await harness.until(id, "queued"))["relay"]["attempts"] != []
    assert harness.simulator.accepted == []
    harness.simulator.faults.clear()
    assert (await harness.until(id, "done"))["last_event"] == "sent"


async def sent_later(harness: Harness) -> None:
    """It is sent, not by the first attempt or login, and arrives once."""
    email = await harness.until(await harness.post(), "done")
    assert email["last_event"] == "sent"
    [fault] = harness.simulator.faults
    assert fault.fired == fault.fault.times
    assert len(harness.simulator.accepted) == 1


async def sent_again(harness: Harness) -> None:
    """Two attempts, the first one with an unknown outcome."""
    id = await harness.post()
    await until(lambda: len(harness.simulator.sessions) == 2, SMTP_TIMEOUT)
    email = await harness.until(id, "done")
    assert email["last_event"] == "sent"
    assert [attempt["in_doubt"] for attempt in email["relay"]["attempts"]] == [True, False]
    assert email["relay"]["possible_duplicate"]


async def twice(harness: Harness) -> None:
    """The message was accepted by both attempts."""
    await sent_again(harness)
    first, second = harness.simulator.accepted
    assert first.content == second.content


async def failed(harness: Harness) -> None:
    """One attempt, for a permanent reason."""
    email = await harness.until(await harness.post(), "done", "failed")
    assert (email["last_event"], len(email["relay"]["attempts"])) == ("failed", 1)
    assert harness.simulator.accepted == []


async def failed_for_one(harness: Harness) -> None:
    """The other recipient receives it."""
    email = await harness.until(await harness.post(to=["nobody@example.net", "ada@example.net"]), "done", "failed")
    assert [one["state"] for one in email["relay"]["recipients"]] == ["failed", "relayed"]
    [message] = harness.simulator.accepted
    assert message.recipients == ("ada@example.net",)


async def slower(harness: Harness) -> None:
    """One attempt, which takes more than five seconds of the clock."""
    email = await harness.until(await harness.post(), "done")
    assert email["last_event"] == "sent"
    [attempt] = email["relay"]["attempts"]
    started, ended = (datetime.fromisoformat(attempt[name]) for name in ("started_at", "ended_at"))
    assert (ended - started).total_seconds() > 5


async def reconnects(harness: Harness) -> None:
    """Both emails are sent, over two connections."""
    for count in (1, 2):
        assert (await harness.until(await harness.post(), "done"))["last_event"] == "sent"
        await until(lambda: all(one.closed_at is not None for one in harness.simulator.sessions))
        assert len(harness.simulator.sessions) == count
    assert len(harness.simulator.accepted) == 2


CHECKS: dict[str, Check] = {
    "The mailbox is held, its emails wait.": held,
    "The mailbox pauses, its emails wait.": paused,
    "The mailbox pauses, then the email is sent.": sent_later,
    "The email is sent by a later attempt.": sent_later,
    "The email is sent by the next attempt.": sent_later,
    "The email fails.": failed,
    "The email fails for this recipient alone.": failed_for_one,
    "The email is sent once more, as `on_unknown` says, and arrives twice.": twice,
    "The attempt times out; the email is sent once more, as `on_unknown` says.": sent_again,
    "The email is sent, and takes longer.": slower,
    "Emails are sent; the next one needs a new connection.": reconnects,
}


@pytest.mark.parametrize("name", CATALOGUE)
@autojump
async def test_a_ready_fault_does_what_its_sentences_say(tmp_path: Path, name: str) -> None:
    """The result for an email; where the server's sentence quotes a reply, that reply was sent."""
    clock = LoopClock(speed=600.0)
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE, faults=find_faults(name)) as simulator:
        settings = settings_for(simulator, tmp_path, messages_per_minute=100_000)
        async with open_harness(simulator, settings, clock) as harness:
            await CHECKS[CATALOGUE[name].result](harness)
        replies = [reply for session in simulator.sessions for reply in session.replies]
    for quoted in REPLY.findall(CATALOGUE[name].server):
        assert any(reply.startswith(quoted) for reply in replies), replies


def test_names_of_ready_faults() -> None:
    """There are twenty and more; none has the name of a reply, and conditions are added to them."""
    assert len(CATALOGUE) >= 20
    assert not CATALOGUE.keys() & ROWS.keys()
    fault = parse_fault({"named": "lost_reply", "times": 3, "mailbox": "noreply@contoso.com"})
    assert (fault.name, fault.at, fault.do) == ("lost_reply", Point.ACCEPTED, Drop())
    assert (fault.times, fault.mailbox) == (3, "noreply@contoso.com")
    assert Fault.named("quota", times=1).do == Fault.named("sender_quota_exceeded").do


def test_a_name_that_no_fault_has(tmp_path: Path) -> None:
    """The error lists the ready ones; a file is read."""
    with pytest.raises(ValueError, match=r"neither a file nor a ready fault.*lost_reply"):
        find_faults("lost_replay")
    (tmp_path / "faults.json").write_text('[{"named": "quota"}]', "utf-8")
    assert find_faults(str(tmp_path / "faults.json")) == find_faults("quota")
