"""Capture of the standard library's `logging`, `warnings` and uncaught exceptions as lines of Postern's log.

It changes hooks of the whole process, so only `app/__main__` installs it.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any

from app import logs


def install() -> None:
    """Log the warnings and errors of all packages, and uncaught exceptions.

    The level cannot be lowered: below `warning` packages log credentials and content (httpcore: header fields).
    """
    logging.basicConfig(handlers=[_Handler()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


class _Handler(logging.Handler):
    """Handler that logs each record. asyncio and uvloop also report uncaught exceptions of callbacks and tasks so."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        logs.library(severe=record.levelno >= logging.ERROR, logger=record.name, message=_message(record), error=error)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a bug of the package: the arguments do not fit the message
        return str(record.msg)


def _uncaught(_: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    logs.crashed("main thread", error.with_traceback(trace))


def _uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None:
        logs.crashed(f"thread {caught.thread.name if caught.thread else ''}", caught.exc_value)


def _unraisable(caught: Any) -> None:
    if caught.exc_value is not None:
        logs.crashed(str(caught.err_msg or "finalizer"), caught.exc_value)
