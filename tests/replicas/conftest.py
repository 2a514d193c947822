"""Tests of replicas. They run only if named: `make replicas`, `make replicas QUICK=1`, or pytest with a path here."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.crash.conftest import figure, process_control, pytest_terminal_summary
from tests.replicas.cluster import Cluster

__all__ = ["figure", "process_control", "pytest_terminal_summary"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Number of repetitions, and speed of time."""

    emails: int
    speed: float
    kill_every: int  # messages relayed: in about 4 s
    restarts: int  # of the database server
    storm: float  # real seconds


WHOLE = Scale(emails=20_000, speed=6.0, kill_every=140, restarts=10, storm=20.0)
QUICK = Scale(emails=700, speed=4.0, kill_every=90, restarts=2, storm=4.0)


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """Number of repetitions of this run."""
    return QUICK if request.config.getoption("--quick") else WHOLE


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """PostgreSQL server that a test may stop and break."""
    if (programs := postgres.programs()) is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql), POSTGRES_BIN names no folder")
    with postgres.running(programs) as server:
        yield server


@pytest.fixture
async def cluster(
    server: postgres.Server, process_control: Callable[..., Any], tmp_path: Path
) -> AsyncIterator[Callable[..., Any]]:
    """`await cluster(mailboxes=..., speed=...)` returns replicas on one database with their upstream, none started."""
    async with AsyncExitStack() as stack:

        async def one(**facts: Any) -> Cluster:
            control = await process_control()
            return await stack.enter_async_context(Cluster(control, server.create_database(), tmp_path, **facts))

        yield one
