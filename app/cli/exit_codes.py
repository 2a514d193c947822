"""How a command ends. The codes are those of sysexits.h where it has one."""

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
    """One plain line on standard error, and the exception to raise."""
    say(f"postern: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def report_errors() -> Iterator[None]:
    """What can be wrong outside of us ends in one line, never in a traceback."""
    try:
        yield
    except SettingsError as error:
        raise end(Exit.CONFIG, str(error)) from None
    except (StoreError, ListenError) as error:
        raise end(Exit.UNAVAILABLE, str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on uvloop, plainly."""
    with report_errors():
        return uvloop.run(work) if sys.platform != "win32" else asyncio.run(work)
