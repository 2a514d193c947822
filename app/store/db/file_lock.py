"""Lock of an embedded database for one process. The kernel releases it when the process ends, in whatever way."""

import fcntl
import os
from pathlib import Path

from app.store.errors import AlreadyOwnedError, StoreUnreachableError


class DatabaseFileLock:
    """Lock file beside a database file. The command line accesses the database without it."""

    def __init__(self, path: Path) -> None:
        """`path` is the database file."""
        self._database = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Lock the database until `release` or process end. Raises AlreadyOwnedError, StoreUnreachableError."""
        try:
            self._database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(f"{self._database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnreachableError(
                f"{self._database}.lock cannot be made: {error.strerror}. "
                "Let POSTERN_DATA_DIR name a folder this user may write to."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise AlreadyOwnedError(
                f"Another Postern already works {self._database}. End it first, or give this one its own "
                "POSTERN_DATA_DIR."
            ) from None
        self._file = file

    def release(self) -> None:
        """Release the lock. The file stays: its removal would race with another process that opens it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
