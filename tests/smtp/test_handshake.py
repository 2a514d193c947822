"""SMTP handshake: each step refused, disconnected, without a reply and with invalid data."""

import asyncio
import socket
from itertools import product

import pytest

from app.mail.credential_expiry import CredentialExpiry
from app.mail.outcome.attempt import FailureKind, Phase
from app.mail.outcome.verdict import LoginMethod
from app.simulator import Drop, Fault, Garbage, Half, Point, Reset, Say, ServerProfile, Silence, SlowWrite
from app.smtp.auth.credentials import CredentialError, LoginSecret, Mechanism, Password
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session
from tests.smtp.conftest import CONTENT, CREDENTIALS, ENVELOPE, MAILBOX, PASSWORD, Connections, allow_dot, short_timeout
from tests.smtp.scripted_server import PLAIN, SECURE, ScriptedConnection
from tests.waiting import WAIT_TIMEOUT, until

STEPS = {
    Point.GREETING: Phase.GREETING,
    Point.EHLO: Phase.EHLO,
    Point.STARTTLS: Phase.STARTTLS,
    Point.AUTH: Phase.AUTH,
}
NO_REPLY: dict[str, tuple[Drop | Reset | Half | Silence | SlowWrite | Garbage, FailureKind]] = {
    "closed": (Drop(), FailureKind.CLOSED),
    "reset": (Reset(), FailureKind.CLOSED),
    "half": (Half(5), FailureKind.CLOSED),
    "silent": (Silence(), FailureKind.TIMEOUT),
    "an octet at a time": (SlowWrite(10), FailureKind.TIMEOUT),  # each byte is in time, the reply is not
    "garbage": (Garbage(b"what is this?\r\n"), FailureKind.PROTOCOL),
    "out of turn": (Garbage(b"354 go ahead\r\n"), FailureKind.PROTOCOL),
}
REPLIES = ["421 4.3.2 Service not active", "454 4.7.0 Temporary failure", "535 5.7.3 Authentication unsuccessful"]


class Token:
    """Bearer token, as an OAuth credential returns it."""

    method = LoginMethod.OAUTH

    async def secret(self) -> LoginSecret:
        return LoginSecret(Mechanism.XOAUTH2, MAILBOX, "a-token-for-tests")

    def reject(self, secret: LoginSecret) -> bool:
        return False

    def expiry(self) -> CredentialExpiry | None:
        return None


class Missing(Token):
    """Credential that is not available."""

    async def secret(self) -> LoginSecret:
        raise CredentialError("The token endpoint does not answer.", "temporarily_unavailable")


async def test_a_session_opens_in_five_round_trips(connections: Connections) -> None:
    """With our EHLO name, the second EHLO's extensions and a masked dialogue."""
    simulator = await connections.simulator()
    session = await connections.logged_in(simulator)
    [seen] = simulator.sessions
    assert session.reusable
    assert not session.reused
    assert session.extensions["SIZE"] == "157286400"
    assert "STARTTLS" not in session.extensions
    assert set(seen.ehlo) == {"relay.contoso.com"}
    assert seen.tls in {"TLSv1.2", "TLSv1.3"}
    attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
    said = [line.text for line in attempt.dialogue if line.who == "C"]
    assert said[:4] == ["EHLO relay.contoso.com", "STARTTLS", "EHLO relay.contoso.com", "AUTH LOGIN ****"]


async def test_a_login_with_a_token_is_xoauth2(connections: Connections) -> None:
    """The dialogue does not have the token."""
    simulator = await connections.simulator()
    session = await open_session(connections.upstream_to(simulator), Token())
    assert isinstance(session, Session)
    assert [(login.mechanism, login.ok) for login in simulator.logins] == [("XOAUTH2", True)]
    attempt = await session.send(ENVELOPE, CONTENT, allow_dot)
    assert "AUTH XOAUTH2 ****" in [line.text for line in attempt.dialogue]
    await session.quit()


