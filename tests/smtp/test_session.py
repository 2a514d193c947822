"""Mail transaction against the simulator: each phase refused and disconnected, with and without PIPELINING."""

from itertools import product

import pytest

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import Drop, Fault, Garbage, Half, Point, Reset, Say, ServerProfile, Silence, SlowWrite
from app.smtp.failure import SessionError
from tests.smtp.conftest import CONTENT, ENVELOPE, HEADER, MAILBOX, Connections, allow_dot, short_timeout

IN_STEP = ServerProfile(pipelining=False)
PROFILES = {"pipelined": ServerProfile(), "in step": IN_STEP}
PHASES = {Point.MAIL: Phase.MAIL, Point.RCPT: Phase.RCPT, Point.DATA: Phase.DATA, Point.DOT: Phase.DOT}
REPLIES = ["421 4.3.2 Service not active", "451 4.3.2 Temporary server error", "554 5.2.0 STOREDRV.Submission"]
NO_REPLY: dict[str, tuple[Drop | Reset | Half | Silence | SlowWrite | Garbage, FailureKind]] = {
    "closed": (Drop(), FailureKind.CLOSED),
    "reset": (Reset(), FailureKind.CLOSED),
    "half": (Half(5), FailureKind.CLOSED),
    "silent": (Silence(), FailureKind.TIMEOUT),
    "an octet at a time": (SlowWrite(10), FailureKind.TIMEOUT),  # each byte is in time, the reply is not
    "garbage": (Garbage(b"what is this?\r\n"), FailureKind.PROTOCOL),
    "out of turn": (Garbage(b"334 VXNlcm5hbWU6\r\n"), FailureKind.PROTOCOL),
}


async def test_two_round_trips_for_each_message(connections: Connections) -> None:
    """MAIL, RCPT and DATA in one write, content and dot in another."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    before = simulator.sessions[0].turns
    for _ in range(3):
        attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
        assert attempt.phase is Phase.DOT
        assert attempt.reply is not None
        assert attempt.reply.positive
        assert session.reusable
    assert [message.turns for message in simulator.messages] == [2, 2, 2]
    assert simulator.sessions[0].turns - before == 6
    assert session.transaction_count == 3
    assert session.reused


async def test_quit_ends_the_session(connections: Connections) -> None:
    """The server reads QUIT; nothing can be sent afterwards."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    await session.quit()
    assert simulator.sessions[0].commands[-1] == "QUIT"
    assert not session.reusable
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, CONTENT, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CLOSED)


@pytest.mark.parametrize(("profile", "point", "reply"), [*product(PROFILES, PHASES, REPLIES)])
async def test_a_refusal_is_a_value(connections: Connections, profile: str, point: Point, reply: str) -> None:
    """The attempt has the phase; the session is not reusable and QUIT is sent unless the server closes."""
    simulator = await connections.simulator(profile=PROFILES[profile])
    simulator.faults.add(Fault(point, Say(reply)))
    session = await connections.logged_in(simulator)
    attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
    assert (attempt.phase, str(attempt.reply)) == (PHASES[point], reply)
    refused_recipient = point is Point.RCPT and not reply.startswith("421")
    assert list(attempt.refused) == (["ada@example.net"] if refused_recipient else [])
    assert reply in [line.text for line in attempt.dialogue[-2:]]
    assert not session.reusable
    await session.quit()
    assert (simulator.sessions[0].commands[-1] == "QUIT") is not reply.startswith("421")
    assert simulator.accepted == []


@pytest.mark.parametrize(("profile", "point", "name"), [*product(PROFILES, PHASES, NO_REPLY)])
async def test_the_absence_of_a_reply_is_a_failure(
    connections: Connections, profile: str, point: Point, name: str
) -> None:
    """The error has phase and kind; only DOT is in doubt."""
    action, kind = NO_REPLY[name]
    simulator = await connections.simulator(profile=PROFILES[profile])
    simulator.faults.add(Fault(point, action))
    session = await connections.logged_in(simulator, short_timeout(PHASES[point]))
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, CONTENT, allow_dot)
    failure = caught.value.failure
    assert failure.kind is kind
    # A reset may overtake the replies to what was sent before it in the same batch.
    overtaken = name == "reset" and profile == "pipelined" and failure.phase in (Phase.MAIL, Phase.RCPT)
    assert failure.phase is PHASES[point] or (overtaken and point is not Point.DOT)
    assert failure.in_doubt is (point is Point.DOT)
    assert failure.detail.endswith(".")
    assert caught.value.dialogue[-1].text
    assert not session.open


