"""Memory for what requests read and answer: every large body and every large answer is charged to one budget.

A body is charged as it arrives, an email when it is read from the store; what exceeds the budget, or half of it for one
address or one API key, is refused. Work that needs several times the charged bytes is done for one request at a time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from starlette.types import Scope

from app.api.problems.transport import BodyBudgetExhausted
from app.quota import Quota, network

UNCHARGED_SIZE = 64 * 1024  # bytes of a body or an answer that are not charged: what is urgent is small
INLINE_SIZE = 256 * 1024  # bytes; to parse or compose more would keep every other request waiting
MEMORY_BUDGET = "postern.room"  # in the scope of every request: the MemoryBudget
_CHARGED = "postern.held"  # the bytes that are charged to the request, and to whom


class MemoryBudget:
    """The memory set aside, over all requests: what is read, worked on and answered at one moment."""

    def __init__(self, limit: int, largest: int = 0) -> None:
        """`largest`: bytes that one request may need; a share is never less."""
        self._quota = Quota(limit, max(limit // 2, largest))
        self._turns = _Turns()

    def charge(self, scope: Scope, size: int, unread: bool = False) -> None:
        """Charge so many bytes in all to the request, until `free`. Raises NoRoom."""
        held, holders = scope.get(_CHARGED) or (0, _holders(scope))
        if size > held and size > UNCHARGED_SIZE:
            if not self._quota.take(size - held, holders):
                raise BodyBudgetExhausted(unread=unread)
            scope[_CHARGED] = size, holders

    def check_available(self, scope: Scope, size: int, unread: bool) -> None:
        """Refuse what would exceed the budget now, before it is read. Charges nothing. Raises NoRoom."""
        if size > UNCHARGED_SIZE:
            holders = _holders(scope)
            if not self._quota.take(size, holders):
                raise BodyBudgetExhausted(unread=unread)
            self._quota.give_back(size, holders)

    def release(self, scope: Scope) -> None:
        """The request is over."""
        if _CHARGED in scope:
            self._quota.give_back(*scope.pop(_CHARGED))

    def large_work_slot(self, scope: Scope, size: int) -> AbstractAsyncContextManager[None]:
        """Around the work on a body or an email of this size. Of large ones one at a time, and API keys take turns: as
        text, value and message at once it takes several times its bytes, and the interpreter does one at a time
        anyway."""
        return nullcontext() if size <= INLINE_SIZE else self._turns.turn(_holders(scope)[-1])


def memory_budget(scope: Scope) -> MemoryBudget:
    """Return the budget to which the request of this scope is charged."""
    budget: MemoryBudget = scope[MEMORY_BUDGET]
    return budget


def charge(scope: Scope, size: int) -> None:
    """Charge an answer of this size to the request. Raises NoRoom."""
    memory_budget(scope).charge(scope, size)


def large_work_slot(scope: Scope, size: int) -> AbstractAsyncContextManager[None]:
    """See `MemoryBudget.large_work_slot`."""
    return memory_budget(scope).large_work_slot(scope, size)


def _holders(scope: Scope) -> tuple[Hashable, ...]:
    """The address and, once it is known, the API key of the request."""
    client: Any = scope.get("client")
    address = network(client[0]) if client else ""
    key = scope["caller"].key
    return (address, key.id) if key else (address,)


class _Turns:
    """A lock whose waiters are served by holder in turn, so that one who waits with much does not delay the others."""

    def __init__(self) -> None:
        self._locked = False
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # the next holder stands first

    @asynccontextmanager
    async def turn(self, holder: Hashable) -> AsyncIterator[None]:
        """Wait for it, keep it for the block."""
        if self._locked:
            await self._wait(holder)
        self._locked = True
        try:
            yield
        finally:
            self._next()

    async def _wait(self, holder: Hashable) -> None:
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():  # it was given in the same step of the loop
                self._next()
            raise

    def _next(self) -> None:
        """Give it to the first waiter of the next holder, who then goes to the end."""
        while self._waiting:
            holder, waiters = next(iter(self._waiting.items()))
            del self._waiting[holder]
            given = waiters.popleft()
            if waiters:
                self._waiting[holder] = waiters
            if not given.done():
                given.set_result(None)
                return
        self._locked = False
