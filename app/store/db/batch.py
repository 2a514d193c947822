"""Decorator for a store operation that handles the arguments of a batch one after the other.

The batch has the arguments of one operation in one transaction (see writer.py).
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from sqlalchemy import Connection

A = TypeVar("A")
R = TypeVar("R")


def per_argument(function: Callable[[Connection, A], R]) -> Callable[[Connection, Sequence[A]], list[R]]:
    """Return an operation that calls `function` for each argument of a batch; the results are in the same order."""

    @wraps(function)
    def operation(connection: Connection, batch: Sequence[A]) -> list[R]:
        return [function(connection, argument) for argument in batch]

    return operation
