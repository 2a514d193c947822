"""Floor of durable acceptance: Starlette and one thread that commits whatever waits to SQLite. It checks almost nothing
and sends nothing."""

import asyncio
import json
import os
import queue
import sqlite3
import threading
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_Item = tuple[str, bytes, "asyncio.Future[None]"]


class Writer:
    """One connection and one thread. A future is resolved when its row is on the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        threading.Thread(target=self._work, daemon=True).start()

    async def write(self, id: str, content: bytes) -> None:
        """Store one message."""
        self._loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((id, content, stored))
        await stored

    def _work(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        for setting in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=8192"):
            database.execute(f"PRAGMA {setting}")
        database.execute("CREATE TABLE messages (id TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID")
        while True:
            group = [self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get())
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO messages VALUES (?, ?)", [(id, content) for id, content, _ in group])
            database.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, group)


def _resolve(group: list[_Item]) -> None:
    for _, _, stored in group:
        stored.set_result(None)


writer = Writer(os.environ["DATABASE"])


async def send(request: Request) -> JSONResponse:
    """Parse, store, answer."""
    content, id = await request.body(), str(uuid4())
    json.loads(content)
    await writer.write(id, content)
    return JSONResponse({"id": id})


app = Starlette(routes=[Route("/emails", send, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, loop="uvloop", http="httptools")
