"""Server profiles: certificates, TLS versions, EHLO extensions."""

import asyncio
import ssl
import threading
import warnings
from pathlib import Path

import pytest

from app.simulator import Certificate, ServerProfile, Simulator
from tests.contract.simulator.client import Client, expect, verifying_context
from tests.contract.simulator.conftest import Start
from tests.waiting import WAIT_TIMEOUT


async def handshake(sim: Simulator, clients: list[Client], context: ssl.SSLContext, host: str = "localhost") -> Client:
    """Connect and start TLS with this context."""
    clients.append(client := await Client.greeted(sim))
    await client.command("STARTTLS")
    await client.start_tls(context, host)
    return client


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "smtp.office365.com"])
async def test_a_good_certificate_is_for_these_names(sim: Simulator, clients: list[Client], host: str) -> None:
    """A client that trusts `ca_pem` accepts the certificate."""
    client = await handshake(sim, clients, verifying_context(sim), host)
    assert (await client.command("EHLO client.example")).startswith("250-")


async def test_the_file_of_the_ca_is_replaced_in_one_step(sim: Simulator, tmp_path: Path) -> None:
    """A process that opened the file before it is written again still reads a whole certificate."""
    file = tmp_path / "ca.pem"
    sim.write_ca(file)
    with file.open("r", encoding="ascii") as opened:
        sim.write_ca(file)
        assert opened.read() == sim.ca_pem == file.read_text("ascii")
    assert list(tmp_path.iterdir()) == [file]


async def test_threads_write_the_file_of_the_ca_at_the_same_time(sim: Simulator, tmp_path: Path) -> None:
    """Four replicas that one process starts write one file; each write ends, and one whole file is there."""
    file, start = tmp_path / "ca.pem", threading.Barrier(4)

    def write() -> None:
        start.wait()
        for _ in range(200):
            sim.write_ca(file)

    await asyncio.gather(*(asyncio.to_thread(write) for _ in range(start.parties)))
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text("ascii") == sim.ca_pem


async def test_a_certificate_can_be_for_further_names(start: Start, clients: list[Client]) -> None:
    """`names` are added, such as the host name of a container."""
    sim = await start(profile=ServerProfile(names=("simulator",)))
    await handshake(sim, clients, verifying_context(sim), "simulator")
    await handshake(sim, clients, verifying_context(sim), "localhost")


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        (Certificate.WRONG_HOST, "Hostname mismatch"),
        (Certificate.FOREIGN, "unable to get local issuer"),
        (Certificate.EXPIRED, "expired"),
        (Certificate.SELF_SIGNED, "self-signed"),
    ],
)
async def test_a_bad_certificate_is_refused_for_its_fault(
    start: Start, clients: list[Client], certificate: str, message: str
) -> None:
    """Each certificate has exactly one fault."""
    sim = await start(profile=ServerProfile(certificate=certificate))
    with pytest.raises(ssl.SSLCertVerificationError, match=message):
        await handshake(sim, clients, verifying_context(sim))


async def test_the_profile_can_be_changed_while_listening(sim: Simulator, clients: list[Client]) -> None:
    """A new profile applies to new connections."""
    sim.profile = ServerProfile(certificate="expired")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await handshake(sim, clients, verifying_context(sim))
    sim.profile = ServerProfile()
    await handshake(sim, clients, verifying_context(sim))


async def test_tls_1_1_is_offered_and_refused_by_a_strict_client(start: Start, clients: list[Client]) -> None:
    """TLS 1.1 is accepted by a client that allows it, and refused by a strict one."""
    sim = await start(profile=ServerProfile(tls_minimum=ssl.TLSVersion.TLSv1_1, tls_maximum=ssl.TLSVersion.TLSv1_1))
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await handshake(sim, clients, verifying_context(sim))
    lax = verifying_context(sim)
    lax.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lax.minimum_version = ssl.TLSVersion.TLSv1_1
    await handshake(sim, clients, lax)
    assert sim.sessions[-1].tls == "TLSv1.1"


async def test_without_starttls_there_is_no_login(start: Start, clients: list[Client]) -> None:
    """STARTTLS is neither announced nor accepted, and AUTH is refused without TLS."""
    sim = await start(profile=ServerProfile(starttls=False))
    clients.append(client := await Client.connect(sim))
    await client.reply()
    ehlo_reply = await client.command("EHLO client.example")
    assert "STARTTLS" not in ehlo_reply
    assert "AUTH" not in ehlo_reply
    expect("500 5.3.3 Unrecognized command 'STARTTLS' [{frontend}]", await client.command("STARTTLS"))


async def test_text_can_be_injected_before_tls(start: Start, clients: list[Client]) -> None:
    """`inject` is sent in the segment of the 220, as a man in the middle does (CVE-2021-23953)."""
    sim = await start(profile=ServerProfile(inject=b"250 2.0.0 injected\r\n"))
    clients.append(client := await Client.greeted(sim))
    client.write(b"STARTTLS\r\n")
    segment = await asyncio.wait_for(client.reader.read(4096), WAIT_TIMEOUT)
    assert segment == b"220 2.0.0 SMTP server ready\r\n250 2.0.0 injected\r\n"


async def test_commands_smuggled_in_before_tls_are_forgotten(sim: Simulator, clients: list[Client]) -> None:
    """Commands sent with STARTTLS are discarded (RFC 3207 §4.2)."""
    clients.append(client := await Client.greeted(sim))
    client.write(b"STARTTLS\r\nNOOP\r\n")
    await client.reply()
    await client.start_tls(verifying_context(sim))
    assert (await client.command("RSET")) == "250 2.0.0 Resetting"
    assert "NOOP" not in sim.sessions[0].commands


async def test_extensions_and_greeting_can_be_taken_away(start: Start, clients: list[Client]) -> None:
    """PIPELINING, SMTPUTF8, AUTH mechanisms and the greeting can be changed."""
    profile = ServerProfile(
        pipelining=False, smtputf8=False, mechanisms=("XOAUTH2",), greeting="554 5.3.2 No service here"
    )
    sim = await start(profile=profile)
    clients.append(client := await Client.connect(sim))
    assert await client.reply() == "554 5.3.2 No service here"
    await client.command("EHLO client.example")
    await client.command("STARTTLS")
    await client.start_tls(verifying_context(sim))
    ehlo_reply = (await client.command("EHLO client.example")).split("\n")
    assert "250-AUTH XOAUTH2" in ehlo_reply
    assert not {"250-PIPELINING", "250 SMTPUTF8"} & {*ehlo_reply}
    expect("504 5.7.4 Unrecognized authentication type [{frontend}]", await client.command("AUTH LOGIN"))
