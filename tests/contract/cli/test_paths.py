"""Paths of options that cannot be used: one line that names the path, and exit code 78."""

from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.contract.cli.test_command_line import failed, postern


@pytest.mark.parametrize(
    "command",
    [("demo", "--json", "--data"), ("simulate", "--port", 0, "--ca-file"), ("simulate", "--port", 0, "--folder")],
    ids=lambda command: command[0] + command[-1],
)
def test_a_path_below_a_file(tmp_path: Path, command: tuple[object, ...]) -> None:
    """The path that fails is named."""
    file = tmp_path / "file"
    file.touch()
    result = postern(tmp_path, *command, file / "below" / "it")
    failed(result, 78, ": Not a directory. Give a path that this user can use.")
    assert result.stderr.startswith(f"postern: {file}/below")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """The file of the CA may be in a new folder, as the accepted messages may."""
    file = tmp_path / "new" / "ca.pem"
    simulator = Simulator(folder=tmp_path / "messages" / "today")
    simulator.write_ca(file)
    assert file.read_text("ascii") == simulator.ca_pem
    assert (tmp_path / "messages" / "today").is_dir()
