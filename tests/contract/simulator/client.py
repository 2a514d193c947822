"""SMTP client that writes raw bytes, for input that no library sends."""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Self

from app.simulator import Account, Point, Simulator
from tests.waiting import WAIT_TIMEOUT

MAILBOX = "noreply@contoso.com"
PASSWORD = "correct horse"
TOKEN = "eyJ0eXAi.token"
ACCOUNT = Account(MAILBOX, PASSWORD, send_as=("*@sales.contoso.com",), aliases=("no-reply@contoso.com",), token=TOKEN)

# Values that differ between sessions in Exchange's replies.
PLACEHOLDERS = {
    "{host}": r"[A-Z0-9]+\.outlook\.office365\.com",
    "{date}": r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} \+0000",
    "{session}": r"[0-9A-F]{16}",
    "{frontend}": r"[A-Z0-9.]+\.PROD\.OUTLOOK\.COM \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9A-F]{16}",
    "{backend}": r"[A-Z0-9.]+\.PROD\.OUTLOOK\.COM",
}


def content(*extra: str, sender: str = MAILBOX, body: str = "Hello.\r\n") -> bytes:
    """Return a small message without dot-stuffing."""
    return "\r\n".join((f"From: {sender}", "Message-ID: <1@contoso.com>", *extra, "", body)).encode()


def b64(text: str) -> str:
    """Encode text in base64, as SASL requires."""
    return base64.b64encode(text.encode()).decode()


def matches(expected: str, reply: str) -> bool:
    """Return True if the reply is the expected one, with any values for the placeholders."""
    pattern = re.escape(expected)
    for placeholder, form in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), form)
    return re.fullmatch(pattern, reply) is not None


def expect(expected: str, reply: str) -> None:
    """Assert that the reply is the expected one."""
    assert matches(expected, reply), f"\nexpected {expected!r}\ngot      {reply!r}"


class Client:
    """One connection. A reply is its lines joined by LF, with code and hyphen; "" is the end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, sim: Simulator) -> Self:
        """Connect with TCP. The greeting is not read."""
        return cls(*await asyncio.open_connection(sim.host, sim.port))

    @classmethod
    async def greeted(cls, sim: Simulator) -> Self:
        """Connect, and send EHLO without TLS."""
        client = await cls.connect(sim)
        await client.reply()
        await client.command("EHLO client.example")
        return client

    @classmethod
    async def secured(cls, sim: Simulator) -> Self:
        """Connect, start TLS, and send EHLO again."""
        client = await cls.greeted(sim)
        assert (await client.command("STARTTLS")).startswith("220 ")
        await client.start_tls(verifying_context(sim))
        await client.command("EHLO client.example")
        return client

    @classmethod
    async def ready(cls, sim: Simulator, mailbox: str = MAILBOX, password: str = PASSWORD) -> Self:
        """Connect and log in over TLS."""
        client = await cls.secured(sim)
        await client.command(f"AUTH LOGIN {b64(mailbox)}")
        assert (await client.command(b64(password))).startswith("235 ")
        return client

    async def start_tls(self, context: ssl.SSLContext, host: str = "localhost") -> None:
        """Run the TLS handshake."""
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname=host), WAIT_TIMEOUT)

    def write(self, data: bytes) -> None:
        """Write the bytes unchanged."""
        self.writer.write(data)

    async def reply(self) -> str:
        """Return the next reply."""
        lines: list[str] = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), WAIT_TIMEOUT)).decode()
            if not line.endswith("\r\n"):
                return "\n".join([*lines, line])
            lines.append(line[:-2])
            if line[3:4] != "-":
                return "\n".join(lines)

    async def command(self, line: str) -> str:
        """Send one line and return its reply."""
        self.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self.reply()

    async def commands(self, lines: Iterable[str]) -> str:
        """Send several lines, each after the reply to the previous one. Return the last reply."""
        reply = ""
        for line in lines:
            reply = await self.command(line)
        return reply

    async def envelope(self, mail_from: str = MAILBOX, rcpt_to: str = "ada@example.net") -> None:
        """Send MAIL, RCPT and DATA, which must be accepted."""
        reply = await self.commands((f"MAIL FROM:<{mail_from}>", f"RCPT TO:<{rcpt_to}>", "DATA"))
        assert reply.startswith("354 ")

    async def send(self, data: bytes | None = None, mail_from: str = MAILBOX, rcpt_to: str = "ada@example.net") -> str:
        """Send one message and return the reply to the final dot."""
        await self.envelope(mail_from, rcpt_to)
        self.write((content() if data is None else data) + b".\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Return all bytes up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), WAIT_TIMEOUT)

    async def close(self) -> None:
        """Abort the connection."""
        self.writer.transport.abort()


def verifying_context(sim: Simulator) -> ssl.SSLContext:
    """Return a TLS context that verifies the simulator's certificate."""
    return ssl.create_default_context(cadata=sim.ca_pem)


async def walk(sim: Simulator, client: Client) -> AsyncIterator[tuple[Point, str]]:
    """Run a complete session and return each reply with its point."""
    yield Point.GREETING, await client.reply()
    yield Point.EHLO, await client.command("EHLO client.example")
    yield Point.STARTTLS, await client.command("STARTTLS")
    await client.start_tls(verifying_context(sim))
    await client.commands(("EHLO client.example", f"AUTH LOGIN {b64(MAILBOX)}"))
    yield Point.AUTH, await client.command(b64(PASSWORD))
    yield Point.MAIL, await client.command(f"MAIL FROM:<{MAILBOX}>")
    yield Point.RCPT, await client.command("RCPT TO:<ada@example.net>")
    yield Point.DATA, await client.command("DATA")
    client.write(content() + b".\r\n")
    yield Point.DOT, await client.reply()
    yield Point.QUIT, await client.command("QUIT")
