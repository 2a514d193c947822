"""Mail of the past, the backlog, and the mail that callers submit."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import count

import psycopg

from app.clock import Clock
from app.mail.message.message import Envelope, Message, MessageSummary, OnUnknown
from app.store import Store
from app.store.db.uuid7 import IdGenerator
from app.store.queue.accept import Acceptance
from tests.scale.exchange import LATENCY
from tests.scale.shape import A_MINUTE, MINUTE, Shape

DAY = 86_400.0
SIZE = 2048  # bytes
AT_ONCE = 200
_LINE = b"Seventy octets of text, so that a line is about as long as mail has it.\r\n"
_CONTENT = (b"Subject: Your receipt\r\n\r\n" + _LINE * (SIZE // len(_LINE) + 1))[: SIZE - 2] + b"\r\n"

_BEFORE = """
    WITH before AS (
        SELECT gen_random_uuid() AS id, mailbox, at
        FROM unnest(%(mailboxes)s::text[], %(moments)s::float8[]) AS before (mailbox, at)
    ), message AS (
        INSERT INTO messages (id, key_id, pool, lane, state, created_at, due_since, expires_at, ended_at, mailbox,
            attempts, unknown, possible_duplicate, on_unknown, message_id, mail_from, smtputf8, size, head)
        SELECT id, id, 'before', 1, 'done', at, at, at, at, mailbox, 1, 0, false, 'hold', id, mailbox, false, 1, '{}'
        FROM before
    )
    INSERT INTO attempts (message_id, number, mailbox, lease, recipients, started_at, ended_at, phase, in_doubt,
        replies, verdicts, dialogue)
    SELECT id, 1, mailbox, id, 1, at, at, 'dot', false, '[]', '{}', '[]' FROM before
"""


def history(shape: Shape, now: float) -> dict[str, list[float]]:
    """Return the end times of each mailbox's messages in the last minute: as many as the limit, evenly spaced."""
    step = (MINUTE + LATENCY) / A_MINUTE
    begin = {shape.mailbox(number): now - step * (number * 7919 % 1000) / 1000 for number in range(shape.mailboxes)}
    return {mailbox: [at - step * nth for nth in range(A_MINUTE)] for mailbox, at in begin.items()}


def remember(url: str, before: Mapping[str, Sequence[float]]) -> None:
    """Store them, so that every mailbox begins as if it had always run."""
    rows = [(mailbox, at) for mailbox, moments in before.items() for at in moments]
    with psycopg.connect(url) as connection:
        connection.execute(_BEFORE, {"mailboxes": [row[0] for row in rows], "moments": [row[1] for row in rows]})


class Callers:
    """Callers that submit through any of the stores. `first` and `step` separate the numbers of several processes."""

    def __init__(self, stores: Sequence[Store], shape: Shape, clock: Clock, first: int = 0, step: int = 1) -> None:
        self._stores = stores
        self._shape = shape
        self._clock = clock
        self._ids = IdGenerator()
        self._numbers = count(first, step)
        self._chance = random.Random(first)
        self.accepted = 0

    async def seed(self, messages: int) -> None:
        """Submit a backlog at once."""
        parts = [min(AT_ONCE, messages - done) for done in range(0, messages, AT_ONCE)]
        lines = [parts[n :: len(self._stores)] for n in range(len(self._stores))]
        await asyncio.gather(*(self._fill(*one) for one in zip(self._stores, lines, strict=True)))

    async def submit(self, a_second: float, until: float) -> None:
        """Submit at this rate, each at a random time, until the given end."""
        calls: set[asyncio.Task[None]] = set()
        at = self._clock.now()
        while (at := at + self._chance.expovariate(a_second)) < until:
            await self._clock.sleep(at - self._clock.now())
            call = asyncio.create_task(self._call())
            calls.add(call)
            call.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
        await self._clock.sleep(until - self._clock.now())

    async def _fill(self, store: Store, parts: Sequence[int]) -> None:
        for part in parts:
            await store.accept([self._acceptance() for _ in range(part)])
            self.accepted += part

    async def _call(self) -> None:
        await self._chance.choice(self._stores).accept([self._acceptance()])
        self.accepted += 1

    def _acceptance(self) -> Acceptance:
        number, now = next(self._numbers), self._clock.now()
        id, to = self._ids.new(now), f"customer{number}@example.net"
        return Acceptance(
            id=id,
            key_id=self._shape.key(number),
            pool=self._shape.pool(number),
            message=Message(Envelope("shop@contoso.com", (to,)), f"{id}@contoso.com", _CONTENT),
            head=MessageSummary("Shop <shop@contoso.com>", (to,), "Your receipt"),
            created_at=now,
            due_at=now,
            expires_at=now + 5 * DAY,
            scheduled_at=None,
            on_unknown=OnUnknown.RETRY_ONCE,
        )
