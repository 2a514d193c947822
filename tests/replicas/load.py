"""Callers that post batches to any replica until accepted, and verification of each email."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpx

from tests.crash.verification import Received
from tests.harness import EMAIL
from tests.replicas.cluster import Cluster
from tests.waiting import until

BATCH = 20
AGAIN = 0.05  # seconds until a refused connection is tried again
_UNDER_WAY = "SELECT count(*) FROM messages WHERE state IN ('queued', 'active', 'deferred')"
_ALL = """
    SELECT m.id, m.state, m.possible_duplicate, m.unknown, r.address, r.state
    FROM messages m JOIN recipients r ON r.message_id = m.id
"""


@dataclass(slots=True)
class Callers:
    """Four callers for so many emails; fewer, if `emails` is lowered meanwhile. `at`: only these replicas are used.

    They wait while more than `ahead` emails are accepted and not relayed. `accepted` has the recipient of each id that
    was read in a 200.
    """

    cluster: Cluster
    emails: int
    chance: random.Random
    accepted: dict[str, str] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    cut: int = 0  # requests that got no answer
    at: Sequence[int] = ()
    ahead: int = 300

    async def post(self) -> None:
        """Post all of them, each batch under its Idempotency-Key until accepted."""
        numbers = itertools.takewhile(lambda number: number < self.emails, itertools.count(0, BATCH))
        await asyncio.gather(*(self._call(numbers) for _ in range(4)))

    async def _call(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            while len(self.accepted) - len(self.cluster.simulator.messages) > self.ahead:
                await asyncio.sleep(AGAIN)
            to = [f"e{one}@example.net" for one in range(number, number + BATCH)]
            while not await self._once(to):
                await asyncio.sleep(AGAIN)

    async def _once(self, to: list[str]) -> bool:
        at = self.cluster.at(self.chance.choice(self.at or range(len(self.cluster.ports))))
        try:
            body = [{**EMAIL, "from": "noreply@contoso.com", "to": one} for one in to]
            answer = await self.cluster.http.post(f"{at}/emails/batch", json=body, headers={"Idempotency-Key": to[0]})
        except httpx.TransportError:
            self.cut += 1
            return False
        self.answers[answer.status_code] += 1
        if answer.status_code != 200:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            return False
        self.accepted.update(zip((one["id"] for one in answer.json()["data"]), to, strict=True))
        return True


@dataclass(slots=True)
class Account:
    """Totals of the accepted emails."""

    accepted: int = 0
    relayed: int = 0
    failed: int = 0
    held: int = 0
    flagged: int = 0
    twice: int = 0  # that the upstream has taken twice


async def all_ended(cluster: Cluster, within: float) -> None:
    """Wait until no email is unfinished. Raises TimeoutError."""

    async def ended() -> bool:
        return not (await cluster.ask(_UNDER_WAY))[0][0]

    await until(ended, within)


async def verify_all(cluster: Cluster, accepted: dict[str, str]) -> Account:
    """Verify each email. Raises AssertionError at the first violation of a guarantee."""
    received, stored = Received(cluster.simulator.messages), await cluster.ask(_ALL)
    found, account = {str(id): row for id, *row in stored}, Account()
    for id, to in accepted.items():
        assert id in found, f"a 200 was read for {id}, and it is not kept"
        state, flagged, doubts, address, outcome = found[id]
        copies = len(received.copies(address))
        assert address == to
        assert state == "done" or (state == "held" and doubts), (state, id)
        assert copies or flagged, f"{id} was lost: it is {state}, and nothing arrived"
        assert copies <= 1 + doubts, f"{id} arrived {copies} times, with {doubts} doubts"
        assert flagged == bool(doubts), id
        assert received.one_message(address), id
        account.accepted += 1
        account.relayed += outcome == "relayed"
        account.failed += outcome == "failed"
        account.held += state == "held"
        account.flagged += flagged
        account.twice += copies > 1
    assert account.accepted == account.relayed + account.failed + account.held
    return account
