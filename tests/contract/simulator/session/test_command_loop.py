"""SMTP dialogue, verbatim as in a public log of smtp.office365.com:587, and replies to invalid commands."""

import asyncio
import smtplib
import ssl

import pytest

from app.simulator import ExchangeLimits, Simulator
from tests.contract.simulator.client import ACCOUNT, MAILBOX, PASSWORD, Client, b64, expect, verifying_context
from tests.contract.simulator.conftest import Ready, Start
from tests.waiting import WAIT_TIMEOUT

BEFORE_TLS = """250-{host} Hello [127.0.0.1]
250-SIZE 157286400
250-PIPELINING
250-DSN
250-ENHANCEDSTATUSCODES
250-STARTTLS
250-8BITMIME
250-BINARYMIME
250-CHUNKING
250 SMTPUTF8"""
AFTER_TLS = BEFORE_TLS.replace("STARTTLS", "AUTH LOGIN XOAUTH2")

SUBMISSION = (
    (f"AUTH LOGIN {b64(MAILBOX)}", "334 UGFzc3dvcmQ6"),
    (b64(PASSWORD), "235 2.7.0 Authentication successful"),
    (f"MAIL FROM:<{MAILBOX}>", "250 2.1.0 Sender OK"),
    ("RCPT TO:<b@example.net>", "250 2.1.5 Recipient OK"),
    ("DATA", "354 Start mail input; end with <CRLF>.<CRLF>"),
    (
        f"From: {MAILBOX}\r\nMessage-ID: <42@contoso.com>\r\n\r\nHello.\r\n.",
        "250 2.0.0 OK <42@contoso.com> [Hostname={backend}]",
    ),
    ("NOOP", "250 2.0.0 OK"),
    ("RSET", "250 2.0.0 Resetting"),
    ("VRFY b@example.net", "252 2.1.5 Cannot VRFY user"),
    ("QUIT", "221 2.0.0 Service closing transmission channel"),
)


async def test_replies_are_those_of_exchange(sim: Simulator) -> None:
    """Greeting, both EHLO replies, STARTTLS, AUTH LOGIN, one message, QUIT; then the connection is closed."""
    client = await Client.connect(sim)
    expect("220 {host} Microsoft ESMTP MAIL Service ready at {date} [{session}]", await client.reply())
    expect(BEFORE_TLS, await client.command("EHLO client.example"))
    expect("220 2.0.0 SMTP server ready", await client.command("STARTTLS"))
    await client.start_tls(verifying_context(sim))
    expect(AFTER_TLS, await client.command("EHLO client.example"))
    for line, expected in SUBMISSION:
        expect(expected, await client.command(line))
    assert await client.rest() == b""


IN_CLEAR = (
    (("HELO client.example",), "250 {host} Hello [127.0.0.1]"),
    (("EHLO",), "501 5.5.4 Invalid domain name [{frontend}]"),
    (("EHLO client.example.",), "501 5.5.4 Invalid domain name [{frontend}]"),
    (("EHLO my_container",), "501 5.5.4 Invalid domain name [{frontend}]"),
    (("EHLO -x.example",), "501 5.5.4 Invalid domain name [{frontend}]"),
    (("EHLO [127.0.0.256]",), "501 5.5.4 Invalid domain name [{frontend}]"),
    ((f"AUTH LOGIN {b64(MAILBOX)}",), "504 5.7.4 Unrecognized authentication type [{frontend}]"),
    ((f"MAIL FROM:<{MAILBOX}>",), "530 5.7.57 Client not authenticated to send mail. [{frontend}]"),
    (("STARTTLS now",), "501 5.5.4 Invalid arguments"),
    (("TURN",), "500 5.3.3 Unrecognized command 'TURN' [{frontend}]"),
    (("",), "500 5.3.3 Unrecognized command '' [{frontend}]"),
)

