"""SMTP client that writes raw bytes, for input that no library sends."""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Self

from app.simulator import Account, Point, Simulator

MAILBOX = "noreply@contoso.com"
PASSWORD = "correct horse"
TOKEN = "eyJ0eXAi.token"
ACCOUNT = Account(MAILBOX, PASSWORD, send_as=("*@sales.contoso.com",), aliases=("no-reply@contoso.com",), token=TOKEN)
PATIENCE = 5.0  # seconds

# What differs from session to session in Exchange's replies.
PLACES = {
    "{host}": r"[A-Z0-9]+\.outlook\.office365\.com",
    "{date}": r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} \+0000",
    "{session}": r"[0-9A-F]{16}",
    "{frontend}": r"[A-Z0-9.]+\.PROD\.OUTLOOK\.COM \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9A-F]{16}",
    "{backend}": r"[A-Z0-9.]+\.PROD\.OUTLOOK\.COM",
}


def content(*extra: str, sender: str = MAILBOX, body: str = "Hello.\r\n") -> bytes:
    """A small message, its dots not stuffed."""
    return "\r\n".join((f"From: {sender}", "Message-ID: <1@contoso.com>", *extra, "", body)).encode()


def b64(text: str) -> str:
    """SASL's clothes."""
    return base64.b64encode(text.encode()).decode()


def matches(expected: str, reply: str) -> bool:
    """True if the reply is the expected one, word for word but for the places."""
    pattern = re.escape(expected)
    for place, form in PLACES.items():
        pattern = pattern.replace(re.escape(place), form)
    return re.fullmatch(pattern, reply) is not None


def expect(expected: str, reply: str) -> None:
    """Assert it, showing both."""
    assert matches(expected, reply), f"\nexpected {expected!r}\ngot      {reply!r}"


class Client:
    """One connection. A reply is its lines joined by LF, code and hyphen included; "" is the end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, sim: Simulator) -> Self:
        """TCP only; the greeting is not read yet."""
        return cls(*await asyncio.open_connection(sim.host, sim.port))

    @classmethod
    async def greeted(cls, sim: Simulator) -> Self:
        """Up to the reply to EHLO, in clear."""
        client = await cls.connect(sim)
        await client.reply()
        await client.ask("EHLO client.example")
        return client

    @classmethod
    async def secured(cls, sim: Simulator) -> Self:
        """Up to the second EHLO."""
        client = await cls.greeted(sim)
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await client.start_tls(trusting(sim))
        await client.ask("EHLO client.example")
        return client

    @classmethod
    async def ready(cls, sim: Simulator, mailbox: str = MAILBOX, password: str = PASSWORD) -> Self:
        """Logged in."""
        client = await cls.secured(sim)
        await client.ask(f"AUTH LOGIN {b64(mailbox)}")
        assert (await client.ask(b64(password))).startswith("235 ")
        return client

    async def start_tls(self, context: ssl.SSLContext, host: str = "localhost") -> None:
        """The client's part of the handshake."""
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname=host), PATIENCE)

    def write(self, octets: bytes) -> None:
        """Write the bytes unchanged."""
        self.writer.write(octets)

    async def reply(self) -> str:
        """The next reply."""
        lines: list[str] = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), PATIENCE)).decode()
            if not line.endswith("\r\n"):
                return "\n".join([*lines, line])
            lines.append(line[:-2])
            if line[3:4] != "-":
                return "\n".join(lines)

    async def ask(self, line: str) -> str:
        """One line and its reply."""
        self.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self.reply()

    async def talk(self, lines: Iterable[str]) -> str:
        """Several lines, each after the reply to the one before; the last reply."""
        reply = ""
        for line in lines:
            reply = await self.ask(line)
        return reply

    async def envelope(self, mail_from: str = MAILBOX, rcpt_to: str = "ada@example.net") -> None:
        """MAIL, RCPT and DATA, all accepted."""
        reply = await self.talk((f"MAIL FROM:<{mail_from}>", f"RCPT TO:<{rcpt_to}>", "DATA"))
        assert reply.startswith("354 ")

    async def send(
        self, octets: bytes | None = None, mail_from: str = MAILBOX, rcpt_to: str = "ada@example.net"
    ) -> str:
        """A whole transaction: the reply to the final dot."""
        await self.envelope(mail_from, rcpt_to)
        self.write((content() if octets is None else octets) + b".\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def close(self) -> None:
        """Close our side."""
        self.writer.transport.abort()


def trusting(sim: Simulator) -> ssl.SSLContext:
    """A strict client's context."""
    return ssl.create_default_context(cadata=sim.ca_pem)


async def walk(sim: Simulator, client: Client) -> AsyncIterator[tuple[Point, str]]:
    """A whole session, each reply with the point it belongs to."""
    yield Point.GREETING, await client.reply()
    yield Point.EHLO, await client.ask("EHLO client.example")
    yield Point.STARTTLS, await client.ask("STARTTLS")
    await client.start_tls(trusting(sim))
    await client.talk(("EHLO client.example", f"AUTH LOGIN {b64(MAILBOX)}"))
    yield Point.AUTH, await client.ask(b64(PASSWORD))
    yield Point.MAIL, await client.ask(f"MAIL FROM:<{MAILBOX}>")
    yield Point.RCPT, await client.ask("RCPT TO:<ada@example.net>")
    yield Point.DATA, await client.ask("DATA")
    client.write(content() + b".\r\n")
    yield Point.DOT, await client.reply()
    yield Point.QUIT, await client.ask("QUIT")
