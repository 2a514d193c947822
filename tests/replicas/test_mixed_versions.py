"""Rolling upgrade: a replica of the previous version and one of this version on one PostgreSQL."""

import asyncio
import io
import random
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.simulator import ExchangeLimits
from tests.crash.conftest import Figure
from tests.crash.process_control import ROOT, ProcessControl
from tests.replicas.cluster import Cluster
from tests.replicas.load import Callers, all_ended, verify_all

PREVIOUS = "1119190"  # the oldest commit that may run beside this one
FORK_SERVER = "tests.crash.fork_server"  # its module that starts replicas
EMAILS = 400
FREE = ExchangeLimits(messages_per_minute=1_000_000, recipients_per_day=1_000_000_000)
_SCHEMA = "SELECT version_num FROM alembic_version"


@pytest.fixture
async def previous(tmp_path: Path) -> AsyncIterator[ProcessControl]:
    """Start replicas of the previous version from its own tree."""
    git = shutil.which("git")
    if git is None or subprocess.run([git, "cat-file", "-e", PREVIOUS], cwd=ROOT, check=False).returncode:
        pytest.skip(f"the history does not have {PREVIOUS}: fetch it (git fetch --unshallow)")
    archive = subprocess.run([git, "archive", PREVIOUS, "app", "tests"], cwd=ROOT, check=True, capture_output=True)
    root = tmp_path / "previous"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(root, filter="data")
    folder = tmp_path / "previous-log"
    folder.mkdir()
    async with ProcessControl(folder, {}, root, FORK_SERVER) as process_control:
        yield process_control


@pytest.mark.timeout(300)
async def test_two_versions_share_a_database(
    cluster: Callable[..., Any], previous: ProcessControl, figure: Figure, tmp_path: Path
) -> None:
    """Both accept and relay concurrently without a deadlock or loss, also after the migration."""
    row: Cluster = await cluster(mailboxes=2, limits=FREE, POSTERN_MESSAGES_PER_MINUTE="1000000")
    row.children[0] = await previous.start(row.environment(0))
    await row.ready(0)
    before = await row.ask(_SCHEMA)
    row.children[1] = await row.process_control.start(row.environment(1))
    await row.ready(1)
    callers = Callers(row, EMAILS, random.Random(11))
    refused = asyncio.create_task(_refused(row))
    await callers.post()
    await refused
    await all_ended(row, within=120.0)
    account = await verify_all(row, callers.accepted)
    figure("schema before / after", f"{before[0][0]} / {(await row.ask(_SCHEMA))[0][0]}")
    figure("relayed / flagged", f"{account.relayed} / {account.flagged}")
    assert account.relayed == EMAILS
    assert (await row.ask("SELECT count(DISTINCT mailbox) FROM attempts"))[0][0] == 2
    logs = row.process_control.log.read_text("utf-8") + previous.log.read_text("utf-8")
    assert "deadlock" not in logs.lower(), logs[-3000:]


async def _refused(row: Cluster) -> None:
    """Send emails that both replicas refuse and count in the same transactions as accepted ones."""
    for turn in range(40):
        body = {"from": "ceo@fabrikam.com", "to": "a@example.net", "subject": "s", "text": "t"}
        answer = await row.http.post(f"{row.at(turn % 2)}/emails", json=body)
        assert answer.status_code == 403, answer.text