async def test_a_lost_reply_to_an_accepted_message_is_in_doubt(connections: Connections) -> None:
    """The server has it, which the client cannot know."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.ACCEPTED, Drop()))
    session = await connections.logged_in(simulator)
    with pytest.raises(SessionError) as caught:
        await session.send(ENVELOPE, CONTENT, allow_dot)
    assert caught.value.failure.in_doubt
    assert len(simulator.accepted) == 1


@pytest.mark.parametrize("profile", PROFILES)
async def test_each_recipient_has_its_own_reply(connections: Connections, profile: str) -> None:
    """Refused, deferred and accepted ones in one transaction."""
    simulator = await connections.simulator(profile=PROFILES[profile])
    simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.1 No such user"), recipient="gone@*"))
    simulator.faults.add(Fault(Point.RCPT, Say("452 4.5.3 Too many recipients"), recipient="later@*"))
    session = await connections.logged_in(simulator)
    names = ("gone@example.net", "ada@example.net", "later@example.net", "bob@example.net")
    attempt = await session.send(Envelope(MAILBOX, names), CONTENT, allow_dot)
    assert attempt.reply is not None
    assert (attempt.phase, attempt.reply.code) == (Phase.DOT, 250)
    assert {name: reply.code for name, reply in attempt.refused.items()} == {
        "gone@example.net": 550,
        "later@example.net": 452,
    }
    assert simulator.accepted[0].recipients == ("ada@example.net", "bob@example.net")
    assert session.reusable


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_421_to_rcpt_ends_the_transaction(connections: Connections, profile: str) -> None:
    """It applies to all recipients that were not refused before."""
    simulator = await connections.simulator(profile=PROFILES[profile])
    simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.1 No such user"), nth=1))
    simulator.faults.add(Fault(Point.RCPT, Say("421 4.3.2 Service not active", close=True), nth=2))
    session = await connections.logged_in(simulator)
    names = ("gone@example.net", "ada@example.net", "bob@example.net")
    attempt = await session.send(Envelope(MAILBOX, names), CONTENT, allow_dot)
    assert attempt.reply is not None
    assert (attempt.phase, attempt.reply.code) == (Phase.RCPT, 421)
    assert list(attempt.refused) == ["gone@example.net"]
    assert not session.open


async def test_refusals_before_a_disconnect_are_reported(connections: Connections) -> None:
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.RCPT, Say("550 5.1.1 No such user"), recipient="gone@*"))
    simulator.faults.add(Fault(Point.DOT, Drop()))
    session = await connections.logged_in(simulator)
    with pytest.raises(SessionError) as caught:
        await session.send(Envelope(MAILBOX, ("gone@example.net", "ada@example.net")), CONTENT, allow_dot)
    assert [reply.code for reply in caught.value.refused.values()] == [550]


async def test_a_thousand_recipients_in_one_batch(connections: Connections) -> None:
    """Recipients beyond the limit are refused individually; the dialogue stays short."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    names = tuple(f"person-{number}@example.net" for number in range(1000))
    attempt = await session.send(Envelope(MAILBOX, names), CONTENT, allow_dot)
    assert attempt.reply is not None
    assert attempt.reply.positive
    assert list(attempt.refused) == list(names[500:])
    assert simulator.messages[0].turns == 2
    assert len(attempt.dialogue) < 150
    assert attempt.dialogue[-1].text == str(attempt.reply)


async def test_parameters_of_mail(connections: Connections) -> None:
    """SIZE always, BODY and SMTPUTF8 if needed, each only if the server has the extension."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    await session.send(ENVELOPE, CONTENT, allow_dot)
    content = HEADER + "Grüße\r\n".encode()
    await session.send(ENVELOPE, content, allow_dot)
    envelope = Envelope(MAILBOX, ("jürgen@example.net",), smtputf8=True)
    await session.send(envelope, CONTENT, allow_dot)
    mails = [command for command in simulator.sessions[0].commands if command.startswith("MAIL")]
    assert mails == [
        f"MAIL FROM:<{MAILBOX}> SIZE={len(CONTENT)}",
        f"MAIL FROM:<{MAILBOX}> SIZE={len(content)} BODY=8BITMIME",
        f"MAIL FROM:<{MAILBOX}> SIZE={len(CONTENT)} SMTPUTF8",
    ]
    assert simulator.accepted[2].recipients == ("jürgen@example.net",)


async def test_smtputf8_that_is_not_offered_fails_the_message(connections: Connections) -> None:
    """At MAIL, and nothing is sent."""
    simulator = await connections.simulator(profile=ServerProfile(smtputf8=False))
    session = await connections.logged_in(simulator)
    before = simulator.sessions[0].turns
    with pytest.raises(SessionError) as caught:
        await session.send(Envelope(MAILBOX, ("jürgen@example.net",), smtputf8=True), CONTENT, allow_dot)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.MAIL, FailureKind.CAPABILITY)
    await session.quit()
    assert simulator.sessions[0].turns - before == 1


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
async def test_an_address_cannot_inject_a_command(connections: Connections, end: str) -> None:
    """A line end in an address is a bug in a caller."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    with pytest.raises(ValueError, match="line end"):
        await session.send(Envelope(MAILBOX, (f"a@example.net>{end}RCPT TO:<b@example.net",)), CONTENT, allow_dot)
    assert not [command for command in simulator.sessions[0].commands if command.startswith(("MAIL", "RCPT"))]


@pytest.mark.parametrize("size", [0, 60_000, 300_000, 3_000_000])
async def test_content_arrives_byte_true(connections: Connections, size: int) -> None:
    """Dots at line starts, every byte value, small and large."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    lines = [b".", b"..", b".a", b"", b"text." * 12]
    content = HEADER + b"".join(lines[number % 5] + b"\r\n" for number in range(size // 14)) + b".\r\n"
    attempt = await session.send(ENVELOPE, content, allow_dot)
    assert attempt.reply is not None
    assert attempt.reply.positive
    assert simulator.messages[0].content == content
