"""Runs blocking calls in daemon threads, so that a call that is under way keeps no process from ending.

The event loop's own executor is joined when the loop ends: one call that waits would hold up the stop.
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
    """A thread for each call, which has the caller's context variables. Calls are not bounded in number."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        call = partial(contextvars.copy_context().run, partial(fn, *args, **kwargs))
        threading.Thread(target=_run, args=(future, call), name="daemon-call", daemon=True).start()
        return future


def _run(future: "Future[Any]", call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # handed to the waiting task, whatever it is
        future.set_exception(error)
    else:
        future.set_result(result)
