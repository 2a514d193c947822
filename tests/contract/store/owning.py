"""Program that owns a database until killed."""

import sys
from pathlib import Path

from app.store.db.file_lock import DatabaseFileLock

if __name__ == "__main__":
    DatabaseFileLock(Path(sys.argv[1])).acquire()
    print("owned", flush=True)
    sys.stdin.readline()
