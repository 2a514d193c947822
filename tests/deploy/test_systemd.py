"""deploy/systemd/postern.service, judged by systemd-analyze."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "postern.service"
EXPOSURE = 1.5  # of 10: the network is what it is for


def analyze(*words: str) -> str:
    """What systemd-analyze says, when it is content."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed here")
    told = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


def test_systemd_reads_it(tmp_path: Path) -> None:
    """Without a word, once the program is one that is there."""
    unit = tmp_path / "postern.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/postern/bin/postern", shutil.which("true") or ""))
    assert analyze("verify", "--man=no", str(unit)) == ""


def test_it_may_do_little() -> None:
    """By systemd's own measure."""
    told = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE * 10)}", "--no-pager", str(UNIT))
    assert re.search(r"Overall exposure level for postern\.service: [01]\.\d", told), told


def test_postern_understands_its_settings() -> None:
    """Each variable is one, each file a credential, and a stop has its time."""
    text = UNIT.read_text("utf-8")
    credentials = set(re.findall(r"^LoadCredential=([a-z-]+):", text, re.MULTILINE))
    for name, value in re.findall(r"^Environment=POSTERN_(\w+)=(.*)$", text, re.MULTILINE):
        assert name.removesuffix("_FILE").lower() in Settings.model_fields
        assert not value.startswith("%d/") or value.removeprefix("%d/") in credentials
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > 10 + 2 * Settings.model_fields["drain_seconds"].default
