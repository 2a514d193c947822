"""Disks with faults: real ones where the machine allows them, simulated ones by powercut.so everywhere."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.disk.disk_image import build

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """Data folder whose disk can be made to fail and repaired."""

    data: Path
    begin: Callable[[], object]
    end: Callable[[], object]
    preload: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def full(folder: Path) -> Iterator[Disk]:
    """File system of 64 MiB, and another file that leaves 1 MiB of it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can only be mounted by root (mount -t tmpfs)")
    data = folder / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(data)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    filler = data / "filler"

    def fill() -> None:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - MIB)

    try:
        yield Disk(data, fill, filler.unlink)
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Disk]:
    """Make database, log and folder immutable: open files accept no write either.

    Not the -shm file: SQLite maps it, and ext4 answers a write to a mapped immutable page with SIGBUS, as no
    read-only file system does that lets the page be mapped for writing first.
    """
    data = folder / "data"
    data.mkdir()
    if not _immutable(data, True):
        pytest.skip("files can only be made immutable by root, on a file system that knows it (chattr +i)")
    _immutable(data, False)

    def set_all(wanted: bool) -> None:
        for path in (data, data / "postern.db", data / "postern.db-wal"):
            assert not path.exists() or _immutable(path, wanted)

    try:
        yield Disk(data, lambda: set_all(True), lambda: set_all(False))
    finally:
        set_all(False)


def simulated(faults: str) -> Callable[[Path], AbstractContextManager[Disk]]:
    """Disk on which these calls fail (powercut.c: POWERCUT_FAULTS)."""

    @contextmanager
    def disk(folder: Path) -> Iterator[Disk]:
        if shutil.which("cc") is None:
            pytest.skip("the imitation needs a C compiler (cc)")
        data, disk_image, script = folder / "data", folder / "platter", folder / "faults"
        data.mkdir()
        disk_image.mkdir()
        shim = {"POWERCUT_DATA": str(data), "POWERCUT_PLATTER": str(disk_image), "POWERCUT_FAULTS": str(script)}
        preload = {"LD_PRELOAD": str(build(folder))}
        yield Disk(data, lambda: script.write_text(faults, "ascii"), script.unlink, preload, shim)

    return disk


DISKS: dict[str, Callable[[Path], AbstractContextManager[Disk]]] = {
    "full": full,
    "full, imitated": simulated(f"write {errno.ENOSPC}"),
    "read-only": read_only,
    "read-only, imitated": simulated(f"write {errno.EROFS} open {errno.EROFS}"),
    "every write fails, imitated": simulated(f"write {errno.EIO}"),
    "every sync fails, imitated": simulated(f"sync {errno.EIO}"),
}


def _immutable(path: Path, wanted: bool) -> bool:
    if shutil.which("chattr") is None:
        return False
    change = ["chattr", "+i" if wanted else "-i", str(path)]
    return subprocess.run(change, check=False, capture_output=True).returncode == 0
