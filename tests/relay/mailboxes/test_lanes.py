"""Several mailboxes at their real limits: urgent mail starts at once, and the limits are fully used."""

import asyncio
import os
import random
from pathlib import Path
from statistics import median

import pytest

from app.simulator import Simulator
from app.simulator.recorder import ReceivedMessage
from tests.clock import LoopClock, autojump
from tests.harness import open_harness
from tests.relay.mailboxes.pooled import MAILBOXES, accounts, pooled, post

WHOLE = bool(os.environ.get("WHOLE"))  # as `make limits` has it: some two minutes
BULK, URGENT, RESTARTS = (10_000, 100, 3) if WHOLE else (800, 20, 1)
MINUTE, A_MINUTE = 60.0, 30
ONE = MINUTE / A_MINUTE  # seconds between two messages of a mailbox: one message's time
OWN = 1.0  # seconds


@pytest.mark.timeout(600)
@autojump
async def test_urgent_mail_overtakes_ten_thousand_messages(tmp_path: Path) -> None:
    """It starts within the time of one message; the others use 98 % of the limits, which no window exceeds."""
    clock = LoopClock()
    chance = random.Random(4)
    async with Simulator(accounts=accounts(), clock=clock) as simulator:
        settings = pooled(simulator, tmp_path)
        span = (BULK + URGENT) / (len(MAILBOXES) * A_MINUTE) * MINUTE
        moments = sorted(chance.uniform(0.02 * span, 0.9 * span) for _ in range(URGENT))
        restarts = [span * (number + 1) / (RESTARTS + 1) for number in range(RESTARTS)]
        asked: dict[str, float] = {}
        began = clock.now()
        async with open_harness(simulator, settings, clock) as harness:
            gate = asyncio.Semaphore(16)
            await asyncio.gather(*(post(harness.caller, gate, lane="bulk") for _ in range(BULK)))
        while restarts or moments:
            until = began + restarts.pop(0) if restarts else None
            async with open_harness(simulator, settings, clock) as harness:
                while moments and (until is None or began + moments[0] < until):
                    await clock.advance(began + moments.pop(0) - clock.now())
                    subject = f"urgent {len(asked)}"
                    asked[subject] = clock.now()
                    await post(harness.caller, gate, lane="urgent", subject=subject)
                if until is not None:
                    await clock.advance(until - clock.now())
                else:
                    await simulator.wait_for(BULK + URGENT, 1e6)
        check(simulator, asked)


def check(simulator: Simulator, asked: dict[str, float]) -> None:
    """Check the limits against the simulator's counts."""
    assert len(simulator.accepted) == BULK + URGENT
    assert simulator.violations == []
    assert [seen.reply for seen in simulator.messages if seen.reply.startswith("432")] == []
    waits = [seen.at - asked[subject] for seen in simulator.accepted if (subject := subject_of(seen)) in asked]
    print(f"urgent: {len(waits)}, waited {median(waits):.2f} s in the median, {max(waits):.2f} s at most")
    assert len(waits) == URGENT
    assert max(waits) <= ONE + OWN
    share = share_of_limits([seen.at for seen in simulator.accepted])
    print(f"share of {len(MAILBOXES)} x {A_MINUTE} a minute: {share:.2%}")
    assert share >= 0.98


def subject_of(seen: ReceivedMessage) -> str:
    """Return the subject as received."""
    line = next(line for line in seen.content.split(b"\r\n") if line.lower().startswith(b"subject:"))
    return line.partition(b":")[2].strip().decode()


def share_of_limits(sent: list[float]) -> float:
    """Return the used share of the limits while all mailboxes had work, without the first and the last minute."""
    begin, end = min(sent) + MINUTE, max(sent) - MINUTE
    allowed = len(MAILBOXES) * A_MINUTE * (end - begin) / MINUTE
    return sum(begin < at <= end for at in sent) / allowed