LOGGED_IN = (
    (("STARTTLS",), "503 5.5.1 Bad sequence of commands"),
    (("AUTH XOAUTH2",), "503 5.5.1 Bad sequence of commands"),
    (("RCPT TO:<b@example.net>",), "503 5.5.1 Bad sequence of commands"),
    (("DATA",), "503 5.5.1 Bad sequence of commands"),
    ((f"MAIL FROM:<{MAILBOX}>", "DATA"), "503 5.5.1 Bad sequence of commands"),
    ((f"MAIL FROM:<{MAILBOX}>", f"MAIL FROM:<{MAILBOX}>"), "503 5.5.1 Bad sequence of commands"),
    ((f"MAIL FROM:<{MAILBOX}>", "RSET", "RCPT TO:<b@example.net>"), "503 5.5.1 Bad sequence of commands"),
    ((f"MAIL FROM:<{MAILBOX}>", "EHLO client.example", "RCPT TO:<b@x.net>"), "503 5.5.1 Bad sequence of commands"),
    ((f"MAIL FROM:<{MAILBOX}> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x",), "250 2.1.0 Sender OK"),
    ((f"MAIL FROM:<{MAILBOX}> AUTH=<>",), "250 2.1.0 Sender OK"),
    ((f"MAIL FROM:<{MAILBOX}> SOLICIT=x",), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:<{MAILBOX}> SIZE=big",), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:<{MAILBOX}> SIZE=1 SIZE=1",), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:<{MAILBOX}> BODY=9BIT",), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:<{MAILBOX}> SIZE=157286401",), "552 5.3.4 Message size exceeds fixed maximum message size"),
    ((f"MAIL {MAILBOX}",), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:{MAILBOX}",), "501 5.1.7 Invalid address"),
    (("MAIL FROM:<not an address>",), "501 5.1.7 Invalid address"),
    (("MAIL FROM:<jürgen@contoso.com>",), "501 5.1.7 Invalid address"),
    (("MAIL FROM:<jürgen@contoso.com> SMTPUTF8",), "250 2.1.0 Sender OK"),
    (
        (f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b@example.net> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@x"),
        "250 2.1.5 Recipient OK",
    ),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b@example.net> NOTIFY=OFTEN"), "501 5.5.4 Invalid arguments"),
    ((f"MAIL FROM:<{MAILBOX}>", 'RCPT TO:<"b c"@example.net>'), "250 2.1.5 Recipient OK"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b@[192.0.2.1]>"), "250 2.1.5 Recipient OK"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<nobody-by-that-name@example.net>"), "250 2.1.5 Recipient OK"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<>"), "501 5.1.3 Invalid address"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b>"), "501 5.1.3 Invalid address"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b..c@example.net>"), "501 5.1.3 Invalid address"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b@example..net>"), "501 5.1.3 Invalid address"),
    ((f"MAIL FROM:<{MAILBOX}>", "RCPT TO:<b@bücher.example>"), "501 5.1.3 Invalid address"),
    ((f"MAIL FROM:<{MAILBOX}> SMTPUTF8", "RCPT TO:<bär@bücher.example>"), "250 2.1.5 Recipient OK"),
    ((f"MAIL FROM:<{MAILBOX}> SMTPUTF8", "RCPT TO:<b\udcff@example.net>"), "501 5.1.3 Invalid address"),
    (("QUIT now",), "501 5.5.4 Invalid arguments"),
)


@pytest.mark.parametrize(("lines", "expected"), IN_CLEAR, ids=str)
async def test_replies_before_tls(sim: Simulator, clients: list[Client], lines: tuple[str, ...], expected: str) -> None:
    """Each invalid command before TLS has the reply of Exchange."""
    clients.append(client := await Client.greeted(sim))
    expect(expected, await client.commands(lines))


async def test_replies_when_logged_in(sim: Simulator, ready: Ready) -> None:
    """Each command has the reply of Exchange, valid or not, and has no effect on the next one in the session."""
    client = await ready(sim)
    for lines, expected in LOGGED_IN:
        expect(expected, await client.commands(lines))
        await client.command("RSET")


async def test_an_unknown_verb_is_tarpitted(start: Start, clients: list[Client]) -> None:
    """Its reply is sent after 5 seconds of the clock."""
    sim = await start(speed=20, limits=ExchangeLimits())
    clients.append(client := await Client.greeted(sim))
    began = asyncio.get_running_loop().time()
    await client.command("TURN")
    assert asyncio.get_running_loop().time() - began >= 5 / 20


async def test_a_session_is_recorded_without_credentials(sim: Simulator, ready: Ready) -> None:
    """The record has names, TLS version, commands, replies and login, but no password and no user name."""
    client = await ready(sim)
    await client.send()
    await client.command("QUIT")
    (session,) = sim.sessions
    assert session.ehlo == ["client.example", "client.example"]
    assert (session.tls, session.mailbox, session.messages, session.logins) == ("TLSv1.3", MAILBOX, 1, 1)
    assert session.commands[2:6] == ["EHLO client.example", "AUTH LOGIN ***", "***", f"MAIL FROM:<{MAILBOX}>"]
    assert session.replies[-1] == "221 2.0.0 Service closing transmission channel"
    assert session.closed_at is not None
    assert session.opened_at <= sim.messages[0].at <= session.closed_at
    assert PASSWORD not in repr((session, ACCOUNT))
    assert b64(PASSWORD) not in repr(session)


async def test_smtplib_can_send(sim: Simulator) -> None:
    """smtplib sends a message and verifies the certificate."""

    def submit(context: ssl.SSLContext) -> None:
        with smtplib.SMTP("localhost", sim.port, local_hostname="client.example") as client:
            client.starttls(context=context)
            client.login(MAILBOX, PASSWORD)
            client.sendmail(MAILBOX, ["a@example.net", "b@example.net"], f"From: {MAILBOX}\r\n\r\n.dot\r\n")

    submitting = asyncio.to_thread(submit, verifying_context(sim))
    await asyncio.gather(submitting, sim.wait_for(1, WAIT_TIMEOUT))
    (seen,) = sim.messages
    assert (seen.mail_from, seen.recipients) == (MAILBOX, ("a@example.net", "b@example.net"))
    assert seen.content == f"From: {MAILBOX}\r\n\r\n.dot\r\n".encode()
    assert sim.violations == []
