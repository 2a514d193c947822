"""CPU time that a request with a long hostile text costs the process, at two lengths. Growth is asserted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, EMAIL, KEY, MAILBOX
from tests.processes import Process, served

MOST = 2.5  # times the CPU time, for twice the length
FLOOR = 0.2  # CPU seconds of all requests of one length; less does not delay other callers
REQUESTS = 3
Send = Callable[[httpx.Client, str], httpx.Response]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the CPU time of a process is read there")


def _unknown_path(caller: httpx.Client, text: str) -> httpx.Response:
    return caller.get(f"/{text}", headers={"authorization": ""})


def _email_from(path: str) -> Send:
    return lambda caller, text: caller.post(path, json={**EMAIL, "from": f"{text} <{MAILBOX}>"})


def _prefer(caller: httpx.Client, text: str) -> httpx.Response:
    id = caller.post("/emails", json=EMAIL).json()["id"]
    return caller.get(f"/emails/{id}", headers={"prefer": text})


def _punycode(size: int) -> str:
    """An encoded word of that many characters, all of which are different ideographs."""
    name = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(size // 2))
    return f"=?punycode?q?{name.encode('punycode')[:size].decode()}?="


ATTACKS: dict[str, tuple[Send, Callable[[int], str], int]] = {
    "masked path": (_unknown_path, lambda size: "a" * size + "%20@x", 12_000),
    "punycode": (_email_from("/emails"), _punycode, 8_000),
    "validated punycode": (_email_from("/emails/validate"), _punycode, 8_000),
    "encoded words without an end": (_email_from("/emails"), lambda size: "=?a?q?x" * (size // 7), 32_000),
    "open quote in Prefer": (_prefer, lambda size: 'wait="' + '\\"' * (size // 2), 8_000),
}


def cost(process: Process, send: Send, text: str) -> float:
    """CPU seconds of the requests with this text, each of which is answered."""
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=process.url, headers=headers, timeout=100, trust_env=False) as caller:
        before = process.cpu()
        for _ in range(REQUESTS):
            assert send(caller, text).status_code < 500
        return process.cpu() - before


@pytest.mark.timeout(300)
async def test_twice_the_length_costs_at_most_in_proportion(tmp_path: Path) -> None:
    """Of paths in a masked log, display names and header values, by every route that reads them."""
    async with Simulator(accounts=[ACCOUNT], max_records=1) as simulator:

        def run() -> dict[str, list[float]]:
            with served(simulator, tmp_path, POSTERN_LOG_ADDRESSES="masked") as process:
                return {
                    name: [cost(process, send, text(length)) for length in (size, 2 * size)]
                    for name, (send, text, size) in ATTACKS.items()
                }

        costs = await asyncio.to_thread(run)
    print(costs)
    assert {name: pair for name, pair in costs.items() if pair[1] > MOST * max(pair[0], FLOOR)} == {}
