"""Full disk of the PostgreSQL server: accepted messages are stored, others get 503."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.simulator import ExchangeLimits, Simulator
from tests.harness import ACCOUNT, EMAIL, Harness, open_harness, settings_for
from tests.postgres import Server, another

LARGE = {**EMAIL, "text": "Some text that is as long as a line of mail can be, or near.\n" * 8000}

LIMITS = ExchangeLimits(connections_sending=1000, messages_per_minute=10**9, tarpit=0)


@pytest.fixture
def small() -> Iterator[Path]:
    """File system of 32 MiB that the server's account may write to."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can only be mounted by root (mount -t tmpfs)")
    with tempfile.TemporaryDirectory(prefix="postern-small-") as folder:
        Path(folder).chmod(0o755)
        place = Path(folder, "place")
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
        mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def server(postgres_server: Server, small: Path) -> Iterator[Server]:
    """Server that is removed before its disk: its pending writes would fail every checkpoint of another."""
    with another(postgres_server) as server:
        yield server


@pytest.mark.timeout(240)
async def test_a_full_disk_of_the_server_is_survived(server: Server, small: Path, tmp_path: Path) -> None:
    """With space again, accepting and relaying continue without a restart."""
    url = server.create_database(small)
    async with Simulator(accounts=[ACCOUNT], limits=LIMITS) as simulator:
        settings = settings_for(simulator, tmp_path, database_url=url, messages_per_minute=100_000)
        async with open_harness(simulator, settings) as harness:
            ids, refused = await fill(harness)
            assert {answer["name"] for answer in refused} == {"application_error"}
            assert (await harness.email(ids[0]))["subject"] == EMAIL["subject"]
            subprocess.run(["mount", "-o", "remount,size=256m", str(small)], check=True)
            ids.append(await harness.post())
            for id in ids:
                assert (await harness.until(id, "done"))["last_event"] == "sent"
            assert (await harness.caller.get("/readyz")).status_code == 200


async def fill(harness: Harness) -> tuple[list[UUID], list[dict[str, object]]]:
    """Post until five were refused; return the accepted ids and the errors."""
    ids: list[UUID] = []
    refused: list[dict[str, object]] = []
    while len(refused) < 5:
        answer = await harness.caller.post("/emails", json=LARGE)
        if answer.status_code == 200:
            ids.append(UUID(answer.json()["id"]))
        else:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            refused.append(answer.json())
    return ids, refused
