"""Sessions kept for reuse, never more than `size` at once, those still opening or closing included.

Rule 1: who owns a session is recorded at the moment of the decision, never read off the connection.
Rule 2: decide first, do the I/O after: `_decide` and `_released` never await.
Rule 3: a session comes back fit or it is retired. Any exception, any refusal makes it unfit.
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

_GONE = frozenset({FailureKind.CLOSED, FailureKind.TIMEOUT})
_CLOSING = 421


class _Decision(Enum):
    OPEN = auto()  # a slot is recorded as opening
    WAIT = auto()


class _Idle(NamedTuple):
    session: Session
    until: float


class SessionOpener(Protocol):
    """Opens the sessions of one mailbox (LoginGate in app/smtp/login_gate.py)."""

    async def __call__(self) -> Session | Refusal:
        """A session, or why there is none. Raises SessionFailed."""
        ...

    def forget_failure(self) -> None:
        """Answer with no failure that began before now."""
        ...


class SessionPool:
    """Lends sessions of one mailbox. `open` makes one; `idle`, `age` (seconds) and `count` (messages) end one."""

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
        self._idle: list[_Idle] = []  # the last one in is the first one out
        self._lent: set[Session] = set()
        self._opening = 0
        self._openings: set[asyncio.Timeout] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._too_old: dict[Session, float] = {}  # when each session's age is over
        self._waiters: deque[asyncio.Future[Session | _Decision]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()

    async def deliver(self, envelope: Envelope, content: bytes, before_dot: BeforeDot) -> Attempt:
        """Offer one message over a lent session; waits for one. Raises SessionFailed.

        A kept session that turns out to be gone at MAIL is replaced by a new one, once: nothing was offered yet.
        """
        lent = await self._lend()
        if isinstance(lent, Session) and lent.reused:
            attempt = await self._send_on_kept(lent, envelope, content, before_dot)
            if attempt is not None:
                return attempt
            lent = await self._open_one()
        if isinstance(lent, Refusal):
            return _attempt(lent)
        try:
            return await lent.send(envelope, content, before_dot)
        finally:
            self._give_back(lent)

    async def ensure_open(self) -> Attempt | None:
        """See that a session stands open, if there is room for one. None when fine. Raises SessionFailed."""
        self._sweep()
        if self._idle or self._used >= self._size:
            return None
        self._opening += 1
        opened = await self._open_one()
        if isinstance(opened, Refusal):
            return _attempt(opened)
        self._give_back(opened)
        return None

    @property
    def logged_in(self) -> bool:
        """Whether a session stands open."""
        self._sweep()
        return bool(self._idle or self._lent)

    @contextmanager
    def reserve_slot(self) -> Iterator[bool]:
        """Keep a slot free for a session that somebody else opens meanwhile. False: there was none, do not open it."""
        self._sweep()
        free = not self._closed and self._used < self._size
        self._opening += free
        try:
            yield free
        finally:
            self._opening -= free
            self._released()

    def forget_failure(self) -> None:
        """A person has mended something: the next login is a real one, however lately one has failed."""
        self._open.forget_failure()

    def resize(self, size: int) -> None:
        """Allow `size` sessions from now on. Idle ones beyond that end now, lent ones when they come back."""
        self._size = size
        while self._idle and self._used - len(self._closing) > size:
            self._retire(self._idle.pop(0).session)
        self._released()

    def counts(self) -> tuple[int, int, int]:
        """(idle, lent, opening)."""
        return len(self._idle), len(self._lent), self._opening

    async def close(self, timeout: float) -> None:
        """QUIT what is idle, wait `timeout` seconds for what is lent, then abort it. Nothing is lent any more."""
        self.stop_opening()
        self._retire_all_idle()
        self._released()
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            await self._abort_all()

    def stop_opening(self) -> None:
        """Lend nothing any more, and end every opening under way: no message was sent on it, and none will be."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_stopped())
        self._waiters.clear()
        for opening in self._openings:
            opening.reschedule(asyncio.get_running_loop().time())

    # Decisions: nothing here awaits.

    @property
    def _used(self) -> int:
        return len(self._idle) + len(self._lent) + self._opening + len(self._closing)

    def _decide(self) -> Session | _Decision:
        """An idle session, now lent; or a free slot, now opening; or wait."""
        while self._idle:
            session, until = self._idle.pop()
            if session.reusable and self._now() < until:
                self._lent.add(session)
                return session
            self._retire(session)
        if self._used < self._size:
            self._opening += 1
            return _Decision.OPEN
        return _Decision.WAIT

    def _released(self) -> None:
        """A session or a slot may be free: decide for those who wait, first come first served."""
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

    def _give_back(self, session: Session) -> None:
        self._lent.discard(session)
        until = min(self._now() + self._idle_limit, self._too_old[session])
        fit = session.reusable and session.transaction_count < self._count_limit and self._now() < until
        if fit and not self._closed and self._used < self._size:
            self._idle.append(_Idle(session, until))
            self._arm()
        else:
            self._retire(session)
        self._released()

    def _retire(self, session: Session) -> None:
        """Its slot stays taken until the server has answered the QUIT."""
        del self._too_old[session]
        if not session.open:
            session.abort()
            return
        task = asyncio.create_task(session.quit())
        self._closing.add(task)
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        self._released()

    def _retire_all_idle(self) -> None:
        while self._idle:
            self._retire(self._idle.pop().session)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        """One timer for all: it fires when the first of them is over, and looks anew."""
        if self._timer is None and self._idle:
            delay = min(until for _, until in self._idle) - self._now()
            self._timer = asyncio.get_running_loop().call_later(max(delay, 0.0), self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._sweep()
        self._arm()
        self._released()

    def _sweep(self) -> None:
        now = self._now()
        over = [idle for idle in self._idle if not idle.session.reusable or idle.until <= now]
        self._idle = [idle for idle in self._idle if idle not in over]
        for session, _ in over:
            self._retire(session)

    # I/O, each step upon a decision already recorded.

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
                self._return(waiter.result())
            raise

    def _return(self, decision: Session | _Decision) -> None:
        """It was decided for a task that is cancelled and will not use it."""
        if isinstance(decision, Session):
            self._give_back(decision)
        else:
            self._opening -= 1
            self._released()

    async def _open_one(self) -> Session | Refusal:
        """Use a slot recorded as opening: the session is lent, or the slot is free again."""
        opened: Session | Refusal | None = None
        try:
            opened = await self._until_opened()
        finally:
            self._opening -= 1
            if isinstance(opened, Session):
                self._lent.add(opened)
                self._too_old[opened] = self._now() + self._age_limit
            else:
                self._released()
        if self._closed and isinstance(opened, Session):
            self._give_back(opened)
            raise _stopped()
        return opened

    async def _until_opened(self) -> Session | Refusal:
        """Open, until `stop_opening` ends it. Raises SessionFailed."""
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

    async def _send_on_kept(
        self, session: Session, envelope: Envelope, content: bytes, before_dot: BeforeDot
    ) -> Attempt | None:
        """The attempt; or None when the session was gone, and its slot is recorded as opening."""
        gone = False
        try:
            attempt = await session.send(envelope, content, before_dot)
            gone = self._may_replace(attempt.phase) and attempt.reply is not None and attempt.reply.code == _CLOSING
            return None if gone else attempt
        except SessionError as failed:
            gone = self._may_replace(failed.failure.phase) and failed.failure.kind in _GONE
            if not gone:
                raise
            return None
        finally:
            if gone:
                self._replace(session)
            else:
                self._give_back(session)

    def _may_replace(self, phase: Phase) -> bool:
        return phase is Phase.MAIL and not self._closed

    def _replace(self, session: Session) -> None:
        self._lent.discard(session)
        self._opening += 1
        self._retire(session)

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
