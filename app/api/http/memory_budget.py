"""Memory budget of request bodies and responses: every large one reserves its bytes in it (`charge`).

A body does so while it is received, an email when it is read from the store. A request that exceeds the budget, or half
of it for one address or API key, is refused. Work that needs several times these bytes runs for one request at a time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from starlette.types import Scope

from app.api.problems.transport import BodyBudgetExhausted
from app.quota import Quota, network

UNCHARGED_SIZE = 64 * 1024  # bytes of a body or a response that are not charged; urgent mail is small
INLINE_SIZE = 256 * 1024  # bytes; parsing or composing more would block all other requests
MEMORY_BUDGET = "postern.memory_budget"  # key of the MemoryBudget in the scope of every request
_FREE = nullcontext()
_CHARGED = "postern.charged"  # scope key: the bytes charged to the request, and their holders


class MemoryBudget:
    """Memory of all requests in progress, with a share for each address and API key."""

    def __init__(self, limit: int, largest: int = 0) -> None:
        """`largest`: bytes that one request may need, the minimum of a share."""
        self._quota = Quota(limit, max(limit // 2, largest))
        self._turns = _Turns()

    def charge(self, scope: Scope, size: int, unread: bool = False) -> None:
        """Charge so many bytes in total to the request, until `release`. Raises BodyBudgetExhausted."""
        held, holders = scope.get(_CHARGED) or (0, _holders(scope))
        if size > held and size > UNCHARGED_SIZE:
            if not self._quota.take(size - held, holders):
                raise BodyBudgetExhausted(unread=unread)
            scope[_CHARGED] = size, holders

    def check_available(self, scope: Scope, size: int, unread: bool) -> None:
        """Refuse a body that would exceed the budget, without charging it. Raises BodyBudgetExhausted."""
        if size > UNCHARGED_SIZE:
            holders = _holders(scope)
            if not self._quota.take(size, holders):
                raise BodyBudgetExhausted(unread=unread)
            self._quota.give_back(size, holders)

    def release(self, scope: Scope) -> None:
        """Return everything that was charged to the request."""
        if _CHARGED in scope:
            self._quota.give_back(*scope.pop(_CHARGED))

    def large_work_slot(self, scope: Scope, size: int) -> AbstractAsyncContextManager[None]:
        """Context for work on a body or an email of this size: large ones run one at a time, API keys in turn.

        Text, parsed value and message together take several times the bytes of the body."""
        return _FREE if size <= INLINE_SIZE else self._turns.turn(_holders(scope)[-1])


def memory_budget(scope: Scope) -> MemoryBudget:
    """Return the budget to which the request of this scope is charged."""
    budget: MemoryBudget = scope[MEMORY_BUDGET]
    return budget


def charge(scope: Scope, size: int) -> None:
    """Charge a response of this size to the request. Raises BodyBudgetExhausted."""
    memory_budget(scope).charge(scope, size)


def large_work_slot(scope: Scope, size: int) -> AbstractAsyncContextManager[None]:
    """Return `MemoryBudget.large_work_slot` of the request."""
    return memory_budget(scope).large_work_slot(scope, size)


def _holders(scope: Scope) -> tuple[Hashable, ...]:
    """Return the address and, once known, the API key of the request."""
    client: Any = scope.get("client")
    address = network(client[0]) if client else ""
    key = scope["caller"].key
    return (address, key.id) if key else (address,)


class _Turns:
    """Fair lock: its holders are served in turn, so that one with many waiters does not delay the others."""

    def __init__(self) -> None:
        self._locked = False
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # the next holder stands first

    @asynccontextmanager
    async def turn(self, holder: Hashable) -> AsyncIterator[None]:
        """Hold the lock for the block."""
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
            if given.done() and not given.cancelled():  # the lock was passed on in the same step of the loop
                self._next()
            raise

    def _next(self) -> None:
        """Pass the lock to the first waiter of the next holder, and move that holder to the end."""
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
