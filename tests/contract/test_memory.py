"""How much memory a Postern takes, measured as the peak of a process of its own, under callers who come all at once."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import IO

import httpx
import pytest

from app.simulator import Simulator
from tests.house import ACCOUNT, EMAIL, KEY, MAILBOX, PASSWORD

CLIENTS = 64
ATTACHMENT = 10 * 2**20  # octets
MOST = 640 * 2**20  # octets: README.md, Limits
HEADERS = {"authorization": f"Bearer {KEY}"}


@dataclass
class Process:
    """A running `postern serve`. `peak` is known once it has ended: the most octets that were resident."""

    url: str
    peak: int = 0


@contextmanager
def served(simulator: Simulator, folder: Path, **changes: str) -> Iterator[Process]:
    """Until the end of the block, then SIGTERM."""
    ca_file = folder / "ca.pem"
    simulator.write_ca(ca_file)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("POSTERN_")},
        "POSTERN_MAILBOX": MAILBOX,
        "POSTERN_PASSWORD": PASSWORD,
        "POSTERN_API_KEY": KEY,
        "POSTERN_DATA_DIR": str(folder),
        "POSTERN_SMTP_HOST": "localhost",
        "POSTERN_SMTP_PORT": str(simulator.port),
        "POSTERN_SMTP_CA_FILE": str(ca_file),
        "POSTERN_IPV4_ONLY": "true",
        "POSTERN_PORT": "0",
        "POSTERN_LOG_FORMAT": "json",
        **changes,
    }
    command = [sys.executable, "-m", "app", "serve"]
    with (
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child,
        ThreadPoolExecutor(1) as aside,
    ):
        assert child.stderr is not None
        process = Process(_url(child.stderr))
        aside.submit(child.stderr.read)  # or it would stop at a full pipe
        try:
            yield process
        finally:
            child.send_signal(signal.SIGTERM)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            process.peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _url(log: IO[str]) -> str:
    for line in log:
        event = json.loads(line)
        if event["event"] == "started":
            return str(event["url"])
    raise AssertionError("it did not start")


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
