"""Fault script: frequency and conditions of faults, named faults, files."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.outcome.attempt import Phase, Reply
from app.simulator import Account, Drop, ExchangeLimits, Fault, Garbage, Point, Say, Simulator, load_faults, replies
from app.simulator.faults.fault import fault_to_json, parse_fault
from tests.contract.simulator.client import MAILBOX, PASSWORD, Client, matches, walk
from tests.contract.simulator.conftest import Ready, Start

BUSY = "451 4.3.2 Temporary server error. Please try again later"


async def struck(sim: Simulator, client: Client, fault: Fault, times: int = 10) -> list[int]:
    """Return the numbers (from 1) of the messages to which the fault at `dot` was applied."""
    sim.faults.clear()
    sim.faults.add(fault)
    outcomes = [await client.send() for _ in range(times)]
    return [number for number, reply in enumerate(outcomes, 1) if reply == BUSY]


async def test_times_at_which_a_fault_is_applied(start: Start, ready: Ready) -> None:
    """nth, every and times count how often the point was reached."""
    sim = await start(limits=ExchangeLimits(tarpit=0, messages_per_minute=1000))
    client = await ready(sim)
    always, point, say = list(range(1, 11)), Point.DOT, Say(BUSY)
    assert await struck(sim, client, Fault(point, say)) == always
    assert await struck(sim, client, Fault(point, say, nth=3)) == [3]
    assert await struck(sim, client, Fault(point, say, every=4)) == [4, 8]
    assert await struck(sim, client, Fault(point, say, nth=2, every=3)) == [2, 5, 8]
    assert await struck(sim, client, Fault(point, say, times=2)) == [1, 2]
    assert await struck(sim, client, Fault(point, say, every=2, times=2)) == [2, 4]
    assert await struck(sim, client, Fault(point, say, times=0)) == []
    assert await struck(sim, client, Fault(point, say, probability=0)) == []


async def test_chance_is_repeatable(start: Start, ready: Ready) -> None:
    """Equal seeds give equal results."""
    runs = []
    for seed in (7, 7, 8):
        sim = await start(seed=seed)
        runs.append(await struck(sim, await ready(sim), Fault(Point.DOT, Say(BUSY), probability=0.5), 20))
    assert runs[0] == runs[1] != runs[2]
    assert 0 < len(runs[0]) < 20


async def test_conditions_of_a_fault(sim: Simulator, clients: list[Client]) -> None:
    """Mailbox, sender and recipient patterns select messages; others do not count."""
    sim.accounts.add(Account("other@contoso.com", PASSWORD, send_as=("*",)))
    clients.append(one := await Client.ready(sim))
    clients.append(other := await Client.ready(sim, "other@contoso.com"))
    by_mailbox = sim.faults.add(Fault(Point.DOT, Say(BUSY), mailbox="Other@contoso.com"))
    assert (await one.send()).startswith("250 ")
    assert await other.send() == BUSY
    assert (by_mailbox.reached, by_mailbox.fired) == (1, 1)
    sim.faults.clear()
    sim.faults.add(Fault(Point.MAIL, Say(BUSY), sender="*@sales.contoso.com"))
    assert (await one.command(f"MAIL FROM:<{MAILBOX}>")).startswith("250 ")
    await one.command("RSET")
    assert await one.command("MAIL FROM:<x@Sales.contoso.com>") == BUSY
    sim.faults.clear()
    sim.faults.add(Fault(Point.RCPT, Say(BUSY), recipient="*@slow.example"))
    await one.command(f"MAIL FROM:<{MAILBOX}>")
    assert (await one.command("RCPT TO:<a@fast.example>")).startswith("250 ")
    assert await one.command("RCPT TO:<a@slow.example>") == BUSY


def test_fields_of_a_named_fault() -> None:
    """A script can give a named fault another name and another point."""
    fault = parse_fault({"named": "mailbox_full", "name": "quota", "at": "mail", "times": 2})
    assert (fault.name, fault.at, fault.times) == ("quota", Point.MAIL, 2)
    assert fault.do == Fault.named("mailbox_full").do


async def test_faults_have_names(sim: Simulator, ready: Ready) -> None:
    """Faults are removed individually."""
    client = await ready(sim)
    sim.faults.add(Fault(Point.DOT, Say(BUSY), name="busy"))
    sim.faults.add(Fault(Point.QUIT, Drop()))
    sim.faults.remove("busy")
    assert [fault.fault.at for fault in sim.faults] == [Point.QUIT]
    assert (await client.send()).startswith("250 ")


def test_every_row_is_a_reply() -> None:
    """Each named text parses as a reply whose status fits its code."""
    assert len(replies.ROWS) > 60
    for name, row in replies.ROWS.items():
        reply = Reply.of(int(row[:3]), [row[4:]])
        assert reply.code == 334 or reply.status is not None, name
        assert row.phase in Phase


AT = {Phase.GREETING, Phase.EHLO, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DOT}


@pytest.mark.parametrize("phase", sorted(AT))
async def test_named_faults_send_replies_of_exchange(sim: Simulator, phase: Phase, clients: list[Client]) -> None:
    """Each reply is sent in its phase, verbatim, with its placeholders replaced."""
    rows = {name: row for name, row in replies.ROWS.items() if row.phase is phase}
    for name, row in rows.items():
        sim.faults.clear()
        sim.faults.add(Fault.named(name, times=1))
        clients.append(client := await Client.connect(sim))
        said = await _first_error(sim, client)
        text = row.replace("{mailbox}", MAILBOX).replace("{sender}", MAILBOX)
        assert matches(text, said), (name, said)


async def _first_error(sim: Simulator, client: Client) -> str:
    """Run a session up to the first error reply and return it."""
    async for _, reply in walk(sim, client):
        if reply[0] in "45" or reply.startswith("334 ey"):
            return reply
    return ""


SCRIPT = [
    Fault(Point.DOT, Say("421 4.3.2 Service not active", close=True), nth=3),
    Fault(Point.CONTENT, Drop(), after=2000, mailbox=MAILBOX),
    Fault(Point.RCPT, Garbage(b"\x00\xff"), every=5, name="noise"),
    Fault.named("sender_quota_exceeded", times=2),
]

TOML = f"""
[[faults]]
at = "dot"
do = {{action = "say", text = "421 4.3.2 Service not active", close = true}}
nth = 3

