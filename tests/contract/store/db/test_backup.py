"""Backup of a database in use, restore, and held messages after it: deploy/RUNBOOK.md as written."""

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from app.cli import application
from app.mail.lifecycle import RESTORED, MessageState
from app.mail.message.message import OnUnknown
from app.store import Store
from app.store.db.file_lock import DatabaseFileLock
from app.store.migrations import migrate
from tests import postgres
from tests.contract.store.build import DAY, DEFERRED, LOST, NOW, RELAYED, accept, acceptance, claim_one, settle
from tests.contract.store.db.test_processes import lines, program

RUNBOOK = Path(__file__).parents[4] / "deploy" / "RUNBOOK.md"


def postern(url: str, *arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(application, [str(one) for one in arguments], env={"POSTERN_DATABASE_URL": url})


def refused(result: Result, code: int, says: str) -> None:
    """Check for one plain line."""
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1), result.output
    assert says in result.stderr


def scripts(heading: str) -> list[str]:
    """Return the commands of a section of the runbook, in order."""
    section = re.search(rf"^##+ {heading}\n(.*?)^##", RUNBOOK.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert section is not None
    return re.findall(r"^```sh\n(.*?)^```", section.group(1), re.DOTALL | re.MULTILINE)


async def fill(store: Store) -> dict[str, UUID]:
    """Store one message of each kind; return them by kind."""
    ids = {}
    for name, attempt, changes in (
        ("done", RELAYED, {}),
        ("deferred", DEFERRED, {}),
        ("held", LOST, {"on_unknown": OnUnknown.HOLD}),
    ):
        (ids[name],) = await accept(store, acceptance(**changes))
        assert await settle(store, await claim_one(store), attempt)
    (ids["active"],) = await accept(store)
    await claim_one(store)
    later = NOW + 1000 * DAY
    ids["queued"], ids["scheduled"] = await accept(
        store, acceptance(), acceptance(due_at=later, scheduled_at=later, expires_at=later + DAY)
    )
    return ids


@pytest.mark.timeout(240)  # a dozen processes
async def test_the_runbooks_commands_restore_the_backup(store_url: str, tmp_path: Path) -> None:
    """Queued messages are held and flagged, ended and scheduled ones are unchanged, later ones are absent."""
    store = await Store.open(store_url)
    ids = await fill(store)
    save, back = scripts("PostgreSQL" if store_url.startswith("postgresql") else "SQLite")
    run(save, store_url, tmp_path)
    (late,) = await accept(store)
    await store.close()
    run(f"{save.splitlines()[0]}\n{back}", store_url, tmp_path)  # BACKUP=...

    store = await Store.open(store_url)
    states = {name: email.state for name, id in ids.items() if (email := await store.get(id))}
    held = await store.get(ids["queued"])
    assert await store.get(late) is None
    await store.close()
    assert states == {
        "done": MessageState.DONE,
        "scheduled": MessageState.QUEUED,
        **dict.fromkeys(("queued", "deferred", "held", "active"), MessageState.HELD),
    }
    assert held is not None
    assert (held.explanation, held.possible_duplicate) == (RESTORED, True)

    for script in (*scripts("Upgrade and downgrade"), *scripts("After a restore")):
        run(script, store_url, tmp_path)
    store = await Store.open(store_url)
    again = await store.get(ids["queued"])
    await store.close()
    assert again is not None
    assert again.state is MessageState.QUEUED


def run(script: str, url: str, folder: Path) -> None:
    """Run as an operator, with the commands on the path."""
    programs = postgres.programs()
    path = [str(Path(sys.executable).parent), *([str(programs)] if programs else []), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "POSTERN_DATABASE_URL": url,
        "BACKUPS": str(folder),
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)


async def test_a_backup_during_accepts_is_consistent(sqlite_url: str, tmp_path: Path) -> None:
    """It has all that was accepted before it began, is private, and leaves no other file."""
    copy = tmp_path / "copies" / "a.db"
    with program("crashing", sqlite_url) as process:
        accepted_ids = lines(process, 100)
        assert postern(sqlite_url, "backup", copy).exit_code == 0
    assert [path.name for path in copy.parent.iterdir()] == ["a.db"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert mode(copy) == 2
    store = await Store.open(f"sqlite:///{copy}")
    stored = [await store.content(UUID(line)) for line in accepted_ids]
    await store.close()
    assert None not in stored


def test_a_restore_keeps_the_replaced_database(sqlite_url: str, tmp_path: Path) -> None:
    """With its log, unchanged. The audit of the restored one has an entry."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    migrate(sqlite_url)
    assert postern(sqlite_url, "backup", tmp_path / "a.db").exit_code == 0
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE only_here (x)")
        assert Path(f"{file}-wal").exists()
        result = postern(sqlite_url, "restore", tmp_path / "a.db")
    assert (result.exit_code, result.stdout[:26]) == (0, "0 waiting emails are held,"), result.output
    audit = json.loads(postern(sqlite_url, "audit", "--json").stdout)[0]
    assert (audit["action"], audit["actor"], audit["details"]) == ("database.restored", "command line", {"held": 0})
    (aside,) = (path for path in file.parent.iterdir() if re.fullmatch(r"postern\.db\.before-[\dTZ]+", path.name))
    for path, there in ((aside, 1), (file, 0)):
        with closing(sqlite3.connect(path)) as connection:
            count = "SELECT count(*) FROM sqlite_master WHERE name = 'only_here'"
            assert connection.execute(count).fetchone() == (there,)


def test_a_restored_backup_of_an_old_file_can_shrink(sqlite_url: str, tmp_path: Path) -> None:
    """The old file was created without incremental vacuum."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE before (x)")
    migrate(sqlite_url)
    assert mode(file) == 0
    assert postern(sqlite_url, "backup", tmp_path / "a.db").exit_code == 0
    assert mode(file) == 0
    assert postern(sqlite_url, "restore", tmp_path / "a.db").exit_code == 0
    assert mode(file) == 2


def mode(file: Path) -> int:
    """Check for mode 2: incremental vacuum."""
    with closing(sqlite3.connect(file)) as connection:
        found: int = connection.execute("PRAGMA auto_vacuum").fetchone()[0]
        return found


def test_an_impossible_backup_or_restore_is_one_line(sqlite_url: str, tmp_path: Path) -> None:
    """And changes nothing."""
    copy, other = tmp_path / "a.db", tmp_path / "text.db"
    refused(postern(sqlite_url, "backup", copy), 1, "There is no database")
    migrate(sqlite_url)
    before = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
    assert postern(sqlite_url, "backup", copy).exit_code == 0
    refused(postern(sqlite_url, "backup", copy), 1, "is there already")
    refused(postern(sqlite_url, "backup", "/proc/a.db"), 1, "cannot be")
    refused(postern(sqlite_url, "restore", tmp_path / "none.db"), 1, "There is no file")
    refused(postern(sqlite_url, "restore"), 1, "Give the file of the backup")
    other.write_text("This is not a database, whatever its name says.\n" * 100)
    refused(postern(sqlite_url, "restore", other), 1, "not a database")
    damaged = bytearray(copy.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    other.write_bytes(damaged)
    refused(postern(sqlite_url, "restore", other), 1, "damaged")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    refused(postern(sqlite_url, "restore", copy), 69, "schema 9999; this Postern knows")
    lock = DatabaseFileLock(Path(sqlite_url.removeprefix("sqlite:///")))
    lock.acquire()
    refused(postern(sqlite_url, "restore", copy), 69, "Another Postern already works")
    lock.release()
    assert Path(sqlite_url.removeprefix("sqlite:///")).read_bytes() == before


def test_postgresql_is_refused_with_its_own_command(postgres_url: str, tmp_path: Path) -> None:
    refused(postern(postgres_url, "backup", tmp_path / "a"), 1, "pg_dump")
    refused(postern(postgres_url, "restore", tmp_path / "a"), 1, "pg_dump")


def test_migrate_check_reports_pending_revisions(store_url: str) -> None:
    """By exit code and text; no file is changed or created."""
    for _ in range(2):
        result = postern(store_url, "migrate", "--check")
        assert result.exit_code == 1
        assert "revision none, this version needs" in result.stdout
    assert postern(store_url, "migrate").exit_code == 0
    result = postern(store_url, "migrate", "--check")
    assert result.exit_code == 0
    assert re.search(r"at revision \d{4}, which is the revision of this version", result.stdout)
