"""Pool of the SMTP sessions of one mailbox: at most `size`, including those that are opening or closing.

Rule 1: the owner of a session is recorded when the pool decides, never derived from the state of the connection.
Rule 2: decide first, then do I/O: `_decide` and `_assign` never await.
Rule 3: a session is returned reusable, or it is closed. Every exception and every negative reply makes it unusable.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import NamedTuple, Protocol

from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session
from app.smtp.session import BeforeDot

_CONNECTION_LOST = frozenset({FailureKind.CLOSED, FailureKind.TIMEOUT})
_CLOSING = 421


class _Decision(Enum):
    OPEN = auto()  # a slot is recorded as opening
    WAIT = auto()


class _Idle(NamedTuple):
    session: Session
    until: float


class SessionOpener(Protocol):
    """Opener of the sessions of one mailbox, such as LoginGate."""

    async def __call__(self) -> Session | Refusal:
        """Return a session, or the refusal of the server. Raises SessionError."""
        ...

    def forget_failure(self) -> None:
        """Discard stored failures: the next call is a real login."""
        ...


class SessionPool:
    """Pool of the sessions of one mailbox.

    A session is closed after `max_idle` seconds without use, at the age of `max_age` seconds, or after `max_messages`.
    """

    def __init__(
        self,
        open_session: SessionOpener,
        size: int,
        *,
        max_idle: float = 45.0,
        max_age: float = 540.0,
        max_messages: int = 100,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_session
        self._size = size
        self._idle_limit, self._age_limit, self._count_limit = max_idle, max_age, max_messages
        self._now = monotonic
        self._idle: list[_Idle] = []  # last in, first out
        self._lent: set[Session] = set()
        self._opening = 0
        self._openings: set[asyncio.Timeout] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._age_ends_at: dict[Session, float] = {}  # when each session reaches `max_age`
        self._waiters: deque[asyncio.Future[Session | _Decision]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()

    async def deliver(self, envelope: Envelope, content: bytes, before_dot: BeforeDot) -> Attempt:
        """Send one message; waits for a session if all are in use. Raises SessionError.

        If the connection of a reused session turns out to be lost at MAIL, one new session is opened: no message has
        been sent.
        """
        lent = await self._lend()
        if isinstance(lent, Session) and lent.reused:
            attempt = await self._send_on_reused(lent, envelope, content, before_dot)
            if attempt is not None:
                return attempt
            lent = await self._open_one()
        if isinstance(lent, Refusal):
            return _attempt(lent)
        try:
            return await lent.send(envelope, content, before_dot)
        finally:
            self._return_session(lent)

    async def ensure_open(self) -> Attempt | None:
        """Open a session if none is idle and a slot is free. Return a refused attempt, or None. Raises SessionError."""
        self._close_expired()
        if self._idle or self._used >= self._size:
            return None
        self._opening += 1
        opened = await self._open_one()
        if isinstance(opened, Refusal):
            return _attempt(opened)
        self._return_session(opened)
        return None

    @property
    def logged_in(self) -> bool:
        """True if a session is open."""
        self._close_expired()
        return bool(self._idle or self._lent)

    @property
    def lent(self) -> int:
        """Number of sessions in use."""
        return len(self._lent)

    @contextmanager
    def reserve_slot(self) -> Iterator[bool]:
        """Reserve a slot for a session that the caller opens outside the pool. Yields False if no slot is free."""
        self._close_expired()
        free = not self._closed and self._used < self._size
        self._opening += free
        try:
            yield free
        finally:
            self._opening -= free
            self._assign()

    def forget_failure(self) -> None:
        """Discard the last login failure, so that the next login is a real one."""
        self._open.forget_failure()

    def resize(self, size: int) -> None:
        """Set the maximum number of sessions. Excess idle sessions are closed now, lent ones when they are returned."""
        self._size = size
        while self._idle and self._used - len(self._closing) > size:
            self._close_session(self._idle.pop(0).session)
        self._assign()

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of sessions: (idle, lent, opening)."""
        return len(self._idle), len(self._lent), self._opening

    async def close(self, timeout: float) -> None:
        """Stop lending, close idle sessions with QUIT, wait `timeout` seconds for lent ones, then abort them."""
        self.stop_opening()
        self._close_all_idle()
        self._assign()
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            await self._abort_all()

    def stop_opening(self) -> None:
        """Stop lending and cancel every handshake in progress."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_stopped())
        self._waiters.clear()
        for opening in self._openings:
            if not opening.expired():
                opening.reschedule(asyncio.get_running_loop().time())

    # Decisions. Nothing here awaits.

    @property
    def _used(self) -> int:
        return len(self._idle) + len(self._lent) + self._opening + len(self._closing)

    def _decide(self) -> Session | _Decision:
        """Lend an idle session, reserve a free slot (OPEN), or WAIT."""
        while self._idle:
            session, until = self._idle.pop()
            if session.reusable and self._now() < until:
                self._lent.add(session)
                return session
            self._close_session(session)
        if self._used < self._size:
            self._opening += 1
            return _Decision.OPEN
        return _Decision.WAIT

    def _assign(self) -> None:
        """Assign free sessions and slots to the waiting tasks, first come, first served."""
        while self._waiters:
            if self._waiters[0].done():  # its task was cancelled
                self._waiters.popleft()
                continue
            decision = self._decide()
            if decision is _Decision.WAIT:
                return
            self._waiters.popleft().set_result(decision)
        if self._closed and not self._used:
            self._empty.set()

    def _return_session(self, session: Session) -> None:
        self._lent.discard(session)
        until = min(self._now() + self._idle_limit, self._age_ends_at[session])
        keep = session.reusable and session.transaction_count < self._count_limit and self._now() < until
        if keep and not self._closed and self._used < self._size:
            self._idle.append(_Idle(session, until))
            self._start_timer()
        else:
            self._close_session(session)
        self._assign()

    def _close_session(self, session: Session) -> None:
        """Close a session. Its slot stays in use until the server has replied to QUIT."""
        del self._age_ends_at[session]
        if not session.open:
            session.abort()
            return
        task = asyncio.create_task(session.quit())
        self._closing.add(task)
        task.add_done_callback(self._on_closed)

    def _on_closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        self._assign()

    def _close_all_idle(self) -> None:
        while self._idle:
            self._close_session(self._idle.pop().session)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        """Start the timer that fires when the first idle session expires."""
        if self._timer is None and self._idle:
            delay = min(until for _, until in self._idle) - self._now()
            self._timer = asyncio.get_running_loop().call_later(max(delay, 0.0), self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._close_expired()
        self._start_timer()
        self._assign()

    def _close_expired(self) -> None:
        now = self._now()
        expired = [idle for idle in self._idle if not idle.session.reusable or idle.until <= now]
        self._idle = [idle for idle in self._idle if idle not in expired]
        for session, _ in expired:
            self._close_session(session)

    # I/O, after the decision is recorded.

    async def _lend(self) -> Session | Refusal:
        if self._closed:
            raise _stopped()
        decision = _Decision.WAIT if self._waiters else self._decide()
        if decision is _Decision.WAIT:
            decision = await self._wait()
        return decision if isinstance(decision, Session) else await self._open_one()

    async def _wait(self) -> Session | _Decision:
        waiter: asyncio.Future[Session | _Decision] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._undo(waiter.result())
            raise

    def _undo(self, decision: Session | _Decision) -> None:
        """Undo the decision for a task that was cancelled."""
        if isinstance(decision, Session):
            self._return_session(decision)
        else:
            self._opening -= 1
            self._assign()

    async def _open_one(self) -> Session | Refusal:
        """Open a session in a reserved slot. On failure the slot becomes free."""
        opened: Session | Refusal | None = None
        try:
            opened = await self._open_or_stop()
        finally:
            self._opening -= 1
            if isinstance(opened, Session):
                self._lent.add(opened)
                self._age_ends_at[opened] = self._now() + self._age_limit
            else:
                self._assign()
        if self._closed and isinstance(opened, Session):
            self._return_session(opened)
            raise _stopped()
        return opened

    async def _open_or_stop(self) -> Session | Refusal:
        """Open a session; `stop_opening` cancels it. Raises SessionError."""
        if self._closed:
            raise _stopped()
        try:
            async with asyncio.timeout(None) as opening:
                self._openings.add(opening)
                return await self._open()
        except TimeoutError:
            if opening.expired():
                raise _stopped() from None
            raise
        finally:
            self._openings.discard(opening)

    async def _send_on_reused(
        self, session: Session, envelope: Envelope, content: bytes, before_dot: BeforeDot
    ) -> Attempt | None:
        """Return the attempt, or None if the connection was lost; then its slot is reserved for a new session."""
        lost = False
        try:
            attempt = await session.send(envelope, content, before_dot)
            lost = self._may_replace(attempt.phase) and attempt.reply is not None and attempt.reply.code == _CLOSING
            return None if lost else attempt
        except SessionError as failed:
            lost = self._may_replace(failed.failure.phase) and failed.failure.kind in _CONNECTION_LOST
            if not lost:
                raise
            return None
        finally:
            if lost:
                self._replace(session)
            else:
                self._return_session(session)

    def _may_replace(self, phase: Phase) -> bool:
        return phase is Phase.MAIL and not self._closed

    def _replace(self, session: Session) -> None:
        self._lent.discard(session)
        self._opening += 1
        self._close_session(session)

    async def _abort_all(self) -> None:
        for session in self._lent:
            session.abort()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)


def _attempt(refused: Refusal) -> Attempt:
    return Attempt(refused.phase, refused.reply, None, {}, refused.dialogue)


def _stopped() -> SessionError:
    return SessionError(Failure(Phase.CONNECT, FailureKind.STOPPED, "Postern is stopping."))
