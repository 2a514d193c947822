"""How much memory a Postern takes, measured as the peak of a process of its own, under callers who come all at once."""

import asyncio
import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import httpx
import pytest

from app.simulator import Simulator
from tests.house import ACCOUNT, EMAIL, KEY
from tests.processes import Process, served

CLIENTS = 64
ATTACHMENT = 10 * 2**20  # octets
MOST = 640 * 2**20  # octets: README.md, Limits
HEADERS = {"authorization": f"Bearer {KEY}"}


def storm(simulator: Simulator, folder: Path, octets: bytes) -> tuple[Process, int]:
    """All clients at once, each until its email is accepted. The process, and how often one was told to come again."""
    over = Semaphore(0)  # whoever is told to come again does so when another is done, or after the seconds it was told

    def post(_: int) -> int:
        refused = 0
        with httpx.Client(base_url=process.url, headers=HEADERS, timeout=100, trust_env=False) as caller:
            while (answer := caller.post("/emails", content=octets)).status_code == 503:
                assert answer.json()["reason"] == "too_much_in_flight"
                refused += 1
                over.acquire(timeout=int(answer.headers["retry-after"]))
        assert answer.status_code == 200, answer.text
        over.release()
        return refused

    with served(simulator, folder) as process, ThreadPoolExecutor(CLIENTS) as pool:
        told = sum(pool.map(post, range(CLIENTS)))
    return process, told


@pytest.mark.timeout(300)
async def test_large_attachments_all_at_once(tmp_path: Path) -> None:
    """64 clients with 10 MiB each: every email is accepted in the end, and what is relayed meanwhile counts too."""
    content = base64.b64encode(os.urandom(ATTACHMENT)).decode()
    octets = json.dumps({**EMAIL, "attachments": [{"filename": "a.bin", "content": content}]}).encode()
    async with Simulator(accounts=[ACCOUNT], keep=1) as simulator:
        process, told = await asyncio.to_thread(storm, simulator, tmp_path, octets)
        assert simulator.messages
    print(f"peak {process.peak / 2**20:.0f} MiB, {told} times told to come again")
    assert told > 0
    assert process.peak < MOST
