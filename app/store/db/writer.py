"""Group commit: one thread with one connection commits all waiting writes together. Contains no table.

A commit waits for the disk once, however many writes it has. Writes that arrive during a commit form the next group, so
a caller waits for at most two commits. Writes of one iteration of the event loop are handed over together; otherwise
the first would get a commit of its own. A `batchable` write waits up to BATCH_DELAY for others, because neighbouring
rows cost little more than one; BATCH_SIZE of them go with the next other write. A write with
`siblings` waits up to SIBLING_WAIT for theirs: concurrent sessions share their commits instead of alternating.

Rule 1: a caller is notified of success only after the commit has returned.
Rule 2: an error of one item fails only that item: the group is rolled back, and each item is run again alone.
Rule 3: an error of the database fails the whole group, and the next group starts on a new connection.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import logs, metrics
from app.store.errors import AlreadyStoredError, StoreUnavailableError, is_item_error
from app.store.records import WorkHint

GROUP_SIZE = 256  # items at which a group is closed; it is never twice as large
BATCH_DELAY = 0.01  # seconds that a batchable item waits for others
BEFORE_COMMIT = "before_commit"  # key of Connection.info: a function that an operation leaves for the transaction's end
BATCH_SIZE = 8  # waiting batchable items that are committed with the next other write
SIBLING_WAIT = 0.0005  # seconds that a group waits for the next write of a sibling

_NO_HINTS: frozenset[WorkHint] = frozenset()

A = TypeVar("A")
R = TypeVar("R")
OnDue = Callable[[WorkHint], None]
Operation = Callable[[Connection, Sequence[A]], Sequence[R]]
"""Store operation: from a batch of arguments to their results, in the same order, inside a transaction."""


def per_argument(function: Callable[[Connection, A], R]) -> Callable[[Connection, Sequence[A]], list[R]]:
    """Decorator: return an operation that calls `function` for each argument of a batch, in order."""

    @wraps(function)
    def operation(connection: Connection, batch: Sequence[A]) -> list[R]:
        return [function(connection, argument) for argument in batch]

    return operation


@dataclass(slots=True, eq=False)
class _Item:
    """One call and its outcome: `error`, or `result` after the commit."""

    operation: Operation[Any, Any]
    argument: Any
    hints: frozenset[WorkHint]
    future: asyncio.Future[Any]
    batchable: bool
    siblings: int
    result: Any = None
    error: Exception | None = None


class Writer:
    """Writer of the event loop that creates it. `lock_order` gives the place of every operation in a transaction;
    others are refused.

    `on_due` is called on the loop with each hint of a write: after the commit, or before the write is handed over, so
    that a claim that is requested then is in the same commit or a later one. `on_commit` is called after a commit with
    hints of either kind.
    """

    def __init__(
        self,
        engine: Engine,
        lock_order: Mapping[Operation[Any, Any], int],
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._lock_order = lock_order
        self.on_due: OnDue = lambda _: None
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Item] = []  # in this iteration of the event loop
        self._batchable: list[_Item] = []  # for up to BATCH_DELAY
        self._waiting: SimpleQueue[list[_Item]] = SimpleQueue()  # an empty list: closed
        self._connection: Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def write(
        self,
        operation: Operation[A, R],
        argument: A,
        *,
        hints: frozenset[WorkHint] = _NO_HINTS,
        batchable: bool = False,
        siblings: int = 0,
    ) -> R:
        """Return the result of `operation` for this argument once it is on disk.

        `hints`: work that it may have made due. `batchable`: the commit may wait BATCH_DELAY.
        `siblings`: tasks that are likely to write within SIBLING_WAIT; the commit waits so long for them.
        Raises StoreUnavailableError or AlreadyStoredError: nothing was stored. Raises LookupError for an operation
        without a place in the lock order.
        """
        if operation not in self._lock_order:
            raise LookupError(
                f"{operation.__module__}.{operation.__qualname__} has no place in the lock order; give it one."
            )
        if self._closed:
            raise StoreUnavailableError("The store is closed: Postern is stopping.")
        item = _Item(operation, argument, hints, self._loop.create_future(), batchable, siblings)
        waiting = self._batchable if batchable else self._asked
        waiting.append(item)
        for hint in hints:
            if hint.before_commit:
                self.on_due(hint)
        if len(waiting) == 1 and batchable:
            self._loop.call_later(BATCH_DELAY, self._hand_over, waiting)
        elif len(waiting) == 1:
            self._loop.call_soon(self._hand_over, waiting)
        if not batchable and len(self._batchable) >= BATCH_SIZE:
            self._asked += self._batchable
            self._batchable.clear()
        result: R = await item.future
        return result

    def hint(self, hints: frozenset[WorkHint]) -> None:
        """Report work that may be due, after writes without hints."""
        for hint in hints:
            if not hint.before_commit:
                self.on_due(hint)
        if hints:
            self._on_commit()

    async def close(self) -> None:
        """Commit the waiting writes, then end the thread and close its connection."""
        if not self._closed:
            self._closed = True
            self._hand_over(self._asked)
            self._hand_over(self._batchable)
            self._waiting.put([])
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self, asked: list[_Item]) -> None:
        for start in range(0, len(asked), GROUP_SIZE):
            self._waiting.put(asked[start : start + GROUP_SIZE])
        asked.clear()

    def _work(self) -> None:
        while group := self._next_group():
            self._run([item for item in group if not item.future.cancelled()])
            with suppress(RuntimeError):  # the loop is closed, so no caller waits
                self._loop.call_soon_threadsafe(self._resolve, group)
        self._drop_connection()

    def _next_group(self) -> list[_Item]:
        """Wait for items and return them; an empty list once the writer is closed and all items are done."""
        group = self._waiting.get()
        with suppress(Empty):
            while group and len(group) < GROUP_SIZE:
                more = self._waiting.get(_is_incomplete(group), SIBLING_WAIT)
                if not more:
                    self._waiting.put(more)  # closed: the next call must see it
                    break
                group = group + more
        return group

    def _run(self, group: Sequence[_Item]) -> None:
        if not group:
            return
        try:
            self._commit(group)
        except Exception as error:
            self._drop_connection()
            if isinstance(error, DBAPIError) and not is_item_error(error):
                self._fail(group, error)
            elif len(group) == 1:
                group[0].error = _item_error(error)
            else:
                for item in group:
                    self._run([item])

    def _commit(self, group: Sequence[_Item]) -> None:
        batches: dict[Operation[Any, Any], list[_Item]] = defaultdict(list)
        for item in group:
            batches[item.operation].append(item)
        began = time.perf_counter()
        connection = self._connect()
        with connection.begin():
            for operation, items in sorted(batches.items(), key=self._place):
                results = operation(connection, [item.argument for item in items])
                for item, result in zip(items, results, strict=True):
                    item.result = result
            if finish := connection.info.pop(BEFORE_COMMIT, None):
                finish(connection)
        metrics.committed(len(group), time.perf_counter() - began)

    def _place(self, batch: tuple[Operation[Any, Any], list[_Item]]) -> int:
        return self._lock_order[batch[0]]

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _drop_connection(self) -> None:
        """Close the connection in any state, which rolls back; the next group opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    @staticmethod
    def _fail(group: Sequence[_Item], error: DBAPIError) -> None:
        logs.store_failed("commit", StoreUnavailableError.from_database(error))
        for item in group:
            item.error = StoreUnavailableError.from_database(error)

    def _resolve(self, group: Sequence[_Item]) -> None:
        for item in group:
            if item.future.done():  # its caller was cancelled
                continue
            if item.error is None:
                item.future.set_result(item.result)
            else:
                item.future.set_exception(item.error)
        self.hint(_NO_HINTS.union(*[item.hints for item in group if item.error is None]))


def _is_incomplete(group: Sequence[_Item]) -> bool:
    """True if every item but the batchable ones has siblings, and those have not written yet."""
    siblings = [item.siblings for item in group if not item.batchable]
    return bool(siblings) and min(siblings) > 0 and len(siblings) <= max(siblings)


def _item_error(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return AlreadyStoredError(
            "An id or a digest of this request is stored already; nothing of the request was stored."
        )
    return error
