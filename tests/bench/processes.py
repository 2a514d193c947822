"""The processes of the bench: started in a session of their own, spoken to in lines, ended by their own id."""

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 10.0  # seconds to end by itself
_START = 30.0  # seconds to begin


class UnavailableError(Exception):
    """Measurement that is impossible here. Its text is one line: the reason and the fix."""


class Process:
    """Child process. The caller that starts it must end it."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], errors: Path | None = None
    ) -> None:
        """Start it in the repository. Standard error goes to the file `errors`, or nowhere."""
        self.name = name
        self._errors = errors
        self._unread = b""
        with open(errors or os.devnull, "wb") as standard_error:
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=standard_error,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it: politely, then not."""
        self._child.terminate()
        try:
            self._child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()

    def cpu(self, *, descendants: bool = False) -> float:
        """Seconds of user and system time; `descendants`: also of all processes below it, ended ones too."""
        if not descendants:
            return sum(_times(self._child.pid)[:2]) / _TICKS
        return sum(sum(_times(pid)) for pid in _tree(self._child.pid)) / _TICKS

    def memory(self) -> float:
        """Resident memory in MiB, of it and of all processes below it; shared pages count in each."""
        return sum(_resident(pid) for pid in _tree(self._child.pid)) / 1024

    def exited(self, seconds: float) -> None:
        """Wait until it ends by itself. Raises UnavailableError unless it ends in time with status 0."""
        try:
            status = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{self.name} did not end within {seconds:.0f} s") from None
        if status:
            raise self._ended()

    def say(self, value: Any) -> None:
        """Write one line of JSON to it."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(value).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def hear(self, seconds: float) -> Any:
        """The next line of JSON from it. Raises Unavailable when it ends, or says nothing for so long."""
        assert self._child.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise UnavailableError(f"{self.name} gave no answer for {seconds:.0f} s")
            if not (data := os.read(self._child.stdout.fileno(), 65536)):
                raise self._ended()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def listens(self, port: int) -> None:
        """Wait until it takes connections. Raises Unavailable."""
        self._wait("listen", lambda: socket.create_connection(("127.0.0.1", port), timeout=1.0).close())

    def is_well(self, url: str) -> None:
        """Wait until it answers there with 200. Raises Unavailable."""
        self._wait("become ready", lambda: urlopen(url, timeout=1.0).close())

    def _wait(self, what: str, attempt: Callable[[], None]) -> None:
        until = time.monotonic() + _START
        while time.monotonic() < until:
            if self._child.poll() is not None:
                raise self._ended()
            try:
                return attempt()
            except OSError:  # urllib's errors are such too
                time.sleep(0.05)
        raise UnavailableError(f"{self.name} did not {what} within {_START:.0f} s")

    def _ended(self) -> UnavailableError:
        status = self._child.wait(_PATIENCE)
        said = self._errors.read_text("utf-8", "replace").strip().splitlines() if self._errors else []
        return UnavailableError(f"{self.name} ended with status {status}{': ' + said[-1] if said else ''}")


def _times(pid: int) -> list[int]:
    """Ticks of user and system time, own and of ended children (proc_pid_stat(5)); empty if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return []
    return [int(field) for field in fields[11:15]]


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return [pid]
    return [pid, *(each for child in below for each in _tree(int(child)))]


def _resident(pid: int) -> int:
    """KiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block, so that every started process is ended."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
