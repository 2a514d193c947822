"""Methods of the store that are one query, or one operation on one argument. Its definition documents each of them."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection

from app.store.db.writer import Operation

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")


class ReadMethod(Generic[P, R]):
    """Method that returns the result of a query. Its parameters are those of the query behind the connection."""

    def __init__(self, query: Callable[Concatenate[Connection, P], R]) -> None:
        self._query = query

    def __get__(self, store: Any, _: object = None) -> Callable[P, Coroutine[Any, Any, R]]:
        def read(*args: P.args, **options: P.kwargs) -> Coroutine[Any, Any, R]:
            result: Coroutine[Any, Any, R] = store._read(lambda connection: self._query(connection, *args, **options))  # noqa: SLF001 - of the class with this method
            return result

        return read


class WriteMethod(Generic[A, R]):
    """Method that returns the result of an operation for its argument. `batchable`: see Writer.write."""

    def __init__(self, operation: Operation[A, R], *, batchable: bool = False) -> None:
        self._operation = operation
        self._batchable = batchable

    def __get__(self, store: Any, _: object = None) -> Callable[[A], Coroutine[Any, Any, R]]:
        def write(argument: A) -> Coroutine[Any, Any, R]:
            result: Coroutine[Any, Any, R] = store._write(self._operation, argument, batchable=self._batchable)  # noqa: SLF001 - of the class with this method
            return result

        return write
