"""Several mailboxes for one queue: any open one takes the next message, and a held one does not delay it."""

import asyncio
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from uuid import UUID

import pytest

from app.mail.mailbox_health import PROBE_DELAYS
from app.simulator import Account, Simulator
from tests.clock import LoopClock, autojump
from tests.harness import EMAIL, PASSWORD, open_harness
from tests.relay.mailboxes.pooled import MAILBOXES, accounts, pooled, post
from tests.relay.mailboxes.test_lanes import MINUTE, WHOLE

SHUT = MAILBOXES[0]

LATE = 90.0  # seconds that a probe may be late


def parse(moment: str) -> float:
    """Return epoch seconds."""
    return datetime.fromisoformat(moment).timestamp()


@autojump
async def test_the_others_of_a_pool_relay_for_a_held_mailbox(tmp_path: Path) -> None:
    """One login, then probes at 5 min, 1 h and 6 h; it opens once its login works."""
    clock = LoopClock(speed=60.0)  # else the relays would poll their queue every second for half a day
    off = Account(SHUT, password="another", send_as=("*@contoso.com",))
    async with (
        Simulator(accounts=[off, *accounts()[1:]], clock=clock) as simulator,
        open_harness(simulator, pooled(simulator, tmp_path), clock) as harness,
    ):
        gate = asyncio.Semaphore(16)
        ids = [await post(harness.caller, gate) for _ in range(200)]
        await simulator.wait_for(200, 3600)
        for id in ids:
            await harness.until(UUID(id), "done")
        assert {seen.mailbox for seen in simulator.accepted} == set(MAILBOXES) - {SHUT}
        shut = harness.postern.coordinator.mailboxes[SHUT]
        assert shut.condition.health == "held"
        answers = await asyncio.gather(*(harness.caller.get(f"/emails/{id}") for id in ids))
        assert {answer.json()["last_event"] for answer in answers} == {"sent"}
        await clock.advance(sum(PROBE_DELAYS[:3]) + 3 * LATE)
        moments = [login.at for login in simulator.logins if login.mailbox == SHUT]
        waits = [later - sooner for sooner, later in pairwise(moments)]
        assert len(waits) == 3
        assert all(probe <= wait <= probe + LATE for wait, probe in zip(waits, PROBE_DELAYS, strict=True))
        simulator.accounts.add(Account(SHUT, password=PASSWORD, send_as=("*@contoso.com",)))
        await clock.advance(PROBE_DELAYS[-1] + LATE)
        assert shut.condition.health == "open"
        for _ in range(120):
            await post(harness.caller, gate)
        await simulator.wait_for(320, 3600)
        assert SHUT in {seen.mailbox for seen in simulator.accepted[200:]}


@pytest.mark.timeout(600)
@autojump
async def test_estimates_have_a_small_error(tmp_path: Path) -> None:
    """Behind a long backlog, the median error of GET's estimate is under 10 % of the wait."""
    clock = LoopClock()
    backlog, asked = (5_000, 100) if WHOLE else (1_000, 50)
    async with (
        Simulator(accounts=accounts(), clock=clock) as simulator,
        open_harness(simulator, pooled(simulator, tmp_path), clock) as harness,
    ):
        gate = asyncio.Semaphore(16)
        said: dict[str, tuple[float, float]] = {}
        for number in range(backlog):
            id = await post(harness.caller, gate, subject=f"number {number}")
            if number % (backlog // asked) == 0:
                now = clock.now()
                relay = (await harness.caller.get(f"/emails/{id}")).json()["relay"]
                if relay["position"] is not None:
                    said[id] = now, parse(relay["estimated_send_at"])
        await simulator.wait_for(backlog, 1e6)
        errors = []
        for id, (at, estimate) in said.items():
            (attempt,) = (await harness.caller.get(f"/emails/{id}")).json()["relay"]["attempts"]
            wait = parse(attempt["ended_at"]) - at
            errors.append(abs(estimate - at - wait) / max(wait, MINUTE / 30))
    print(f"{len(errors)} estimates, median error {median(errors):.1%}")
    assert len(errors) > asked // 2
    assert median(errors) < 0.1


@autojump
async def test_a_sender_of_no_pool_is_refused(tmp_path: Path) -> None:
    """At the POST, never after DATA."""
    async with Simulator(accounts=accounts(), clock=LoopClock()) as simulator:
        async with open_harness(simulator, pooled(simulator, tmp_path), LoopClock()) as harness:
            answer = await harness.caller.post("/emails", json={**EMAIL, "from": "ceo@fabrikam.com"})
            assert (answer.status_code, answer.json()["reason"]) == (403, "sender_not_allowed")
        assert simulator.messages == []
