"""Installs the programs of the peers where it can (Debian, root), and reports what is missing in one line each."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from tests import postgres
from tests.bench.progress import say

_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "redis-server": ("redis-server",),
    "/usr/sbin/postfix": ("postfix", "libsasl2-modules"),
    "npm": ("nodejs", "npm"),
}
_TIMEOUT = 600.0  # seconds
_NO_CONFIGURATION = "postfix postfix/main_mailer_type select No configuration\n"  # so that Debian starts no Postfix


def install() -> None:
    """Install what is missing, or report it; its rows are skipped then."""
    missing = {program: packages for program, packages in _PACKAGES.items() if not shutil.which(program)}
    if not postgres.programs():
        missing["initdb"] = ("postgresql",)
    if not missing:
        return
    packages = [package for each in missing.values() for package in each]
    if os.geteuid() or not shutil.which("apt-get"):
        say(f"missing, so some rows are skipped: {', '.join(missing)} (Debian: apt-get install {' '.join(packages)})")
        return
    say(f"installing {', '.join(packages)} (once)")
    _run("debconf-set-selections", given=_NO_CONFIGURATION)
    _run("apt-get", "update", "-qq")
    if fault := _run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages):
        say(f"apt-get install failed, so some rows are skipped: {fault}")


def _run(*command: str, given: str = "") -> str:
    """Run it; return the last line of a failure."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env=environment, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""
