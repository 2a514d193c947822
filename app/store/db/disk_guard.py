"""Free space on the disk of an embedded database, measured once a second. Below a reserve no email is accepted.

The reserve keeps settlements, retention and the audit writable, so that queued mail is relayed and space is freed.
Between two measurements the bytes of accepted mail are subtracted. The disk of a database server is not measured: the
server reports when it is full.
"""

import asyncio
import os
from pathlib import Path

from app import logs, metrics

MEASURE_INTERVAL = 1.0  # seconds between two measurements
DEFAULT_RESERVE = 128 * 1024 * 1024  # bytes
SMALL_DISK_SHARE = 10  # of a disk smaller than ten times that, a tenth is the default
_COPIES = 2  # a message is written to SQLite's write-ahead log and to the file


class ReserveTooLargeError(ValueError):
    """The reserve is larger than the disk. The text has both sizes."""


class DiskGuard:
    """Guard of one folder; without a folder it allows everything.

    `reserve` is in bytes; None: the default, 0: no reserve. Raises ReserveTooLargeError.
    """

    def __init__(self, folder: Path | None, reserve: int | None) -> None:
        self._folder = folder
        self._free: int | None = None  # None: unknown
        self._accepted = 0  # bytes since the measurement
        self._low = False
        total = self._measure()
        self._reserve = min(DEFAULT_RESERVE, (total or 0) // SMALL_DISK_SHARE) if reserve is None else reserve
        if reserve and total is not None and reserve >= total:
            raise ReserveTooLargeError(
                f"{reserve} bytes are to be kept free, and the disk of {folder} has {total} in all."
            )
        self._update_low()

    @property
    def low(self) -> bool:
        """True while no email is accepted."""
        return self._low

    def take(self, size: int) -> bool:
        """Return whether a message of `size` bytes may be stored; if so, they count until the next measurement."""
        if self._free is None:
            return True
        if self._low or self._free - self._accepted - _COPIES * size < self._reserve:
            return False
        self._accepted += _COPIES * size
        return True

    async def measure(self) -> None:
        """Measure the free space, in a thread: a disk that hangs must not hold up the event loop."""
        await asyncio.to_thread(self._measure)
        self._update_low()

    def _measure(self) -> int | None:
        """Measure the free space; return the size of the disk, None if it cannot be read.

        Such a disk limits nothing: the commit reports the error.
        """
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
        """Compare with the reserve. While low, a tenth more is required, so that it does not change every second."""
        free = self._free
        before, self._low = self._low, free is not None and free < self._reserve + self._low * (self._reserve // 10)
        if free is not None:
            metrics.disk_measured(free, self._reserve)
        if free is not None and self._low and not before:
            logs.disk_almost_full(free=free, reserve=self._reserve)
        elif free is not None and before and not self._low:
            logs.disk_has_room(free=free, reserve=self._reserve)
