"""Plain SMTP transactions: MAIL, RCPT and DATA in one write, then the content (RFC 2920). The least that any
client needs; nothing is parsed but the last reply of a group.

Two uses: the floor of relaying (over STARTTLS with AUTH, to the sink), and the callers of Postfix (in plain text).
Run as its own process; each line read is an order `{"count", "content"}` and is answered with the seconds it took.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

_DOT = b".\r\n"


class Dialogue(asyncio.Protocol):
    """One connection. `exchange` writes a group of commands and waits for as many replies."""

    def __init__(self) -> None:
        self._lines = b""
        self._missing = 0
        self._replies: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport: at first, and again for TLS."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count final reply lines."""
        *lines, self._lines = (self._lines + data).split(b"\r\n")
        self._missing -= sum(line[3:4] == b" " for line in lines)
        if lines and (wrong := [line for line in lines if line[:1] not in b"23"]):
            self._replies.set_exception(RuntimeError(f"refused: {wrong[0]!r}"))
        elif not self._missing:
            self._replies.set_result(lines[-1])

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits for a reply."""
        if not self._replies.done():
            self._replies.set_exception(exc or RuntimeError("the server closed the connection"))

    async def exchange(self, commands: bytes, replies: int) -> bytes:
        """Write and wait for so many replies; return the last line."""
        self._missing += replies
        self._replies = asyncio.get_running_loop().create_future()
        if commands:
            self.transport.write(commands)
        return await self._replies


async def connect(port: int, ca_file: str | None, login: tuple[str, str] | None) -> Dialogue:
    """Open a session; with `ca_file` over STARTTLS and AUTH LOGIN."""
    loop, dialogue = asyncio.get_running_loop(), Dialogue()
    dialogue._missing, dialogue._replies = 1, loop.create_future()
    await loop.create_connection(lambda: dialogue, "127.0.0.1", port)
    await dialogue._replies
    await dialogue.exchange(b"EHLO bench.example\r\n", 1)
    if ca_file and login:
        await dialogue.exchange(b"STARTTLS\r\n", 1)
        context = ssl.create_default_context(cafile=ca_file)
        transport = await loop.start_tls(dialogue.transport, dialogue, context, server_hostname="localhost")
        assert transport is not None
        dialogue.transport = transport
        await dialogue.exchange(b"EHLO bench.example\r\n", 1)
        for word in (b"AUTH LOGIN", *(base64.b64encode(word.encode()) for word in login)):
            await dialogue.exchange(word + b"\r\n", 1)
    return dialogue


async def send(dialogues: Sequence[Dialogue], content: bytes, count: int) -> float:
    """Send `count` messages, one after the other on each connection; seconds."""
    envelope = f"MAIL FROM:<{os.environ['MAIL_FROM']}>\r\nRCPT TO:<{os.environ['RCPT_TO']}>\r\nDATA\r\n".encode()
    left = count

    async def work(dialogue: Dialogue) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await dialogue.exchange(envelope, 3)
            await dialogue.exchange(content + _DOT, 1)

    began = time.perf_counter()
    await asyncio.gather(*map(work, dialogues))
    return time.perf_counter() - began


async def main(connections: int) -> None:
    """Answer until standard input ends."""
    environment = os.environ
    login = (environment["SMTP_USER"], environment["SMTP_PASSWORD"]) if "SMTP_USER" in environment else None
    port, ca_file = int(environment["SMTP_PORT"]), environment.get("SMTP_CA_FILE")
    dialogues = [await connect(port, ca_file, login) for _ in range(connections)]
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        content = await asyncio.to_thread(Path(order["content"]).read_bytes)
        print(await send(dialogues, content, order["count"]), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
