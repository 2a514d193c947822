"""One thread that owns one connection and commits whatever waits as one group. Knows no table.

A commit costs a wait for the disk, however much is in it. So what is asked while one group commits forms the next
one: a caller waits for two commits at most, and the disk is never idle while somebody waits. What is asked in one
turn of the event loop is handed over together, else the first caller of a turn would get a commit for itself alone.
What is patient waits a moment for more of its kind: rows that lie side by side cost little more than one of them, and
what holds somebody up is not made longer by what does not. It waits no longer than for the next that is `in_order`.

Rule 1: a waiter hears of success only after the commit has returned.
Rule 2: what is wrong with one item fails that item only: its group is undone and each is run again by itself.
Rule 3: what is wrong with the database fails the whole group, and the next one starts on a new connection.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import logs, metrics
from app.store.errors import AlreadyStoredError, StoreUnavailableError, is_item_error
from app.store.records import WorkHint

GROUP_SIZE = 256  # items at which a group is closed; it is never twice as large
BATCH_DELAY = 0.01  # seconds that a patient item waits for others

A = TypeVar("A")
R = TypeVar("R")
OnDue = Callable[[frozenset[WorkHint]], None]
Verb = Callable[[Connection, Sequence[A]], Sequence[R]]


@dataclass(slots=True, eq=False)
class _Item:
    """One call, and how it ended: `error`, or else `result` once its commit has returned."""

    verb: Verb[Any, Any]
    argument: Any
    hints: frozenset[WorkHint]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Made on the event loop that its callers run on. `on_due` is called there after work may have become due.

    `lock_order` gives the place of every verb in a transaction; a verb that is not in it is refused.
    """

    def __init__(self, engine: Engine, on_due: OnDue, lock_order: Mapping[Verb[Any, Any], int]) -> None:
        self._engine = engine
        self._lock_order = lock_order
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Item] = []  # in this turn of the loop
        self._batchable: list[_Item] = []  # since the first of them came
        self._waiting: SimpleQueue[list[_Item]] = SimpleQueue()  # an empty list: closed
        self._connection: Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def write(
        self,
        verb: Verb[A, R],
        argument: A,
        *,
        hints: frozenset[WorkHint] = frozenset(),
        batchable: bool = False,
        flush_batched_first: bool = False,
    ) -> R:
        """What `verb` answers for this argument, when it is on the disk. `hints`: where it may have made work due.

        `patient`: it may begin a moment later. `in_order`: what was asked before it is not on the disk after it.
        Raises StoreUnavailableError or AlreadyStoredError: nothing was stored. Raises LookupError for a verb without a
        place in the lock order.
        """
        if verb not in self._lock_order:
            raise LookupError(f"{verb.__module__}.{verb.__qualname__} has no place in the lock order; give it one.")
        if self._closed:
            raise StoreUnavailableError("The store is closed: Postern is stopping.")
        item = _Item(verb, argument, hints, self._loop.create_future())
        waiting = self._batchable if batchable else self._asked
        waiting.append(item)
        if len(waiting) == 1 and batchable:
            self._loop.call_later(BATCH_DELAY, self._hand_over, waiting)
        elif len(waiting) == 1:
            self._loop.call_soon(self._hand_over, waiting)
        if flush_batched_first:
            self._asked[:0] = self._batchable
            self._batchable.clear()
        result: R = await item.future
        return result

    def hint(self, hints: frozenset[WorkHint]) -> None:
        """Tell of work that may be due, after writes that did not."""
        self._on_due(hints)

    async def close(self) -> None:
        """Finish what waits, then end the thread and its connection."""
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
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._resolve, group)
        self._drop_connection()

    def _next_group(self) -> list[_Item]:
        """What waits; waited for if nothing does. Empty when the writer is closed and all is done."""
        group = self._waiting.get()
        with suppress(Empty):
            while group and len(group) < GROUP_SIZE:
                more = self._waiting.get_nowait()
                if not more:
                    self._waiting.put(more)  # closed: for the next call to see
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
                group[0].error = _blame(error)
            else:
                for item in group:
                    self._run([item])

    def _commit(self, group: Sequence[_Item]) -> None:
        batches: dict[Verb[Any, Any], list[_Item]] = defaultdict(list)
        for item in group:
            batches[item.verb].append(item)
        began = time.perf_counter()
        connection = self._connect()
        with connection.begin():
            for verb, items in sorted(batches.items(), key=self._place):
                results = verb(connection, [item.argument for item in items])
                for item, result in zip(items, results, strict=True):
                    item.result = result
        metrics.committed(len(group), time.perf_counter() - began)

    def _place(self, batch: tuple[Verb[Any, Any], list[_Item]]) -> int:
        return self._lock_order[batch[0]]

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _drop_connection(self) -> None:
        """Close it, whatever state it is in: the next group opens another. What was not committed is undone."""
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
        if hints := frozenset[WorkHint]().union(*(item.hints for item in group if item.error is None)):
            self._on_due(hints)


def _blame(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return AlreadyStoredError("An id or a digest of this request is stored already; nothing of it was kept.")
    return error
