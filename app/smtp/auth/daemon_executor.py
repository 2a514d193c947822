"""Executor with daemon threads, so that a blocked call does not delay the end of the process.

The default executor of the event loop is joined at the end of the loop.
"""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(Executor):
    """Executor with one thread per call, without a limit. A call runs with the context variables of its caller."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call in a new thread."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        call = partial(contextvars.copy_context().run, partial(fn, *args, **kwargs))
        threading.Thread(target=_run, args=(future, call), name="daemon-call", daemon=True).start()
        return future


def _run(future: "Future[Any]", call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # raised in the waiting task
        future.set_exception(error)
    else:
        future.set_result(result)
