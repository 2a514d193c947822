"""The examples of README.md work as they are printed."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, KEY, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8025"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern in front of the simulator."""
    async with (
        Simulator(accounts=[ACCOUNT]) as simulator,
        open_harness(simulator, settings_for(simulator, tmp_path)) as harness,
    ):
        yield harness


def block(language: str, first: str) -> str:
    """Return the code block of README.md that begins with this text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    [text] = [one for one in found if one.startswith(first)]
    return str(text)


async def run(harness: Harness, program: str, *words: str) -> str:
    """Run a program with the environment that README.md describes; return its output."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        **harness.environment,
        "POSTERN_API_KEY": KEY,
        "RESEND_API_URL": harness.url,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(program, *words, env=environment, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_curl_example_sends_an_email(harness: Harness) -> None:
    """The first command returns an id, the second one the email with this id."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    send, _, read = block("sh", "curl").replace(ADDRESS, harness.url).partition('# {"id": "01a2b3c4-…"}\n')
    id = json.loads(await run(harness, "sh", "-c", send))["id"]
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    email = json.loads(await run(harness, "sh", "-c", read.replace("01a2b3c4-…", id)))
    assert (email["id"], email["subject"]) == (id, "Your receipt")
    assert harness.simulator.messages[0].recipients == ("ada@example.net",)


async def test_the_python_example_sends_an_urgent_email(harness: Harness) -> None:
    """Through the official SDK, with its base URL in the environment."""
    id = (await run(harness, sys.executable, "-c", block("python", "import os"))).strip()
    await harness.simulator.wait_for(1, WAIT_TIMEOUT)
    answer = await harness.caller.get(f"/emails/{id}")
    assert answer.json()["relay"]["lane"] == "urgent"
