"""Hints between processes by PostgreSQL's LISTEN and NOTIFY. A lost hint only delays work: all processes also poll.

A hint is sent in a transaction of its own after the commit that it reports, because PostgreSQL serialises the commits
of transactions that notify, and an accept must not wait for that. Hints within COALESCE_WINDOW are sent once. Hints are
lost with the connection, so a new connection begins with a poll.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection, text

from app.store.db.engine import SERVER
from app.store.db.reader import Reader
from app.store.errors import StoreUnavailableError

DUE, FREE = "due", "free"  # work may be due; a mailbox may have become free
_CHANNEL = "postern"
COALESCE_WINDOW = 0.05  # seconds
_RECONNECT_DELAY = 1.0  # seconds before a lost connection is opened again
_KEEPALIVE = 60.0  # seconds after which an idle connection is tested


class NotifyChannel:
    """Channel on the database server at `url`."""

    def __init__(self, url: str, reader: Reader) -> None:
        self._url = url
        self._reader = reader
        self._on_hint: Mapping[str, Callable[[], None]] = {}
        self._me = f"{random.getrandbits(64):x}"
        self._pending: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening: asyncio.Task[None] | None = None

    def notify(self, hint: str) -> None:
        """Send the hint to the other processes within COALESCE_WINDOW."""
        if not self._pending:
            self._loop.call_later(COALESCE_WINDOW, self._send)
        self._pending.add(hint)

    def listen(self, on_hint: Mapping[str, Callable[[], None]]) -> None:
        """Listen from now on; `on_hint` has the function for each hint of another process."""
        self._on_hint = on_hint
        self._listening = self._loop.create_task(self._listen())

    async def close(self) -> None:
        """Send pending hints and stop listening."""
        self._send()
        await asyncio.gather(*self._sending)
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    def _send(self) -> None:
        hints, self._pending = self._pending, set()
        if hints:
            task = self._loop.create_task(self._notify(f"{self._me} {' '.join(sorted(hints))}"))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _notify(self, payload: str) -> None:
        with suppress(StoreUnavailableError):
            await self._reader.read(partial(_notify, payload=payload))

    async def _listen(self) -> None:
        import psycopg  # noqa: PLC0415 - SQLite does without it

        while True:
            with suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, **SERVER) as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}".encode())
                    self._on_notify(f"- {' '.join(self._on_hint)}")  # hints before the connection were lost
                    while True:
                        async for received in connection.notifies(timeout=_KEEPALIVE):
                            self._on_notify(received.payload)
                        await connection.execute(b"SELECT 1")
            await asyncio.sleep(_RECONNECT_DELAY)

    def _on_notify(self, payload: str) -> None:
        sender, *hints = payload.split()
        if sender != self._me:
            for hint in hints:
                self._on_hint.get(hint, _ignore)()


def _ignore() -> None:
    """Ignore a hint of another version."""


def _notify(connection: Connection, payload: str) -> None:
    connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": _CHANNEL, "payload": payload})
    connection.commit()
