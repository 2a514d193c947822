"""Tests of deploy/systemd/postern.service with systemd-analyze."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "postern.service"
MAX_EXPOSURE = 1.5  # of 10; the service needs the network


def analyze(*words: str) -> str:
    """Return the output of systemd-analyze, which must succeed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed here")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Without a warning, once the program exists."""
    unit = tmp_path / "postern.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/postern/bin/postern", shutil.which("true") or ""))
    assert analyze("verify", "--man=no", str(unit)) == ""


def test_exposure_level() -> None:
    """The rating of systemd-analyze is at most `MAX_EXPOSURE`."""
    rating = analyze("security", "--offline=true", f"--threshold={int(MAX_EXPOSURE * 10)}", "--no-pager", str(UNIT))
    assert re.search(r"Overall exposure level for postern\.service: [01]\.\d", rating), rating


def test_postern_understands_its_settings() -> None:
    """Each variable is a setting, each file a credential, and the stop timeout is sufficient."""
    text = UNIT.read_text("utf-8")
    credentials = set(re.findall(r"^LoadCredential=([a-z-]+):", text, re.MULTILINE))
    for name, value in re.findall(r"^Environment=POSTERN_(\w+)=(.*)$", text, re.MULTILINE):
        assert name.removesuffix("_FILE").lower() in Settings.model_fields
        assert not value.startswith("%d/") or value.removeprefix("%d/") in credentials
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > 10 + 2 * Settings.model_fields["drain_seconds"].default
