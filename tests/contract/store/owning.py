"""Run as a program: owns a database until killed."""

import sys
from pathlib import Path

from app.store.owner import OwnerLock

if __name__ == "__main__":
    OwnerLock(Path(sys.argv[1])).acquire()
    print("owned", flush=True)
    sys.stdin.readline()
