"""TLS profiles that must fail: without verified TLS no login and no mail is sent."""

import ssl

import pytest

from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import ServerProfile, Simulator
from app.smtp import tls
from app.smtp.failure import SessionError
from app.smtp.handshake import Upstream
from tests.smtp.conftest import Connections
from tests.smtp.scripted_server import PLAIN, ScriptedConnection

TLS_1_1 = ServerProfile(tls_minimum=ssl.TLSVersion.TLSv1_1, tls_maximum=ssl.TLSVersion.TLSv1_1)
PROFILES = {
    "no STARTTLS": (ServerProfile(starttls=False), FailureKind.TLS, "127.0.0.1 does not offer STARTTLS."),
    "wrong host": (ServerProfile(certificate="wrong_host"), FailureKind.CERTIFICATE, "IP address mismatch"),
    "foreign CA": (
        ServerProfile(certificate="foreign"),
        FailureKind.CERTIFICATE,
        "unable to get local issuer certificate",
    ),
    "self-signed": (ServerProfile(certificate="self_signed"), FailureKind.CERTIFICATE, "self-signed certificate"),
    "expired": (ServerProfile(certificate="expired"), FailureKind.CERTIFICATE, "certificate has expired"),
    "TLS 1.1": (TLS_1_1, FailureKind.TLS, "protocol version"),
    "injected reply": (ServerProfile(inject=b"250 2.1.0 Sender OK\r\n"), FailureKind.TLS, "plain text after STARTTLS"),
    "injected half": (ServerProfile(inject=b"250-more"), FailureKind.TLS, "plain text after STARTTLS"),
}


def nothing_left(simulator: Simulator) -> bool:
    """Return whether the server got neither login nor envelope."""
    commands = [command for session in simulator.sessions for command in session.commands]
    return not simulator.logins and not [it for it in commands if it.split()[0] not in {"EHLO", "STARTTLS", "QUIT"}]


@pytest.mark.parametrize("name", PROFILES)
async def test_nothing_is_sent_without_verified_tls(connections: Connections, name: str) -> None:
    """The failure names the fault in plain words."""
    profile, kind, sentence = PROFILES[name]
    simulator = await connections.simulator(profile=profile)
    with pytest.raises(SessionError) as caught:
        await connections.logged_in(simulator)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.STARTTLS, kind)
    assert sentence in caught.value.failure.detail
    assert caught.value.failure.detail.endswith(".")
    assert nothing_left(simulator)


async def test_text_after_the_starttls_reply_ends_the_handshake(connections: Connections) -> None:
    simulator = await connections.simulator(profile=ServerProfile(inject=b"\x16\x03garbage\r\n"))
    with pytest.raises(SessionError) as caught:
        await connections.logged_in(simulator)
    assert caught.value.failure.phase is Phase.STARTTLS
    assert nothing_left(simulator)


async def test_text_in_a_later_segment_breaks_the_handshake(connections: Connections) -> None:

    async def script(connection: ScriptedConnection) -> None:
        await connection.write(b"220 server ready\r\n")
        await connection.reply(PLAIN)
        await connection.reply(b"220 go\r\n")
        await connection.read_until(b"\x16\x03")  # the client's hello begins
        await connection.write(b"250 evil\r\n")
        assert (await connection.read_all()).count(b"EHLO") == 1

    server = await connections.scripted_server(script)
    with pytest.raises(SessionError) as caught:
        await connections.logged_in(server)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.STARTTLS, FailureKind.TLS)
    await server.done()


@pytest.mark.parametrize("spoil", ["verify", "host", "version"])
def test_a_context_that_does_not_verify_is_refused(spoil: str) -> None:
    """An Upstream without verification raises ValueError."""
    context = tls.context(None)
    if spoil == "version":
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if spoil == "verify" else ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="does not verify"):
        Upstream("localhost", 587, "relay.contoso.com", context)
