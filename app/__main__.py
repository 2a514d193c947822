"""Entry point of `python -m app` and of the command `postern`."""

import sys

from app import logs
from app.cli import application
from app.logs import capture


def main() -> None:
    """Run the command line."""
    capture.install()
    try:
        application()
    except Exception as error:
        logs.crashed("command line", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
