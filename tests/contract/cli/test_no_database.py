"""Commands where there is no database: only `postern keys create` makes one."""

from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from app.cli import application
from tests.contract.cli.test_command_line import failed, postern

ID = UUID(int=1)


@pytest.mark.parametrize(
    "command",
    [
        ("emails", "list"),
        ("emails", "show", ID),
        ("emails", "show", "01"),
        ("emails", "retry", ID),
        ("emails", "erase", ID),
        ("keys", "list"),
        ("keys", "show", ID),
        ("keys", "update", ID, "--disable"),
        ("keys", "rotate", ID),
        ("keys", "revoke", ID),
        ("mailboxes", "list"),
        ("mailboxes", "hold", "a@contoso.com"),
        ("audit",),
    ],
    ids=lambda command: "-".join(map(str, command[:2])),
)
def test_a_command_makes_no_database(tmp_path: Path, command: tuple[object, ...]) -> None:
    """The error names the file and the setting; the exit code is that of a wrong setting. Nothing is created."""
    folder = tmp_path / "elsewhere"
    result = postern(folder, *command)
    failed(result, 78, f"There is no database of Postern at {folder}/postern.db. POSTERN_DATA_DIR decides where it is")
    assert not folder.exists()


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    """The setting is named that decides: here the URL. A relative path is shown as an absolute one."""
    (tmp_path / "other.db").touch()
    environment = {"POSTERN_DATABASE_URL": f"sqlite:///{tmp_path}/other.db", "POSTERN_DATA_DIR": str(tmp_path)}
    result = CliRunner().invoke(application, ["keys", "list"], env=environment)
    failed(result, 78, f"no database of Postern at {tmp_path}/other.db. POSTERN_DATABASE_URL decides where it is")


def test_a_new_key_makes_a_database(tmp_path: Path) -> None:
    """It is the first command of a new installation. Afterwards the other commands work."""
    folder = tmp_path / "new"
    assert postern(folder, "keys", "create", "shop").exit_code == 0
    assert postern(folder, "emails", "list").exit_code == 0
    assert "shop" in postern(folder, "keys", "list").stdout
