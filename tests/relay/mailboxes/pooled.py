"""Postern with four mailboxes in one pool."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from app.settings import Settings
from app.simulator import Account, Simulator
from tests.harness import EMAIL, PASSWORD, settings_for

MAILBOXES = [f"sender{number}@contoso.com" for number in range(4)]


def accounts(password: str = PASSWORD) -> list[Account]:
    """Return accounts that may send as any address of the domain."""
    return [Account(name, password=password, send_as=("*@contoso.com",)) for name in MAILBOXES]


def pooled(simulator: Simulator, folder: Path, **changes: Any) -> Settings:
    """Return settings with four mailboxes of one password, which is the simulator's."""
    mailboxes = [{"mailbox": name} for name in MAILBOXES]
    pool = {"name": "all", "senders": ["*@contoso.com"], "mailboxes": mailboxes}
    return settings_for(simulator, folder, mailbox=None, senders=None, pools=[pool], **changes)


async def post(caller: httpx.AsyncClient, gate: asyncio.Semaphore, **changes: object) -> str:
    """Post one email; return its id."""
    async with gate:
        answer = await caller.post("/emails", json={**EMAIL, "from": "shop@contoso.com", **changes})
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id
