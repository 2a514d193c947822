"""Every operation of the specification with schemathesis' generated requests and all of its checks.

In its bounded form it is one of all tests; WHOLE=1 (`make fuzz`) makes more than 20,000 requests.
"""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, KEY, MAILBOX
from tests.processes import Process, served

HERE = Path(__file__).parent
WHOLE = "WHOLE" in os.environ
EXAMPLES, LEAST = (600, 20_000) if WHOLE else (3, 150)  # of each operation, and requests in all
PHASES = "examples,coverage,fuzzing" if WHOLE else "examples,fuzzing"
MOST = 400 * 2**20  # bytes of memory


def schemathesis(simulator: Simulator, folder: Path) -> tuple[subprocess.CompletedProcess[str], Process]:
    """Run schemathesis against a Postern process, with the same seed each time."""
    with (
        served(simulator, folder, POSTERN_DEFAULT_SENDER=MAILBOX, POSTERN_DRAIN_SECONDS="1") as process,
        httpx.Client(base_url=process.url, headers={"authorization": f"Bearer {KEY}"}) as asked,
    ):
        [key] = asked.get("/keys").json()["data"]  # so many requests are refused here that their limit has to be away
        assert asked.patch(f"/keys/{key['id']}", json={"messages_per_minute": 10**9}).status_code == 200
        program = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml")]
        options = ["-c", "all", "--phases", PHASES, "-n", str(EXAMPLES), "--seed", "1815", "-w", "2"]
        completed = subprocess.run(
            [*program, "run", f"{process.url}/openapi.json", "-H", f"Authorization: Bearer {KEY}", *options],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.schema.hooks", "PYTHONPATH": str(HERE.parents[1])},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    return completed, process


@pytest.mark.timeout(3600 if WHOLE else 300)
async def test_e5_no_request_is_answered_outside_the_specification(tmp_path: Path) -> None:
    """No 5xx and no undocumented response; afterwards the process runs, stops cleanly, and has used little memory."""
    async with Simulator(accounts=[ACCOUNT], max_records=10) as simulator:
        completed, process = await asyncio.to_thread(schemathesis, simulator, tmp_path)
    assert completed.returncode == 0, completed.stdout[-20_000:] + completed.stderr
    made = re.search(r"^\s*(\d+) generated", completed.stdout, re.MULTILINE)
    assert made is not None
    print(f"{made[1]} requests, peak {process.peak / 2**20:.0f} MiB")
    assert int(made[1]) >= LEAST
    assert process.peak < MOST
    assert process.status == 0
