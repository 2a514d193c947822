"""Inspection for the doctor: greeting without login, certificate, sender test."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import ServerProfile, Simulator
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, ServerInfo, TlsInfo, Upstream, greet, inspect_certificate
from app.smtp.protocol import MAX_LINE_BYTES, Timeouts
from tests.smtp.conftest import MAILBOX, Connections
from tests.smtp.scripted_server import PLAIN, SECURE, Script, ScriptedConnection
from tests.waiting import until

READY = b"220 server ready\r\n"
LONG = b"250-" + b"x" * MAX_LINE_BYTES + b"\r\n250 ok\r\n"
Where = Callable[[str], Script]
Ask = Callable[[Upstream], Awaitable[object]]
IMPATIENT = replace(Timeouts(), greeting=0.3, ehlo=0.3, starttls=0.3, mail=0.3, quit=0.3)
FAULTS: dict[str, tuple[bytes | None, FailureKind]] = {
    "closes": (None, FailureKind.CLOSED),
    "is silent": (b"", FailureKind.TIMEOUT),
    "stops amid a reply": (b"250-one\r\n", FailureKind.TIMEOUT),
    "says garbage": (b"what is this?\r\n", FailureKind.PROTOCOL),
    "says 8 KiB in a line": (LONG, FailureKind.PROTOCOL),
    "goes ahead out of turn": (b"354 go ahead\r\n", FailureKind.PROTOCOL),
}


async def misbehave(connection: ScriptedConnection, fault: str) -> None:
    """Send an invalid reply, or disconnect, and wait for the other side."""
    said, _ = FAULTS[fault]
    if said is None:
        connection.close()
    else:
        await connection.write(said)
        await connection.read_all()


def at_greeting(fault: str) -> Script:
    """Fail instead of the greeting."""

    async def script(connection: ScriptedConnection) -> None:
        await misbehave(connection, fault)

    return script


def at_ehlo(fault: str) -> Script:
    """Fail instead of the reply to EHLO in plain text."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.read_until()
        await misbehave(connection, fault)

    return script


def at_starttls(fault: str) -> Script:
    """Fail instead of TLS."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.reply(PLAIN)
        await connection.read_until()
        await misbehave(connection, fault)

    return script


def at_ehlo_again(fault: str) -> Script:
    """Fail instead of the reply to EHLO under TLS."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.reply(PLAIN)
        await connection.tls()
        await connection.read_until()
        await misbehave(connection, fault)

    return script


GREETED: dict[Where, Phase] = {
    at_greeting: Phase.GREETING,
    at_ehlo: Phase.EHLO,
    at_starttls: Phase.STARTTLS,
    at_ehlo_again: Phase.STARTTLS,
}
INSPECTED = {where: phase for where, phase in GREETED.items() if where is not at_ehlo_again}


async def fails(asked: Awaitable[object], phase: Phase, kind: FailureKind) -> None:
    """Check for SessionError with a sentence."""
    with pytest.raises(SessionError) as caught:
        await asked
    assert (caught.value.failure.phase, caught.value.failure.kind) == (phase, kind)
    assert caught.value.failure.detail.endswith(".")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", GREETED, ids=lambda where: where.__name__)
async def test_a_failed_greeting_has_phase_and_kind(connections: Connections, where: Where, fault: str) -> None:
    """No other exception is raised."""
    server = await connections.scripted_server(where(fault))
    await fails(greet(connections.upstream_to(server, IMPATIENT)), GREETED[where], FAULTS[fault][1])
    await server.done()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", INSPECTED, ids=lambda where: where.__name__)
async def test_inspect_certificate_fails(connections: Connections, where: Where, fault: str) -> None:
    """inspect_certificate raises the same errors."""
    server = await connections.scripted_server(where(fault))
    await fails(inspect_certificate(connections.upstream_to(server, IMPATIENT)), INSPECTED[where], FAULTS[fault][1])
    await server.done()


@pytest.mark.parametrize("ask", [greet, inspect_certificate])
async def test_a_server_that_closes_right_after_the_handshake(connections: Connections, ask: Ask) -> None:
    """It returns a result or raises SessionError, never another exception."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.reply(PLAIN)
        await connection.tls()
        connection.close()

    (seen,) = await asyncio.gather(
        ask(connections.upstream_to(await connections.scripted_server(script), IMPATIENT)), return_exceptions=True
    )
    if isinstance(seen, TlsInfo):
        assert ask is inspect_certificate
        assert ssl.DER_cert_to_PEM_cert(seen.certificate)
    else:
        assert isinstance(seen, SessionError)
        assert (seen.failure.phase, seen.failure.kind) == (Phase.STARTTLS, FailureKind.CLOSED)


async def test_a_server_that_does_not_reply_to_quit(connections: Connections) -> None:
    """The wait is limited to `quit`, and the result counts."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.reply(PLAIN)
        await connection.tls()
        await connection.reply(SECURE)
        assert (await connection.read_all()).endswith(b"QUIT\r\n")

    server = await connections.scripted_server(script)
    greeted = await greet(connections.upstream_to(server, IMPATIENT))
    assert isinstance(greeted, ServerInfo)
    assert greeted.banner == "220 server ready"
    await server.done()


