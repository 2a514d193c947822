"""Guarantees between processes, with a kill of one of them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from app.store import AlreadyOwnedError, Store
from app.store.db.file_lock import DatabaseFileLock
from app.store.migrations import revision


@contextmanager
def program(name: str, argument: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of this folder as a process, killed at the end."""
    command = [sys.executable, "-m", f"tests.contract.store.{name}", argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return the next lines it prints."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


async def test_an_accepted_message_survives_a_kill(store_url: str) -> None:
    """Guarantee 1: accepted means stored."""
    with program("crashing", store_url) as process:
        accepted_ids = lines(process, 300)
        process.kill()
        assert process.stdout is not None
        accepted_ids += [line.strip() for line in process.stdout if line.endswith("\n")]
    store = await Store.open(store_url)
    stored = [await store.content(UUID(line)) for line in accepted_ids]
    await store.close()
    assert len(stored) >= 300
    assert None not in stored


def test_processes_that_start_together_migrate_once(store_url: str) -> None:
    """The others wait for the migration."""
    assert revision(store_url) is None
    with program("migrating", store_url) as one, program("migrating", store_url) as two:
        for process in (one, two):
            assert lines(process, 1) == ["ready"]
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert lines(one, 1) == lines(two, 1) == [revision(store_url)]


def test_one_process_owns_a_database(tmp_path: Path) -> None:
    """Until it releases it or is killed. The folder is created if needed."""
    file = tmp_path / "data" / "postern.db"
    lock = DatabaseFileLock(file)
    with program("owning", str(file)) as process:
        assert lines(process, 1) == ["owned"]
        with pytest.raises(AlreadyOwnedError, match="Another Postern"):
            lock.acquire()
        process.kill()
        process.wait()
        lock.acquire()
    with pytest.raises(AlreadyOwnedError):
        DatabaseFileLock(file).acquire()
    lock.release()
    DatabaseFileLock(file).acquire()
