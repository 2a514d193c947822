"""Entry point of `python -m app` and of the command `postern`."""

import gc
import sys

from app import __version__

_COLLECT_AFTER = 300_000  # new objects between two runs of the garbage collector: more than a start creates


def main() -> None:
    """Print the version, or run the command line."""
    if sys.argv[1:] == ["--version"]:  # without the imports of the command line, which take ten times as long
        print(__version__)
    else:
        _run_command_line()


def _run_command_line() -> None:
    gc.set_threshold(_COLLECT_AFTER)  # a tenth of the start was garbage collection, which freed nothing
    from app import logs  # noqa: PLC0415
    from app.cli import application  # noqa: PLC0415
    from app.logs import capture  # noqa: PLC0415

    capture.install()
    try:
        application()
    except Exception as error:
        logs.crashed("command line", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
