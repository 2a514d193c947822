"""Free space on the disk of an embedded database, measured once a second. Below a reserve no email is accepted.

The reserve keeps settlements, retention and the audit writable: mail that is queued is relayed on, and what is removed
makes room. Between two measurements the bytes of accepted mail are subtracted. The disk of a database server is
measured by nobody here; it says itself when it is full.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from app import logs, metrics

INTERVAL = 1.0  # seconds between two measurements
DEFAULT_RESERVE = 128 * 1024 * 1024  # bytes
SMALL_DISK_SHARE = 10  # of a disk below ten times that, a tenth is the default
_COPIES = 2  # a message is written to SQLite's write-ahead log and to the file


class ReserveTooLargeError(ValueError):
    """The disk could never have as much free space. Its text has both sizes."""


class DiskGuard:
    """The guard of one folder; without a folder it lets everything pass.

    `reserve` is in bytes; None: the default, 0: no reserve. Raises ReserveTooLargeError.
    """

    def __init__(self, folder: Path | None, reserve: int | None) -> None:
        self._folder = folder
        self._free: int | None = None  # None: not known
        self._accepted = 0  # bytes since the measurement
        self._low = False
        self._task: asyncio.Task[None] | None = None
        total = self._measure()
        self._reserve = min(DEFAULT_RESERVE, (total or 0) // SMALL_DISK_SHARE) if reserve is None else reserve
        if reserve and total is not None and reserve >= total:
            raise ReserveTooLargeError(
                f"{reserve} bytes are to be kept free, and the disk of {folder} has {total} in all."
            )
        self._update_low()

    @property
    def low(self) -> bool:
        """Whether no email is accepted now."""
        return self._low

    def take(self, size: int) -> bool:
        """Whether a message of so many bytes may be stored; if so, they count until the next measurement."""
        if self._free is None:
            return True
        if self._low or self._free - self._accepted - _COPIES * size < self._reserve:
            return False
        self._accepted += _COPIES * size
        return True

    def start(self) -> None:
        """Measure until `stop`."""
        if self._folder is not None:
            self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self._measure)  # a disk that hangs must not hold up the event loop
            self._update_low()

    def _measure(self) -> int | None:
        """Read the free space; answers the size of the disk. A disk that cannot be read limits nothing: the commit
        reports what is wrong with it."""
        if self._folder is None:
            return None
        try:
            found = os.statvfs(self._folder)
        except OSError:
            self._free = None
            return None
        self._free, self._accepted = found.f_bavail * found.f_frsize, 0
        return found.f_blocks * found.f_frsize

    def _update_low(self) -> None:
        """Compare with the reserve. Once low, it takes a tenth more, so that the state does not change every second."""
        free = self._free
        before, self._low = self._low, free is not None and free < self._reserve + self._low * (self._reserve // 10)
        if free is not None:
            metrics.disk_measured(free, self._reserve)
        if free is not None and self._low and not before:
            logs.disk_almost_full(free=free, reserve=self._reserve)
        elif free is not None and before and not self._low:
            logs.disk_has_room(free=free, reserve=self._reserve)
