"""Packages by name and version from their registries, each set in its own folder outside the tree, cached for a day.

POSTERN_SDKS_DIR says where; by default it is in the user's cache.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parent / "programs"
_INTERPRETER = str(Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info))  # without our packages
DAY = 86_400  # seconds after which the latest version is requested again


def python(*packages: str) -> Path:
    """Return a folder with these packages of PyPI and their dependencies, for PYTHONPATH."""
    version = "py{}.{}".format(*sys.version_info)
    return _cached([sys.executable, "-m", "pip", "install", "--quiet", "--target"], packages, version)


def node(*packages: str) -> Path:
    """Return a folder with these packages of npm, for NODE_PATH."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed (Debian: apt-get install nodejs npm)")
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--prefix"]
    return _cached(install, packages, "npm") / "node_modules"


def _cached(install: list[str], packages: tuple[str, ...], kind: str) -> Path:
    root = Path(os.environ.get("POSTERN_SDKS_DIR") or Path.home() / ".cache" / "postern-sdks")
    folder = root / kind / re.sub(r"[^a-z0-9.-]+", "_", "+".join(packages))
    done = folder / ".done"
    if not done.exists() or done.stat().st_mtime < time.time() - DAY:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        completed = subprocess.run([*install, folder, *packages], capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        done.touch()
    return folder


async def run(program: str, folder: Path, given: object = None, *words: str, **environment: str) -> Any:
    """Run one of the programs with the packages of this folder, as a user would; return the JSON that it prints."""
    return json.loads(await output([*_command(program), *words], folder, given, **environment))


async def output(command: list[str], folder: Path, given: object = None, **environment: str) -> str:
    """Return the output of a command, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_plain(), "PYTHONPATH": str(folder), "NODE_PATH": str(folder), **environment},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, err.decode() + out.decode()
    return out.decode()


def _command(program: str) -> list[str]:
    file = str(PROGRAMS / program)
    return ["node", file] if program.endswith(".cjs") else [_INTERPRETER, file]


def _plain() -> Mapping[str, str]:
    """Return the environment without variables that redirect a client or add packages."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSTERN_", "RESEND_", "PYTHON")) and "proxy" not in name.lower()
    }
