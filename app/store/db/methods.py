"""Methods of the store that are one query, or one operation on one argument. Its definition documents each of them."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

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


class WriteMethod(Generic[P, R]):
    """Method that returns the result of an operation. `batchable`: see Writer.write.

    Its parameters are those of `argument`, which makes the operation's argument, or else the argument itself.
    """

    @overload
    def __init__(self: "WriteMethod[[A], R]", operation: Operation[A, R], *, batchable: bool = False) -> None: ...

    @overload
    def __init__(self, operation: Operation[A, R], argument: Callable[P, A], *, batchable: bool = False) -> None: ...

    def __init__(
        self, operation: Operation[A, R], argument: Callable[..., A] = lambda given: given, *, batchable: bool = False
    ) -> None:
        self._operation = operation
        self._argument = argument
        self._batchable = batchable

    def __get__(self, store: Any, _: object = None) -> Callable[P, Coroutine[Any, Any, R]]:
        def write(*args: P.args, **options: P.kwargs) -> Coroutine[Any, Any, R]:
            argument = self._argument(*args, **options)
            result: Coroutine[Any, Any, R] = store._write(self._operation, argument, batchable=self._batchable)  # noqa: SLF001 - of the class with this method
            return result

        return write