async def test_both_inspections_see_the_same_certificate(connections: Connections) -> None:
    """TLS 1.2 at least; neither logs in."""
    simulator = await connections.simulator()
    greeted, shown = (
        await greet(connections.upstream_to(simulator)),
        await inspect_certificate(connections.upstream_to(simulator)),
    )
    assert isinstance(greeted, ServerInfo)
    assert greeted.tls == shown
    assert shown.version in {"TLSv1.2", "TLSv1.3"}
    assert shown.cipher
    assert "STARTTLS" not in greeted.extensions
    assert simulator.logins == []


@pytest.mark.parametrize("certificate", ["foreign", "expired", "wrong_host"])
async def test_inspect_certificate_accepts_any_certificate_and_sends_nothing(
    connections: Connections, certificate: str
) -> None:
    """The greeting refuses the certificate, the inspection shows it, and no command follows the handshake."""
    simulator: Simulator = await connections.simulator(profile=ServerProfile(certificate=certificate))
    await fails(greet(connections.upstream_to(simulator)), Phase.STARTTLS, FailureKind.CERTIFICATE)
    shown = await inspect_certificate(connections.upstream_to(simulator))
    assert isinstance(shown, TlsInfo)
    assert shown.certificate
    assert [command.split()[0] for command in simulator.sessions[-1].commands] == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("ask", [greet, inspect_certificate])
async def test_a_refused_step_is_a_result(connections: Connections, ask: Ask) -> None:
    """With phase and reply."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(READY)
        await connection.reply(PLAIN)
        await connection.reply(b"454 4.7.0 TLS not available\r\n")
        await connection.reply(b"221 bye\r\n")

    refused = await ask(connections.upstream_to(await connections.scripted_server(script)))
    assert isinstance(refused, Refusal)
    assert (refused.phase, str(refused.reply)) == (Phase.STARTTLS, "454 4.7.0 TLS not available")


# A sender tried and taken back.


async def test_a_sender_test_is_mail_and_rset(connections: Connections) -> None:
    """No message is sent."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        for _ in range(2):
            assert await connection.reply(b"250 2.1.0 Sender OK\r\n") == b"MAIL FROM:<noreply@contoso.com>\r\n"
            assert await connection.reply(b"250 2.0.0 Resetting\r\n") == b"RSET\r\n"
        await connection.reply(b"550 5.7.60 not yours\r\n")

    session = await connections.logged_in(await connections.scripted_server(script))
    replies = [await session.try_sender(MAILBOX) for _ in range(3)]
    assert [reply.code for reply in replies] == [250, 250, 550]
    assert session.reusable


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["MAIL", "RSET"])
async def test_a_sender_test_without_a_reply_fails_at_mail(connections: Connections, command: str, fault: str) -> None:
    """And the session is unusable."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        if command == "RSET":
            await connection.reply(b"250 2.1.0 Sender OK\r\n")
        assert (await connection.read_until()).startswith(command.encode())
        await misbehave(connection, fault)

    server = await connections.scripted_server(script)
    session = await connections.logged_in(server, IMPATIENT)
    await fails(session.try_sender(MAILBOX), Phase.MAIL, FAULTS[fault][1])
    assert not session.open
    await server.done()


@pytest.mark.parametrize("reply", [b"502 5.5.1 not here\r\n", b"354 go ahead\r\n", b"421 4.3.2 bye\r\n"])
async def test_a_refused_rset_ends_the_session(connections: Connections, reply: bytes) -> None:
    """The sender would count for the next message."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(b"250 2.1.0 Sender OK\r\n")
        await connection.reply(reply)
        assert b"MAIL" not in (await connection.read_all()).split(b"RSET")[1]

    server = await connections.scripted_server(script)
    session = await connections.logged_in(server)
    await fails(session.try_sender(MAILBOX), Phase.MAIL, FailureKind.PROTOCOL)
    assert not session.open
    await server.done()


@pytest.mark.parametrize("stray", [b"250 2.1.0 Sender OK\r\n", b"421 4.3.2 Service not active\r\n"])
async def test_an_early_reply_to_mail_counts_only_as_a_refusal(connections: Connections, stray: bytes) -> None:

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.write(stray)
        assert b"MAIL" not in await connection.read_all()

    server = await connections.scripted_server(script)
    session = await connections.logged_in(server)
    await until(lambda: not session.reusable)
    if stray.startswith(b"421"):
        assert (await session.try_sender(MAILBOX)).code == 421
    else:
        await fails(session.try_sender(MAILBOX), Phase.MAIL, FailureKind.PROTOCOL)
    assert not session.open
    await server.done()


async def test_a_421_after_mail_closes_the_session(connections: Connections) -> None:
    """421 is the result, and the end of the session."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.accept_login()
        await connection.reply(b"421 4.3.2 Service not active\r\n")

    session = await connections.logged_in(await connections.scripted_server(script))
    assert (await session.try_sender(MAILBOX)).code == 421
    assert not session.open
