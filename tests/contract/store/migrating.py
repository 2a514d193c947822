"""Program that migrates when it reads a line, and prints the revision."""

import sys

from app.store.migrations import migrate

if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(migrate(sys.argv[1]), flush=True)