@pytest.mark.parametrize(("point", "reply"), [*product(STEPS, REPLIES)])
async def test_a_refused_step_is_a_value(connections: Connections, point: Point, reply: str) -> None:
    """The refusal has phase and reply; the connection is closed with QUIT."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(point, Say(reply)))
    refused = await connections.open_session(simulator)
    assert isinstance(refused, Refusal)
    assert refused.phase is STEPS[point]
    assert str(refused.reply) == reply
    assert refused.dialogue[-1].text == reply
    await until(lambda: simulator.sessions[0].closed_at is not None)


@pytest.mark.parametrize(("point", "name"), [*product(STEPS, NO_REPLY)])
async def test_a_step_without_a_reply_is_a_failure(connections: Connections, point: Point, name: str) -> None:
    """The error has phase, kind and a sentence; no type of aiosmtplib is raised."""
    action, kind = NO_REPLY[name]
    simulator = await connections.simulator()
    simulator.faults.add(Fault(point, action))
    with pytest.raises(SessionError) as caught:
        await connections.open_session(simulator, short_timeout(STEPS[point]))
    assert (caught.value.failure.phase, caught.value.failure.kind) == (STEPS[point], kind)
    assert caught.value.failure.detail.endswith(".")
    assert PASSWORD not in repr(caught.value.__dict__) + str(caught.value)


@pytest.mark.parametrize("action", [Drop(), Reset(), Silence()])
async def test_a_tls_handshake_without_an_end_times_out(
    connections: Connections, action: Drop | Reset | Silence
) -> None:
    """At STARTTLS."""
    simulator = await connections.simulator()
    simulator.faults.add(Fault(Point.TLS, action))
    with pytest.raises(SessionError) as caught:
        await connections.open_session(simulator, short_timeout(Phase.STARTTLS))
    assert caught.value.failure.phase is Phase.STARTTLS
    assert caught.value.failure.kind in {FailureKind.CLOSED, FailureKind.TLS, FailureKind.TIMEOUT}


async def test_a_wrong_password_is_one_failed_login(connections: Connections) -> None:
    """No other mechanism is tried, and no text has the password."""
    simulator = await connections.simulator()
    refused = await open_session(connections.upstream_to(simulator), Password(MAILBOX, "a-wrong-secret"))
    assert isinstance(refused, Refusal)
    assert (refused.phase, refused.reply.code) == (Phase.AUTH, 535)
    assert len(simulator.logins) == 1
    assert "a-wrong-secret" not in repr(refused) + repr(Password(MAILBOX, "a-wrong-secret"))


async def test_a_mechanism_that_is_not_offered_is_not_tried(connections: Connections) -> None:
    """The sentence lists the mechanisms of the server."""
    simulator = await connections.simulator(profile=ServerProfile(mechanisms=("XOAUTH2",)))
    with pytest.raises(SessionError) as caught:
        await connections.open_session(simulator)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.AUTH, FailureKind.CAPABILITY)
    assert caught.value.failure.detail == "127.0.0.1 does not offer AUTH LOGIN; it offers XOAUTH2."
    assert simulator.logins == []


async def test_without_a_credential_no_connection_is_made(connections: Connections) -> None:
    simulator = await connections.simulator()
    with pytest.raises(SessionError) as caught:
        await open_session(connections.upstream_to(simulator), Missing())
    assert caught.value.failure.kind is FailureKind.CREDENTIAL
    assert caught.value.failure.detail == "The token endpoint does not answer."
    assert caught.value.failure.code == "temporarily_unavailable"
    assert simulator.sessions == []


@pytest.mark.parametrize("cut", [3, 100])
async def test_an_echoed_password_is_masked(connections: Connections, cut: int) -> None:
    """Exchange echoes unknown commands cut short: also a part of the password is masked."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(b"220 server ready\r\n")
        await connection.reply(PLAIN)
        await connection.tls()
        await connection.reply(SECURE)
        await connection.reply(b"334 UGFzc3dvcmQ6\r\n")
        echo = (await connection.read_until()).strip()
        await connection.write(b"500 5.3.3 Unrecognized command '" + echo[: -cut % len(echo) or None] + b"'\r\n")
        await connection.reply(b"221 bye\r\n")

    server = await connections.scripted_server(script)
    refused = await connections.open_session(server)
    assert isinstance(refused, Refusal)
    assert refused.reply.text == "Unrecognized command '****'"
    assert refused.dialogue[-1].text == "500 5.3.3 Unrecognized command '****'"


async def test_a_cancelled_opening_closes_its_connection(connections: Connections) -> None:
    """During a slow greeting."""
    simulator = await connections.simulator()
    struck = simulator.faults.add(Fault(Point.AUTH, Silence()))
    opening = asyncio.create_task(open_session(connections.upstream_to(simulator), CREDENTIALS))
    await struck.wait(WAIT_TIMEOUT)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: simulator.sessions[0].closed_at is not None)


async def test_connection_refused(connections: Connections) -> None:
    """A refused TCP connection."""
    simulator = await connections.simulator()
    await simulator.stop()
    with pytest.raises(SessionError) as caught:
        await connections.open_session(simulator)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONNECT, FailureKind.REFUSED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", simulator.port))
