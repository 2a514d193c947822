"""Exit codes of the commands, with the values of sysexits.h, and one-line error messages."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

import typer
import uvloop

from app.cli.output import say
from app.http_server.server import ListenError
from app.settings import SettingsError
from app.store import StoreError

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes, documented in `postern --help`."""

    DONE = 0
    FAILED = 1
    UNAVAILABLE = 69
    CONFIG = 78


def end(code: Exit, line: str) -> typer.Exit:
    """Print one line to standard error and return the exception that ends the command."""
    say(f"postern: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def report_errors() -> Iterator[None]:
    """Report errors of the environment as one line and an exit code, without a traceback."""
    try:
        yield
    except SettingsError as error:
        raise end(Exit.CONFIG, str(error)) from None
    except (StoreError, ListenError) as error:
        raise end(Exit.UNAVAILABLE, str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop and report errors of the environment."""
    with report_errors():
        return uvloop.run(work) if sys.platform != "win32" else asyncio.run(work)
