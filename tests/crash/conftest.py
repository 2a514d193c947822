"""Crash tests. They run only if named: `make crash`, `make crash QUICK=1`, or pytest with a path in this folder.

It prints its figures when it is done, so that a reader sees how much was tried and not only that nothing broke.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.process_control import ProcessControl

Figure = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """Number of repetitions."""

    quick: bool
    kills: int
    cold: int  # every so many-th start is a whole new interpreter
    cuts: int
    posts: int  # against a disk that takes nothing
    rounds: int  # of faults of the upstream: each is one kind of fault at one point


FULL = Scale(quick=False, kills=1000, cold=10, cuts=40, posts=200, rounds=1000)
QUICK = Scale(quick=True, kills=60, cold=10, cuts=6, posts=60, rounds=8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests without pidfd, which only Linux has."""
    if sys.platform != "linux":
        for item in items:
            item.add_marker(pytest.mark.skip(reason="these tests need Linux (pidfd, LD_PRELOAD, tmpfs)"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures of all tests in order."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    rows = [(report.nodeid, *row) for report in reports for row in report.user_properties]
    if not rows:
        return
    terminalreporter.section("figures of the fault tests")
    width = max(len(name) for _, name, _ in rows)
    last = ""
    for node, name, value in rows:
        if node != last:
            terminalreporter.write_line(node.rpartition("/")[2])
        last = node
        terminalreporter.write_line(f"  {name:<{width}}  {value}")


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """Number of repetitions of this run."""
    return QUICK if request.config.getoption("--quick") else FULL


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Record one figure for the summary."""
    return lambda name, value: request.node.user_properties.append((name, str(value)))


@pytest.fixture
async def process_control(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await process_control(**environment)` returns a ProcessControl. Its processes end with the test."""
    async with AsyncExitStack() as stack:

        async def one(**environment: str) -> ProcessControl:
            return await stack.enter_async_context(ProcessControl(tmp_path, environment))

        yield one
