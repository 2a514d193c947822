"""Postern processes for SIGKILL, held by their file descriptors, so that no other process can be hit."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from app.simulator import Simulator
from tests.harness import KEY, MAILBOX, PASSWORD
from tests.waiting import WAIT_TIMEOUT

ROOT = Path(__file__).parents[2]


class Child:
    """One Postern process. `started_at` is of the event loop's clock."""

    def __init__(self, pid: int, *, cold: bool) -> None:
        self.pid = pid
        self.cold = cold
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.started_at = self._loop.time()
        self._descriptor = os.pidfd_open(pid)
        self._loop.add_reader(self._descriptor, self._end)

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    async def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.signal(signal.SIGKILL)
        await asyncio.wait_for(self.ended.wait(), WAIT_TIMEOUT)

    def _end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.ended.set()


class ProcessControl:
    """Starts Posterns of the tree at `root`, one after the other. `environment` is inherited by all."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        root: Path = ROOT,
        fork_server: str = "tests.crash.fork_server",
    ) -> None:
        self.log = folder / "postern.log"
        self._root = root
        self._module = fork_server
        self._environment = environment
        self._fork_server: asyncio.subprocess.Process | None = None
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("POSTERN_")}
        self._fork_server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            cwd=self._root,
            env={**plain, "PYTHONFAULTHANDLER": "1", **self._environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert await self._answer() == b"ready"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            await child.kill()
        assert self._fork_server is not None
        assert self._fork_server.stdin is not None
        self._fork_server.stdin.close()
        await asyncio.wait_for(self._fork_server.wait(), WAIT_TIMEOUT)

    async def start(
        self, environment: dict[str, str], *, cold: bool = False, time: dict[str, float] | None = None
    ) -> Child:
        """Start a process, in its own `time` namespace if given. It may end before it listens."""
        assert self._fork_server is not None
        assert self._fork_server.stdin is not None
        order = {"environment": environment, "cold": cold, "time": time, "log": str(self.log)}
        self._fork_server.stdin.write(json.dumps(order).encode() + b"\n")
        child = Child(int(await self._answer()), cold=cold)
        self._children = [child, *(one for one in self._children if not one.ended.is_set())]
        return child

    async def _answer(self) -> bytes:
        assert self._fork_server is not None
        assert self._fork_server.stdout is not None
        return (await asyncio.wait_for(self._fork_server.stdout.readline(), WAIT_TIMEOUT)).strip()

    def logged(self, event: str) -> int:
        """Return the number of log lines of such an event."""
        return self.log.read_text("utf-8").count(f'"event":"{event}"')

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text("utf-8")[-3000:]


def environment_for(simulator: Simulator, data: Path, port: int, **changes: str) -> dict[str, str]:
    """Return a Postern's environment for the simulator, without a rate limit."""
    ca_file = data.parent / "ca.pem"
    simulator.write_ca(ca_file)
    return {
        "POSTERN_MAILBOX": MAILBOX,
        "POSTERN_PASSWORD": PASSWORD,
        "POSTERN_API_KEY": KEY,
        "POSTERN_DATA_DIR": str(data),
        "POSTERN_SMTP_HOST": "localhost",
        "POSTERN_SMTP_PORT": str(simulator.port),
        "POSTERN_SMTP_CA_FILE": str(ca_file),
        "POSTERN_IPV4_ONLY": "true",
        "POSTERN_PORT": str(port),
        "POSTERN_MESSAGES_PER_MINUTE": "1000000",
        "POSTERN_RECIPIENTS_PER_DAY": "1000000000",
        "POSTERN_LOG_FORMAT": "json",
        **changes,
    }


def free_port() -> int:
    """Return a port that outgoing connections do not use while Postern is down."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    while True:
        port = random.randrange(10_000, low)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def caller_for(port: int) -> httpx.AsyncClient:
    """Return a caller's client."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=WAIT_TIMEOUT, trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
    )  # fmt: skip
