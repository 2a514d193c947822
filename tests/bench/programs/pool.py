"""app/smtp's pool alone: one finished message many times over 3 connections. Nothing is composed, nothing is stored.

Run as its own process. Each line read is an order `{"count", "content"}`, answered with the seconds it took; `content`
is the file of the message.
"""

import asyncio
import json
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
    """The pool as app/main makes it, but no session ends by its number of messages."""
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

    return SessionPool(LoginGate(open_one), CONNECTIONS, max_messages=sys.maxsize)  # as Nodemailer and Postfix here


async def relay(pool: SessionPool, envelope: Envelope, content: bytes, count: int) -> float:
    """Seconds for `count` messages, sent as the relay's workers do: one after the other on each connection."""

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
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        content = await asyncio.to_thread(Path(order["content"]).read_bytes)
        print(await relay(pool, envelope, content, order["count"]), flush=True)
    await pool.close(1.0)


if __name__ == "__main__":
    uvloop.run(main())
