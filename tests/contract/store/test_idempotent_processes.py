"""One Idempotency-Key over several processes: complete Posterns, one PostgreSQL, one email."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from app.simulator import Simulator
from app.store import Store
from tests.harness import ACCOUNT, EMAIL, KEY
from tests.processes import served
from tests.states import count_states
from tests.waiting import WAIT_TIMEOUT

PROCESSES = 4
REQUESTS = 200
HEADERS = {"authorization": f"Bearer {KEY}", "idempotency-key": "the-one"}


async def post(caller: httpx.AsyncClient, url: str, subject: str = EMAIL["subject"]) -> tuple[int, Any]:
    """Return status and body."""
    answer = await caller.post(f"{url}/emails", json=EMAIL | {"subject": subject})
    return answer.status_code, answer.json()


@asynccontextmanager
async def posterns(simulator: Simulator, folder: Path, url: str, count: int) -> AsyncIterator[list[str]]:
    """Start this many Posterns on one database; return their URLs."""
    facts = {"POSTERN_DATABASE_URL": url, "POSTERN_DRAIN_SECONDS": "2"}
    every = [served(simulator, folder, **facts) for _ in range(count)]
    started = await asyncio.gather(*(asyncio.to_thread(one.__enter__) for one in every))
    try:
        yield [process.url for process in started]
    finally:
        await asyncio.gather(*(asyncio.to_thread(one.__exit__, None, None, None) for one in every))


async def test_i3_two_hundred_requests_over_four_processes_are_one_email(postgres_url: str, tmp_path: Path) -> None:
    """Each answer has the same id, or 409 while another request is in progress. Afterwards every process, also one that
    was started later, answers a repetition with the id, and refuses another body."""
    limits = httpx.Limits(max_connections=REQUESTS)
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=WAIT_TIMEOUT, trust_env=False) as caller,
    ):
        async with posterns(simulator, tmp_path, postgres_url, PROCESSES) as urls:
            answers = await asyncio.gather(*(post(caller, urls[n % PROCESSES]) for n in range(REQUESTS)))
            (stored,) = {body["id"] for status, body in answers if status == 200}
            assert {body["name"] for status, body in answers if status != 200} <= {"concurrent_idempotent_requests"}
            for url in urls:
                assert await post(caller, url) == (200, {"id": stored})
                assert (await post(caller, url, "Other"))[0] == 409
            await simulator.wait_for(1, WAIT_TIMEOUT)
        async with posterns(simulator, tmp_path, postgres_url, 1) as urls:
            assert await post(caller, urls[0]) == (200, {"id": stored})
        assert len(simulator.messages) == 1
    store = await Store.open(postgres_url)
    assert sum((await count_states(store)).values()) == 1
    await store.close()
