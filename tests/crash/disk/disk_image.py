"""Folder content after a power cut: the synced part, and random blocks of the rest."""

import random
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from uuid import UUID

SOURCE = Path(__file__).with_name("powercut.c")
BLOCK = 4096  # bytes that a disk writes as one


def build(folder: Path) -> Path:
    """Compile powercut.c. Raises FileNotFoundError without a compiler."""
    library = folder / "powercut.so"
    subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class DiskImage:
    """Folder `data`, and beside it `disk` with its synced state."""

    def __init__(self, folder: Path) -> None:
        self.data = folder.resolve() / "data"
        self.disk = folder.resolve() / "disk"
        self.data.mkdir()
        self.disk.mkdir()

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of the process whose power will be cut."""
        named = {f"POWERCUT_{name}": value for name, value in changes.items()}
        return {"POWERCUT_DATA": str(self.data), "POWERCUT_PLATTER": str(self.disk), **named}

    def cut(self, chance: random.Random | None) -> None:
        """Discard all data that was not synced; with `chance`, also a random part of the rest."""
        if chance is not None:
            for name in {path.name for path in [*self.data.iterdir(), *self.disk.iterdir()]}:
                _survive(self.data / name, self.disk / name, chance)
        shutil.rmtree(self.data)
        shutil.copytree(self.disk, self.data)

    def stored_ids(self, folder: Path) -> set[UUID]:
        """Return the ids in the database, which must be intact. Reads a copy, because opening it recovers it."""
        copy = folder / "copy"
        shutil.copytree(self.data, copy)
        try:
            return ids_in(copy / "postern.db")
        finally:
            shutil.rmtree(copy)


def ids_in(database: Path) -> set[UUID]:
    """Return every message's id. Raises AssertionError if the database is damaged."""
    with closing(sqlite3.connect(database)) as connection:
        [(verdict,)] = connection.execute("PRAGMA integrity_check").fetchall()
        assert verdict == "ok", verdict
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'messages'").fetchall():
            return set()
        return {UUID(id) for (id,) in connection.execute("SELECT id FROM messages")}


def _survive(live: Path, disk: Path, chance: random.Random) -> None:
    """Choose at random whether the file's removal or size, and each unsynced block, survives."""
    if live.name.endswith("-shm"):
        return
    if not live.exists():
        if chance.random() < 0.5:
            disk.unlink()
        return
    new, old = live.read_bytes(), disk.read_bytes() if disk.exists() else b""
    size = chance.choice((len(new), len(old)))
    blocks = [
        chance.choice((new[at : at + BLOCK], old[at : at + BLOCK])).ljust(BLOCK, b"\0") for at in range(0, size, BLOCK)
    ]
    disk.write_bytes(b"".join(blocks)[:size])
