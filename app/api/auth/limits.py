"""Limits of a caller, by address and by API key: requests in progress, memory, attempts and rates.

Memory: every large body or response reserves its bytes in a budget, a body while it is received, an email when it is
read from the store. A request that exceeds the budget, or half of it for one address or API key, is refused. Work that
needs several times these bytes runs for one request at a time.

Steps of the event loop: hundreds of requests may be ready in one step, and others would wait until it ends. So at most
STARTS_IN_STEP start in one, and one body beyond COSTLY_SIZE is read; callers take turns. The bodies that are read or
committed have COSTLY_BYTES, because a commit of more would delay the next one.

Attempts: validations, reschedules and refused sends cost as much as a send (a reschedule writes the content again, and
an event for each webhook), but the stored rate limits of a key count stored messages only. They are counted in a minute
of the clock, in memory, and refused before the body is read.

Rates: the store counts over all processes and is not queried here. RateLimit headers and an early check use the last
usage that it reported.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from uuid import UUID

from starlette.types import Scope

from app.api.problems.key_policy import RateLimitExceeded, TooManyAttempts
from app.api.problems.transport import BodyBudgetExhausted, TooManyRequests
from app.mail.key_policy import MAX_ITEMS, UNUSED, Amount, RateLimit, Usage
from app.mail.times import MINUTE
from app.quota import Quota, network
from app.store.keys.records import Key

UNRESERVED_SIZE = 64 * 1024  # bytes of a body or a response that are not reserved; urgent mail is small
INLINE_SIZE = 256 * 1024  # bytes; parsing or composing more would block all other requests
COSTLY_SIZE = 4 * 1024  # bytes of a body that may take milliseconds to read and to commit
COSTLY_BYTES = 1024 * 1024  # of such bodies that are read or committed, and one more body
STARTS_IN_STEP = 8  # requests that start in one step of the event loop
MEMORY_BUDGET = "postern.memory_budget"  # key of the MemoryBudget in the scope of every request
_FREE = nullcontext()
_RESERVED = "postern.reserved"  # scope key: the bytes reserved for the request, and their holders

MIN_PER_MINUTE = 10  # lower bound of the limit of validations and reschedules

RateHeaders = tuple[tuple[bytes, bytes], ...]


class Caller:
    """Caller of one request: the network address (`client`, "" if it is not known), and the API key once it is known.

    The request is counted in the quota of both until `release`.
    """

    __slots__ = ("_address", "_requests", "check_again", "client", "key")

    def __init__(self, requests: Quota, client: str) -> None:
        self.client = client
        self.key: Key | None = None
        self.check_again: Callable[[], Awaitable[object]] = _nothing
        self._requests = requests
        self._address: str | None = None

    def acquire(self, address: str) -> None:
        """Count the request for its address. Raises TooManyRequests."""
        self._count(address)
        self._address = address

    def identify(self, key: Key, check_again: Callable[[], Awaitable[object]]) -> None:
        """Count the request for its key; `check_again` authenticates it again. Raises TooManyRequests."""
        if self.key is None:
            self._count(key.id.int)  # its number: a UUID computes its hash in Python at each of five lookups
        self.key, self.check_again = key, check_again

    def release(self) -> None:
        """Release the quota at the end of the request."""
        if self._address is not None:
            self._requests.give_back(1, (self._address,))
        if self.key is not None:
            self._requests.give_back(1, (self.key.id.int,))

    def _count(self, holder: Hashable) -> None:
        if not self._requests.take(1, (holder,)):
            raise TooManyRequests(self._requests.holder_limit)


async def _nothing() -> None:
    pass


class MemoryBudget:
    """Memory of all requests in progress, with a share for each address and API key."""

    def __init__(self, limit: int, largest: int = 0) -> None:
        """`largest`: bytes that one request may need, the minimum of a share."""
        self._quota = Quota(limit, max(limit // 2, largest))
        self._large, self._costly = _Turns(1), _Turns(COSTLY_BYTES)
        self.starts, self._costly_starts = Starts(STARTS_IN_STEP), Starts(1)

    def reserve(self, scope: Scope, size: int, unread: bool = False) -> None:
        """Reserve so many bytes in total for the request, until `release`. Raises BodyBudgetExhausted."""
        held, holders = scope.get(_RESERVED) or (0, _holders(scope))
        if size > held and size > UNRESERVED_SIZE:
            if not self._quota.take(size - held, holders):
                raise BodyBudgetExhausted(unread=unread)
            scope[_RESERVED] = size, holders

    def check_available(self, scope: Scope, size: int, unread: bool) -> None:
        """Refuse a body that would exceed the budget, without charging it. Raises BodyBudgetExhausted."""
        if size > UNRESERVED_SIZE:
            holders = _holders(scope)
            if not self._quota.take(size, holders):
                raise BodyBudgetExhausted(unread=unread)
            self._quota.give_back(size, holders)

    def release(self, scope: Scope) -> None:
        """Return everything that was reserved for the request."""
        if _RESERVED in scope:
            self._quota.give_back(*scope.pop(_RESERVED))

    def large_work_slot(self, scope: Scope, size: int, above: int = INLINE_SIZE) -> AbstractAsyncContextManager[None]:
        """Context for work on a body or an email of this size: those `above` run one at a time, API keys in turn.

        Text, parsed value and message together take several times the bytes of the body."""
        return _FREE if size <= above else self._large.turn(_holders(scope)[-1])

    @asynccontextmanager
    async def costly_work_slot(self, scope: Scope, size: int) -> AsyncIterator[None]:
        """Context to read a body of this size and to commit its email: COSTLY_BYTES at a time, one in a step of the
        event loop, API keys in turn."""
        holder = _holders(scope)[-1]
        async with self._costly.turn(holder, size):
            if start := self._costly_starts.take(holder):
                await start
            yield


def memory_budget(scope: Scope) -> MemoryBudget:
    """Return the budget in which the request of this scope reserves."""
    budget: MemoryBudget = scope[MEMORY_BUDGET]
    return budget


def reserve(scope: Scope, size: int) -> None:
    """Reserve a response of this size for the request. Raises BodyBudgetExhausted."""
    memory_budget(scope).reserve(scope, size)


def large_work_slot(scope: Scope, size: int) -> AbstractAsyncContextManager[None]:
    """Return `MemoryBudget.large_work_slot` of the request."""
    return memory_budget(scope).large_work_slot(scope, size)


def _holders(scope: Scope) -> tuple[Hashable, ...]:
    """Return the address and, once known, the API key of the request."""
    caller: Caller = scope["caller"]
    address, key = network(caller.client), caller.key
    return (address, key.id) if key else (address,)


class _Queue:
    """Waiters of each holder, with their sizes. Holders take turns."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[tuple[asyncio.Future[None], int]]] = {}  # the next holder stands first

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, holder: Hashable, size: int = 1) -> asyncio.Future[None]:
        """Return a future that ends when the waiter is admitted."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append((given, size))
        return given

    def admit(self) -> int:
        """Admit the first waiter of the next holder, which then stands last. Return its size, or 0: nobody waits."""
        while self._waiting:
            holder, waiters = next(iter(self._waiting.items()))
            del self._waiting[holder]
            given, size = waiters.popleft()
            if waiters:
                self._waiting[holder] = waiters
            if not given.done():
                given.set_result(None)
                return size
        return 0


class Starts:
    """At most `most` starts in one step of the event loop. Holders take turns."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._is_counting = False
        self._waiting = _Queue()

    def take(self, holder: Hashable) -> asyncio.Future[None] | None:
        """Take a start of this step: None, or a future that ends in a step with a start left."""
        if not self._is_counting:
            self._count_step()
        if self._left and not self._waiting:
            self._left -= 1
            return None
        return self._waiting.join(holder)

    def _count_step(self) -> None:
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._begin_step)

    def _begin_step(self) -> None:
        self._left = self._most
        self._is_counting = False
        while self._left and self._waiting.admit():
            self._left -= 1
        if self._waiting:
            self._count_step()


