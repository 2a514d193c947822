"""Verbs of the store that handle the arguments of one commit group one after the other."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from sqlalchemy import Connection

A = TypeVar("A")
R = TypeVar("R")


def each(function: Callable[[Connection, A], R]) -> Callable[[Connection, Sequence[A]], list[R]]:
    """Return the verb that calls this function for each argument and returns the results in the same order."""

    @wraps(function)
    def verb(connection: Connection, batch: Sequence[A]) -> list[R]:
        return [function(connection, argument) for argument in batch]

    return verb
