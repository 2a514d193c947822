"""Hints from one process to the others, over PostgreSQL's LISTEN and NOTIFY. Never the truth: everybody looks anyway.

One is sent from a transaction of its own, after the commit that it tells about: PostgreSQL lets transactions that
notify commit one after the other, and no accept is to wait for that. What is rung within a moment is one hint. When
the connection is lost hints are lost with it; the next one begins with looking.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection, text

from app.store.db.engine import SERVER
from app.store.db.reader import Reader
from app.store.db.writer import OnDue
from app.store.errors import StoreUnavailableError
from app.store.records import WorkHint

DUE, FREE = "due", "free"  # there may be work; a mailbox may be free
_CHANNEL = "postern"
COALESCE_WINDOW = 0.05  # seconds
_RECONNECT_DELAY = 1.0  # seconds until a lost connection is made again
_KEEPALIVE = 60.0  # seconds after which the connection is tried


class NotifyChannel:
    """One for a store over the server at `url`; without one there is nobody to tell.

    `on_ring` says what to do for each hint that is heard; empty: nothing is heard.
    """

    def __init__(self, url: str | None, reader: Reader, on_ring: Mapping[str, Callable[[], None]]) -> None:
        self._url = url
        self._reader = reader
        self._on_ring = on_ring
        self._me = f"{random.getrandbits(64):x}"
        self._rung: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening = self._loop.create_task(self._listen(url)) if url and on_ring else None

    def notify(self, hint: str) -> None:
        """Tell the other processes, in a moment."""
        if self._url is None:
            return
        if not self._rung:
            self._loop.call_later(COALESCE_WINDOW, self._send)
        self._rung.add(hint)

    def notifying(self, hint: str, also: OnDue) -> OnDue:
        """What tells this process and the others."""

        def both(hints: frozenset[WorkHint]) -> None:
            also(hints)
            self.notify(hint)

        return both

    async def close(self) -> None:
        """Send what was rung, and hear no more."""
        self._send()
        await asyncio.gather(*self._sending)
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    def _send(self) -> None:
        rung, self._rung = self._rung, set()
        if rung:
            task = self._loop.create_task(self._notify(f"{self._me} {' '.join(sorted(rung))}"))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _notify(self, payload: str) -> None:
        with suppress(StoreUnavailableError):
            await self._reader.read(partial(_notify, payload=payload))

    async def _listen(self, url: str) -> None:
        import psycopg  # noqa: PLC0415 - SQLite does without it

        while True:
            with suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(url, autocommit=True, **SERVER) as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}".encode())
                    self._on_notify(f"- {' '.join(self._on_ring)}")  # what was said before is not known
                    while True:
                        async for said in connection.notifies(timeout=_KEEPALIVE):
                            self._on_notify(said.payload)
                        await connection.execute(b"SELECT 1")
            await asyncio.sleep(_RECONNECT_DELAY)

    def _on_notify(self, payload: str) -> None:
        who, *hints = payload.split()
        if who != self._me:
            for hint in hints:
                self._on_ring.get(hint, _ignore)()


def _ignore() -> None:
    """A hint of another version."""


def _notify(connection: Connection, payload: str) -> None:
    connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": _CHANNEL, "payload": payload})
    connection.commit()
