"""`postern serve` as a process, started as an operator does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.harness import KEY, MAILBOX, PASSWORD, MailServer


@dataclass
class Process:
    """Running `postern serve`. Once it has ended: `peak` is the maximum of resident bytes, `status` the exit status."""

    url: str
    pid: int
    peak: int = 0
    status: int | None = None

    def cpu(self) -> float:
        """Return the CPU seconds used so far, in clock ticks (proc(5))."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(simulator: MailServer, folder: Path, *, tracer: Sequence[str] = (), **changes: str) -> Iterator[Process]:
    """Run until the end of the block, then send SIGTERM. `tracer`: the command that executes it in the same process."""
    command = [*tracer, sys.executable, "-m", "app", "serve"]
    with (
        subprocess.Popen(
            command, env=serve_environment(simulator, folder, **changes), stderr=subprocess.PIPE, text=True
        ) as child,
        ThreadPoolExecutor(1) as aside,
    ):
        assert child.stderr is not None
        process = Process(_url(child.stderr), child.pid)
        aside.submit(child.stderr.read)  # or it would stop at a full pipe
        try:
            yield process
        finally:
            process.peak = _peak(child.pid)
            child.send_signal(signal.SIGTERM)
            _, status, used = os.wait4(child.pid, 0)
            process.status = child.returncode = os.waitstatus_to_exitcode(status)
            process.peak = process.peak or used.ru_maxrss


def serve_environment(simulator: MailServer, folder: Path, **changes: str) -> dict[str, str]:
    """Write the certificate of the server and return the environment of `postern serve` that sends through it."""
    ca_file = folder / "ca.pem"
    simulator.write_ca(ca_file)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("POSTERN_", "OTEL_"))},
        "POSTERN_MAILBOX": MAILBOX,
        "POSTERN_PASSWORD": PASSWORD,
        "POSTERN_API_KEY": KEY,
        "POSTERN_DATA_DIR": str(folder),
        "POSTERN_SMTP_HOST": "localhost",
        "POSTERN_SMTP_PORT": str(simulator.port),
        "POSTERN_SMTP_CA_FILE": str(ca_file),
        "POSTERN_IPV4_ONLY": "true",
        "POSTERN_PORT": "0",
        "POSTERN_LOG_FORMAT": "json",
        **changes,
    }


def _peak(pid: int) -> int:
    """Return the kernel's maximum on Linux (`ru_maxrss` would begin with the parent's); else 0."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def _url(log: IO[str]) -> str:
    for line in log:
        event = json.loads(line)
        if event["event"] == "started":
            return str(event["url"])
    raise AssertionError("it did not start")
