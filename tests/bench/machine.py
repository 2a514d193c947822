"""Description of the machine and of the peers' versions, without names of hosts or paths."""

import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests import postgres

_PEERS = Path(__file__).parent / "peers" / "node" / "package.json"
_VERSION = re.compile(r"\d+(\.\d+)+")


def machine() -> dict[str, str]:
    """Hardware and kernel."""
    return {
        "CPU": _field("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of everything that takes part."""
    found = {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in ("fastapi", "starlette", "uvicorn", "uvloop", "sqlalchemy", "aiosmtplib")},
        "Node.js": _output("node", "--version"),
        **json.loads(_PEERS.read_text("utf-8"))["dependencies"],
        "Redis": _output("redis-server", "--version"),
        "Postfix": _output("postconf", "-d", "-h", "mail_version"),
    }
    if programs := postgres.programs():
        found["PostgreSQL"] = _output(str(programs / "initdb"), "--version")
    return {name: value for name, value in found.items() if value}


def _field(file: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(file).read_text("ascii", "replace").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "unknown")


def _output(*command: str) -> str:
    """The version that a program prints; empty if it is not installed."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    match = _VERSION.search(done.stdout)
    return match[0] if match else ""
