"""DATA and BDAT: dot-stuffing, line ends, SMTP smuggling, sizes, and rules for From."""

import pytest

from app.simulator import ExchangeLimits, Simulator
from tests.contract.simulator.client import MAILBOX, content, expect
from tests.contract.simulator.conftest import Ready, Start

DENIED = (
    "554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {sender}; "
    "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; "
)
BARE = "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds"
COMPLIANT = "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant [Hostname={backend}]"
SECOND = f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nFrom: {MAILBOX}\r\n\r\nSmuggled.\r\n"


@pytest.mark.parametrize(
    "body",
    [".\r\n..\r\n...x\r\n", "a\r\n.b\r\n", "", "\r\n\r\n", "x" * 200_000 + "\r\n", "8 bits: äöü\r\n"],
    ids=["dots", "dot b", "empty", "blank", "long", "8bit"],
)
async def test_content_is_recorded_unchanged(sim: Simulator, ready: Ready, body: str) -> None:
    """The recorded content is without dot-stuffing."""
    client = await ready(sim)
    data = content(body=body)
    assert (await client.send(data.replace(b"\r\n.", b"\r\n.."))).startswith("250 2.0.0 OK <1@contoso.com> ")
    assert sim.messages[0].content == data


async def test_an_empty_message_is_refused(sim: Simulator, ready: Ready) -> None:
    """Content of only the final dot is refused, because it has no From, and the session continues."""
    client = await ready(sim)
    expect(COMPLIANT, await client.send(b""))
    assert sim.messages[0].content == b""
    assert (await client.send()).startswith("250 ")


@pytest.mark.parametrize(
    "end", ["\n.\r\n", "\r\n.\n", "\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\n.\r\n", "\r\r\n.\n"]
)
async def test_nothing_but_crlf_dot_crlf_ends_a_message(sim: Simulator, ready: Ready, end: str) -> None:
    """SMTP smuggling: text after a false end of content belongs to the same message, which is refused."""
    client = await ready(sim)
    smuggled = content(body=f"Hello.{end}").decode() + SECOND
    reply = await client.send(smuggled.encode())
    assert (await client.command("NOOP")) == "250 2.0.0 OK"
    (seen,) = sim.messages
    assert b"Smuggled." in seen.content
    assert not seen.accepted
    assert reply.startswith(BARE)


@pytest.mark.parametrize("body", ["a\nb\r\n", "a\rb\r\n", "a\r\r\n", "\n\r\n", "a\n\r\n"])
async def test_bare_line_ends_are_refused(sim: Simulator, ready: Ready, body: str) -> None:
    """Content with a bare CR or LF is refused (RFC 5321 §2.3.8)."""
    client = await ready(sim)
    assert (await client.send(content(body=body))).startswith(BARE)
    assert not sim.messages[0].accepted


FROM = {
    "itself": (content(), None),
    "another case": (content(sender=MAILBOX.upper()), None),
    "an alias": (content(sender="Contoso <no-reply@contoso.com>"), None),
    "a Send As pattern": (content(sender='"Sales, EMEA" <emea@sales.contoso.com>'), None),
    "folded": (content(sender=f"A long name\r\n <{MAILBOX}>"), None),
    "two, with Sender": (content(f"Sender: {MAILBOX}", sender=f"{MAILBOX}, no-reply@contoso.com"), None),
    "two, without Sender": (
        content(sender=f"{MAILBOX}, no-reply@contoso.com"),
        "550 5.1.20 Multiple From addresses are not allowed without Sender address [Hostname={backend}]",
    ),
    "none": (b"Subject: x\r\n\r\nFrom: " + MAILBOX.encode() + b"\r\n", COMPLIANT),
    "two fields": (content(f"From: {MAILBOX}"), COMPLIANT),
    "no address": (content(sender="Contoso"), COMPLIANT),
    "empty": (content(sender=""), COMPLIANT),
}


@pytest.mark.parametrize(("data", "refusal"), FROM.values(), ids=FROM)
async def test_from_is_checked_after_the_content(
    sim: Simulator, ready: Ready, data: bytes, refusal: str | None
) -> None:
    """From may be the mailbox, its aliases and addresses with Send As; it must be one address."""
    client = await ready(sim)
    expect(refusal or "250 2.0.0 OK <1@contoso.com> [Hostname={backend}]", await client.send(data))
    assert sim.messages[0].accepted is (refusal is None)


@pytest.mark.parametrize(
    ("mail_from", "sender", "denied"),
    [
        (MAILBOX, "ceo@contoso.com", "ceo@contoso.com"),
        ("ceo@contoso.com", MAILBOX, "ceo@contoso.com"),
        ("", MAILBOX, ""),
    ],
)
async def test_send_as_is_denied_only_after_the_content(
    sim: Simulator, ready: Ready, mail_from: str, sender: str, denied: str
) -> None:
    """MAIL and RCPT are accepted first; both the envelope sender and From are checked."""
    client = await ready(sim)
    reply = await client.send(content(sender=sender), mail_from=mail_from)
    assert reply.startswith(DENIED.format(mailbox=MAILBOX, sender=denied))
    assert sim.messages[0].reply == reply
    assert not sim.messages[0].accepted


@pytest.mark.parametrize(
    ("size", "code"), [(1000, "250 2.0.0"), (1001, "554 5.2.0"), (2000, "554 5.2.0"), (2001, "552 5.3.4")]
)
async def test_the_size_is_checked_at_the_end(start: Start, ready: Ready, size: int, code: str) -> None:
    """Above the mailbox's limit the reply is 554 MapiExceptionMaxSubmissionExceeded, above the advertised limit 552."""
    sim = await start(limits=ExchangeLimits(tarpit=0, message_size=1000, advertised_size=2000))
    client = await ready(sim)
    head = content(body="")
    reply = await client.send(head + b"x" * (size - len(head) - 2) + b"\r\n")
    assert reply.startswith(code)
    assert ("MapiExceptionMaxSubmissionExceeded" in reply) == (code == "554 5.2.0")
    assert len(sim.violations) == (0 if code.startswith("250") else 1)
    assert (await client.command("NOOP")).startswith("250 ")


async def test_the_reply_names_the_message(sim: Simulator, ready: Ready) -> None:
    """The reply has the Message-ID of the client, else one of the server."""
    client = await ready(sim)
    assert " <1@contoso.com> " in await client.send()
    assert ".outlook.office365.com> " in await client.send(f"From: {MAILBOX}\r\n\r\n".encode())


async def test_a_message_in_chunks(sim: Simulator, ready: Ready) -> None:
    """BDAT (RFC 3030) transfers content without dot-stuffing."""
    client = await ready(sim)
    data = content(body="..\r\n.\r\n")
    assert (await client.commands((f"MAIL FROM:<{MAILBOX}> BODY=BINARYMIME", "RCPT TO:<a@b.c>"))).startswith("250 ")
    assert (await client.command("DATA")).startswith("503 ")
    client.write(b"BDAT 20\r\n" + data[:20])
    assert await client.reply() == "250 2.0.0 20 octets received"
    client.write(f"BDAT {len(data) - 20} LAST\r\n".encode() + data[20:])
    assert (await client.reply()).startswith("250 2.0.0 OK <1@contoso.com> ")
    assert sim.messages[0].content == data
