"""app/smtp's pool alone: one finished message many times over 3 connections. Nothing is composed, nothing is stored.

Run as a process of its own. Each line read is a count; it is answered with the seconds that so many took.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

from app.mail.message.message import Envelope
from app.smtp import tls
from app.smtp.auth.credentials import Password
from app.smtp.handshake import Refusal, Session, Upstream, open_session
from app.smtp.login_gate import LoginGate
from app.smtp.pool import SessionPool

CONNECTIONS = 3


def make() -> SessionPool:
    """The pool as app/main makes it."""
    credentials = Password(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
    upstream = Upstream(
        host=os.environ["SMTP_HOST"],
        port=int(os.environ["SMTP_PORT"]),
        ehlo_name="bench.example",
        tls=tls.context(Path(os.environ["SMTP_CA_FILE"])),
        ipv4_only=True,
    )

    async def open_one() -> Session | Refusal:
        return await open_session(upstream, credentials)

    return SessionPool(LoginGate(open_one), CONNECTIONS)


async def relay(pool: SessionPool, envelope: Envelope, content: bytes, count: int) -> float:
    """Seconds for `count` messages, offered as the relay's workers do: one after the other on each connection."""

    async def at_once() -> bool:
        return True

    async def lane(share: int) -> None:
        for _ in range(share):
            attempt = await pool.deliver(envelope, content, at_once)
            if attempt.reply is None or not attempt.reply.positive:
                raise RuntimeError(f"refused: {attempt}")

    began = time.perf_counter()
    shares = [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]
    await asyncio.gather(*map(lane, shares))
    return time.perf_counter() - began


async def main() -> None:
    """Answer until standard input ends."""
    pool = make()
    envelope = Envelope(os.environ["MAIL_FROM"], (os.environ["RCPT_TO"],))
    content = Path(os.environ["CONTENT_FILE"]).read_bytes()
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await relay(pool, envelope, content, int(line)), flush=True)
    await pool.close(1.0)


if __name__ == "__main__":
    uvloop.run(main())
