"""Replacement of Exchange where a relay borrows a session: takes the time of a message, and counts.

There is no SMTP in it. What a session costs is measured by `make bench`, message by message; here the question is what
many mailboxes do to one database.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from app.clock import Clock
from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.smtp.handshake import Session
from app.smtp.pool import SessionPool
from app.smtp.session import BeforeDot
from tests.scale.shape import MINUTE

LOGIN = 1.0  # seconds for TCP, TLS and AUTH
UPLOAD = (0.1, 0.4)  # seconds until the final dot
ANSWER = (0.2, 1.2)  # seconds from there to the answer
LATENCY = sum(UPLOAD + ANSWER) / 2  # seconds, in the mean
CONNECTIONS = 3
_TAKEN = Reply.of(250, ["2.0.0 OK"])


class Exchange:
    """One process's part: the times at which each mailbox's messages were answered (epoch seconds)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.chance = random.Random(6)
        self.taken: dict[str, list[float]] = defaultdict(list)

    def sessions(self, mailbox: str) -> SessionPool:
        """Return the relay's source of sessions."""
        return SessionPool(_SessionOpener(self, mailbox), CONNECTIONS, monotonic=self.clock.monotonic)

    def between(self, begin: float, end: float) -> int:
        """Return the number of messages in this time."""
        return sum(begin < at <= end for moments in self.taken.values() for at in moments)

    def busiest(self) -> int:
        """Return the maximum number of one mailbox's messages in any minute."""
        return max(map(busiest_minute, self.taken.values()), default=0)


class _SessionOpener:
    def __init__(self, exchange: Exchange, mailbox: str) -> None:
        self._exchange = exchange
        self._mailbox = mailbox

    async def __call__(self) -> Session:
        await self._exchange.clock.sleep(LOGIN)
        return _CountedSession(self._exchange, self._mailbox)

    def forget_failure(self) -> None:
        """Do nothing: no login fails here."""


class _CountedSession(Session):
    """Session of the pool without a connection."""

    def __init__(self, exchange: Exchange, mailbox: str) -> None:
        self.transaction_count = 0
        self._here = True
        self._exchange = exchange
        self._mailbox = mailbox

    @property
    def reusable(self) -> bool:
        return self._here

    @property
    def open(self) -> bool:
        return self._here

    async def send(self, envelope: Envelope, content: bytes, before_dot: BeforeDot) -> Attempt:
        clock, chance = self._exchange.clock, self._exchange.chance
        self.transaction_count += 1
        await clock.sleep(chance.uniform(*UPLOAD))
        if not await before_dot():
            raise AssertionError(f"{envelope.rcpt_to} was another replica's before its final dot, and nobody had died")
        await clock.sleep(chance.uniform(*ANSWER))
        self._exchange.taken[self._mailbox].append(clock.now())
        return Attempt(Phase.DOT, _TAKEN)

    async def quit(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._here = False


def busiest_minute(moments: Iterable[float]) -> int:
    """Return the maximum number of these times in any minute."""
    ordered: Sequence[float] = sorted(moments)
    first, most = 0, 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most
