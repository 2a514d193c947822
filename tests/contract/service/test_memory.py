"""Peak memory of a Postern process under concurrent callers."""

import asyncio
import base64
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import httpx
import pytest

from app.clock import Clock
from app.simulator import Simulator
from tests.harness import ACCOUNT, EMAIL, KEY
from tests.processes import Process, served

CLIENTS = 64
ATTACHMENT = 10 * 2**20  # bytes
MOST = 640 * 2**20  # bytes: README.md, Limits
HEADERS = {"authorization": f"Bearer {KEY}"}


def storm(simulator: Simulator, folder: Path, data: bytes) -> tuple[Process, int]:
    """Run all clients until their emails are accepted. Return the process and the number of 503s."""
    over = Semaphore(0)  # a refused client repeats when another is done, or after Retry-After

    def post(_: int) -> int:
        refused = 0
        with httpx.Client(base_url=process.url, headers=HEADERS, timeout=100, trust_env=False) as caller:
            while (answer := caller.post("/emails", content=data)).status_code == 503:
                assert answer.json()["reason"] == "too_much_in_flight"
                refused += 1
                over.acquire(timeout=int(answer.headers["retry-after"]))
        assert answer.status_code == 200, answer.text
        over.release()
        return refused

    with served(simulator, folder) as process, ThreadPoolExecutor(CLIENTS) as pool:
        refused = sum(pool.map(post, range(CLIENTS)))
    return process, refused


@pytest.mark.timeout(300)
async def test_concurrent_large_attachments_stay_within_the_memory_bound(tmp_path: Path) -> None:
    """64 clients with 10 MiB each: every email is accepted in the end, while others are relayed."""
    content = base64.b64encode(os.urandom(ATTACHMENT)).decode()
    data = json.dumps({**EMAIL, "attachments": [{"filename": "a.bin", "content": content}]}).encode()
    async with Simulator(accounts=[ACCOUNT], max_records=1) as simulator:
        process, refused = await asyncio.to_thread(storm, simulator, tmp_path, data)
        assert simulator.messages
    print(f"peak {process.peak / 2**20:.0f} MiB, {refused} requests refused")
    assert refused > 0
    assert process.peak < MOST


READERS = 12
BODY = 49 * 2**20  # bytes: just below the default limit of a body
BASE = json.dumps(EMAIL).encode()[:-1]
HTML = BASE.replace(b'"text"', b'"ignored"')
FILE = BASE + b',"attachments":[{"filename":"a","content":['
HOSTILE: dict[str, tuple[Callable[[], bytes], int]] = {  # made when they are used: together they have 500 MiB
    "objects": (lambda: BASE + b',"x":[' + b"{}," * (BODY // 3) + b"{}]}", 413),
    "lists": (lambda: BASE + b',"x":[' + b"[]," * (BODY // 3) + b"[]]}", 413),
    "floats": (lambda: FILE + b"35.0," * (BODY // 5) + b"35.0]}]}", 413),
    "numbers": (lambda: BASE + b',"x":[' + b"1," * (BODY // 2) + b"1]}", 413),
    "octets": (lambda: FILE + b"255," * (BODY // 4) + b"255]}]}", 200),
    "tabs": (lambda: HTML[:-1] + b'","html":"<pre>' + b"\\t" * (BODY // 2) + b'"}', 200),
    "paragraphs": (lambda: HTML + b',"html":"' + b"<p>a" * (30 * 2**18) + b'"}', 200),
    "surrogate": (lambda: BASE + b',"x":{"y":["' + b"a" * (20 * 2**20) + b'","\\ud800"]}}', 200),
    "wide text": (lambda: HTML + b',"text":"\xf0\x9f\x98\x80' + b"a" * BODY + b'"}', 422),
    "header name": (lambda: BASE + b',"headers":{"' + b"x" * BODY + b'":"a"}}', 422),
    "names": (lambda: BASE + b',"x":{' + b",".join(b'"%d":0' % n for n in range(4_000_000)) + b"}}", 413),
}


def attacked(process: Process, body: bytes, **headers: str) -> tuple[set[int], float]:
    """Return the statuses of the attack, four at once, and the longest wait of another caller in seconds."""
    clock, slowest = Clock(), 0.0

    def post(_: int) -> int:
        with httpx.Client(base_url=process.url, headers=HEADERS | headers, timeout=100, trust_env=False) as caller:
            return caller.post("/emails", content=body).status_code

    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=process.url, headers=HEADERS, trust_env=False) as other:
        attack = [pool.submit(post, n) for n in range(4)]
        while not all(one.done() for one in attack):
            began = clock.monotonic()
            assert other.post("/emails", json=EMAIL, timeout=30).status_code == 200
            slowest = max(slowest, clock.monotonic() - began)
            assert other.get("/healthz").status_code == 200
    return {one.result() for one in attack}, slowest


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bodies_stay_within_the_memory_bound(tmp_path: Path, name: str) -> None:
    """With an Idempotency-Key, too; another caller is answered meanwhile."""
    make, status = HOSTILE[name]
    body = make()
    async with Simulator(accounts=[ACCOUNT], max_records=1) as simulator:

        def run() -> tuple[Process, set[int], float]:
            with served(simulator, tmp_path) as process:
                statuses, slowest = attacked(process, body, **{"idempotency-key": name})
            return process, statuses, slowest

        process, statuses, slowest = await asyncio.to_thread(run)
    print(f"{name}: peak {process.peak / 2**20:.0f} MiB, statuses {statuses}, others waited {slowest:.2f} s at most")
    assert statuses - {409, 503} <= {status}
    assert process.peak < MOST


@pytest.mark.timeout(300)
async def test_concurrent_readers_stay_within_the_memory_bound(tmp_path: Path) -> None:
    """Of a large email, its attachments and one of them: they take turns or get 503."""
    content = base64.b64encode(os.urandom(23 * 2**20)).decode()
    async with Simulator(accounts=[ACCOUNT], max_records=1) as simulator:

        def get(process: Process, path: str) -> int:
            with httpx.Client(base_url=process.url, headers=HEADERS, timeout=100, trust_env=False) as caller:
                return caller.get(path).status_code

        def run() -> tuple[Process, set[int]]:
            with served(simulator, tmp_path) as process, ThreadPoolExecutor(3 * READERS) as pool:
                with httpx.Client(base_url=process.url, headers=HEADERS, timeout=100, trust_env=False) as caller:
                    email = {**EMAIL, "attachments": [{"filename": "a.bin", "content": content}]}
                    path = f"/emails/{caller.post('/emails', json=email).json()['id']}"
                    download = caller.get(f"{path}/attachments").json()["data"][0]["download_url"]
                    paths = [path, f"{path}/attachments", download] * READERS
                    found = [pool.submit(get, process, one) for one in paths]
                    while not all(one.done() for one in found):
                        assert caller.post("/emails", json=EMAIL).status_code == 200
                return process, {one.result() for one in found}

        process, statuses = await asyncio.to_thread(run)
    print(f"peak {process.peak / 2**20:.0f} MiB, statuses {statuses}")
    assert 200 in statuses
    assert statuses <= {200, 503}
    assert process.peak < MOST