[[faults]]
at = "content"
after = 2000
do = {{action = "drop"}}
mailbox = "{MAILBOX}"

[[faults]]
at = "rcpt"
do = {{action = "garbage", data = "\\u0000\\u00ff"}}
every = 5
name = "noise"

[[faults]]
named = "sender_quota_exceeded"
times = 2
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("script.toml", TOML),
        ("script.json", json.dumps({"faults": [fault_to_json(fault) for fault in SCRIPT]})),
        ("list.json", json.dumps([fault_to_json(fault) for fault in SCRIPT])),
    ],
)
def test_a_script_can_be_a_file(tmp_path: Path, name: str, text: str) -> None:
    """TOML and JSON give the same script."""
    (tmp_path / name).write_text(text)
    assert load_faults(tmp_path / name) == SCRIPT


@pytest.mark.parametrize(
    "row",
    [
        {"at": "nowhere", "do": {"action": "drop"}},
        {"at": "dot", "do": {"action": "explode"}},
        {"at": "dot", "do": {"action": "say", "text": "no code"}},
        {"at": "dot", "do": {"action": "kill", "pid": -1}},
        {"at": "dot", "do": {"action": "call", "function": "os.abort"}},
        {"at": "dot", "do": {"action": "drop"}, "nth": 0},
        {"at": "dot", "do": {"action": "drop"}, "when": "now"},
        {"named": "no_such_row"},
        {"named": "mailbox_full", "when": "now"},
    ],
    ids=str,
)
def test_a_wrong_script_is_refused(row: dict[str, object]) -> None:
    """An invalid script raises ValueError."""
    with pytest.raises(ValueError):
        parse_fault(row)


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 200))
def test_every_counts_from_the_nth(nth: int, every: int, count: int) -> None:
    """`nth` with `every` applies at nth, nth + every, nth + 2 every, and not between."""
    due: Iterable[int] = range(nth, 201, every)
    assert Fault(Point.DOT, Drop(), nth=nth, every=every).is_due(count) == (count in due)
