"""Disk that is full, read-only or broken for a while, under a running Postern."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.conftest import Figure, Scale
from tests.crash.disk.disks import DISKS, Disk
from tests.crash.kill_loop import simulated_upstream
from tests.crash.process_control import Child, caller_for, environment_for, free_port
from tests.crash.verification import Received, verify
from tests.harness import EMAIL
from tests.waiting import WAIT_TIMEOUT, until

BOUND = 100.0  # seconds until all is well again: a lease that could not be given back runs out after 60


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", DISKS)
async def test_no_message_is_accepted_that_cannot_be_stored(
    kind: str, process_control: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """A 200 means stored, the rest is 503; after the fault Postern recovers without a restart."""
    with DISKS[kind](tmp_path.resolve()) as disk:
        async with simulated_upstream() as simulator:
            port = free_port()
            control = await process_control(**disk.preload)
            child = await control.start({**environment_for(simulator, disk.data, port), **disk.environment})
            async with caller_for(port) as http:
                answers = await run_with_fault(http, scale.posts, disk, child)
                well_again = asyncio.get_running_loop().time()
                ids = [*answers.ids, *[await accepted_at_last(http, f"after{number}") for number in range(5)]]
                first = asyncio.get_running_loop().time() - well_again
                emails = [await relayed(http, id) for id in ids]
                last = asyncio.get_running_loop().time() - well_again
            assert not child.ended.is_set(), control.tail()
            await child.kill()
        total = verify(emails, Received(simulator.messages))
        with closing(sqlite3.connect(disk.data / "postern.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert control.logged("crashed") == 0, control.tail()
    assert set(answers.statuses) == {200, 503}
    figure("posts answered 200 / 503 / lost", f"{answers.statuses[200]} / {answers.statuses[503]} / 0")
    figure("relayed / flagged / taken twice", f"{total.relayed} / {total.flagged} / {total.twice}")
    figure("well again: first 5 accepted, all relayed", f"{first:.2f} s, {last:.1f} s")


class Answers:
    """Responses that callers read."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.statuses: Counter[int] = Counter()

    def add(self, answer: httpx.Response) -> None:
        """Record a 200 with an id, or a 503 in the common form; fail for anything else."""
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.ids.append(answer.json()["id"])
            return
        body = answer.json()
        assert (answer.status_code, body["statusCode"], body["name"]) == (503, 503, "application_error"), answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert body["message"]


async def run_with_fault(http: httpx.AsyncClient, posts: int, disk: Disk, child: Child) -> Answers:
    """Run eight callers; a third of the posts before the fault, and at least a third during it."""
    answers, numbers = Answers(), iter(range(posts))
    await listening(http)

    async def call() -> None:
        for number in numbers:
            if number == posts // 3:
                disk.begin()
            answers.add(await http.post("/emails", json={**EMAIL, "to": f"n{number}@example.net"}))
            await asyncio.sleep(0.01)

    await asyncio.gather(*(call() for _ in range(8)))
    async with asyncio.timeout(WAIT_TIMEOUT):
        extra = 0
        while answers.statuses[503] < posts // 3:  # a disk fills up in its own time
            extra += 1
            answers.add(await http.post("/emails", json={**EMAIL, "to": f"extra{extra}@example.net"}))
    assert not child.ended.is_set()
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).status_code in (200, 503)  # a disk may be full for an email and not for a mark
    disk.end()
    return answers


async def listening(http: httpx.AsyncClient) -> None:
    """Wait until it is ready."""

    async def ready() -> bool:
        with suppress(httpx.TransportError):
            return (await http.get("/readyz")).status_code == 200
        return False

    await until(ready)


async def accepted_at_last(http: httpx.AsyncClient, name: str) -> str:
    """Return the id once it is accepted."""

    async def accepted() -> str | None:
        answer = await http.post("/emails", json={**EMAIL, "to": f"{name}@example.net"})
        return str(answer.json()["id"]) if answer.status_code == 200 else None

    return await until(accepted)


async def relayed(http: httpx.AsyncClient, id: str) -> dict[str, Any]:
    """Return the email once it has ended."""

    async def ended() -> dict[str, Any] | None:
        email: dict[str, Any] = (await http.get(f"/emails/{id}")).json()
        return email if email["relay"]["state"] in ("done", "held") else None

    return await until(ended, BOUND)
