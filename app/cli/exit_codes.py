"""Exit codes of the commands, with the values of sysexits.h, one-line error messages, and the run of a coroutine."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

import typer

from app.cli.output.text import print_line
from app.operator_errors import ConfigurationError, UnavailableError

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes, documented in `postern --help`."""

    DONE = 0
    FAILED = 1
    UNAVAILABLE = 69
    CONFIG = 78


def end(code: Exit, line: str) -> typer.Exit:
    """Print one line to standard error and return the exception that ends the command."""
    print_line(f"postern: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def report_errors() -> Iterator[None]:
    """Report errors of the environment as one line and an exit code, without a traceback."""
    try:
        yield
    except ConfigurationError as error:
        raise end(Exit.CONFIG, str(error)) from None
    except UnavailableError as error:
        raise end(Exit.UNAVAILABLE, str(error)) from None
    except OSError as error:
        if error.filename is None:  # of a socket: the caller knows its address
            raise
        raise end(Exit.CONFIG, f"{error.filename}: {error.strerror}. Give a path that this user can use.") from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop and report errors of the environment."""
    with report_errors():
        if sys.platform == "win32":
            return asyncio.run(work)
        import uvloop  # noqa: PLC0415 - not every command runs a coroutine

        return uvloop.run(work)