class _Turns:
    """Fair lock for work of `most` in total, and one more piece. Holders take turns, so that one with many waiters does
    not delay the others."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._waiting = _Queue()

    @asynccontextmanager
    async def turn(self, holder: Hashable, size: int = 1) -> AsyncIterator[None]:
        """Hold a part of this size for the block."""
        if self._left > 0:
            self._left -= size
        else:
            await self._wait(holder, size)
        try:
            yield
        finally:
            self._give_back(size)

    async def _wait(self, holder: Hashable, size: int) -> None:
        given = self._waiting.join(holder, size)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():  # it was admitted in the same step of the loop
                self._give_back(size)
            raise

    def _give_back(self, size: int) -> None:
        """Admit those who wait."""
        self._left += size
        while self._left > 0 and (admitted := self._waiting.admit()):
            self._left -= admitted


class AttemptLimiter:
    """Counts of attempts in this process. `now` returns epoch seconds.

    `most`: limit per minute for keys without `messages_per_minute`.
    """

    def __init__(self, now: Callable[[], float], most: int) -> None:
        self._now = now
        self._most = most
        self._minute = 0
        self._admitted: Counter[UUID] = Counter()  # of this minute
        self._refused: Counter[UUID] = Counter()

    def admit(self, key: Key) -> None:
        """Count a validation or a reschedule. Raises TooManyAttempts."""
        self._begin_minute()
        per_minute = key.policy.messages_per_minute
        limit = self._most if per_minute is None else max(per_minute, MIN_PER_MINUTE)
        if self._admitted[key.id] + self._refused[key.id] >= limit:
            raise self._too_many(limit)
        self._admitted[key.id] += 1

    def send(self, key: Key) -> None:
        """Check the limit before a send. Only refused sends count here. Raises TooManyAttempts."""
        if not self._refused:
            return
        self._begin_minute()
        limit = max(key.policy.messages_per_minute or 0, self._most)
        if self._refused[key.id] >= limit:
            raise self._too_many(limit)

    def count(self, key_id: UUID) -> None:
        """Count a send, or an item of a batch, that was refused."""
        self._begin_minute()
        self._refused[key_id] += 1

    def _too_many(self, limit: int) -> TooManyAttempts:
        return TooManyAttempts(limit, max(1, math.ceil((self._minute + 1) * MINUTE - self._now())))

    def _begin_minute(self) -> None:
        minute = int(self._now() // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._admitted.clear()
            self._refused.clear()


def _rate_headers(limit: int, remaining: int, reset: int) -> RateHeaders:
    return (
        (b"ratelimit-limit", b"%d" % limit),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % reset),
    )


_UNLIMITED = _rate_headers(MAX_ITEMS, MAX_ITEMS, MINUTE)


class RateLimitHeaders:
    """Last known usage of the keys with limits. `now` returns epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: dict[UUID, Usage] = {}

    def record_usage(self, key_id: UUID, usage: Usage) -> None:
        """Record the usage that the store reported."""
        self._used[key_id] = usage.joined(self._used.get(key_id, UNUSED))

    def check(self, key_id: UUID, rate_limit: RateLimit, amount: Amount) -> None:
        """Refuse early what the store would refuse, by the last known usage. Raises RateLimitExceeded."""
        now = self._now()
        usage = self._used.get(key_id, UNUSED).at(now)
        if (window := rate_limit.exceeded(usage, amount)) is not None:
            raise RateLimitExceeded(window, amount, now)

    def headers(self, key: Key) -> RateHeaders:
        """Return the headers of the window with the fewest messages left; constants without a limit."""
        rate_limit = key.policy.rate_limit
        if rate_limit is None:
            return _UNLIMITED
        now = self._now()
        window = rate_limit.tightest(self._used.get(key.id, UNUSED).at(now))
        if window is None:
            return _UNLIMITED
        return _rate_headers(window.limit, window.remaining, max(1, math.ceil(window.end - now)))
