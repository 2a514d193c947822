"""Faults of the upstream under load, at every point of the session, on a fast clock."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import mailbox_factory
from app.clock import Clock
from app.simulator import Drop, Endless, Fault, Garbage, Half, LongLine, Point, Reset, Say, Silence, Simulator
from app.simulator.faults.actions import FaultAction
from app.smtp.protocol import Timeouts
from tests.crash.conftest import Figure, Scale
from tests.crash.kill_loop import ends_of
from tests.crash.verification import Received, Verification, verify
from tests.harness import ACCOUNT, Harness, open_harness, settings_for

SPEED = 200.0  # a minute in 0.3 s: Exchange's own limits apply
PATIENT = 0.5  # real seconds for a reply; a busy machine must not be taken for a silent upstream
SHORT = dict.fromkeys(
    ("connect", "greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "stall", "dot"), PATIENT
)
MESSAGES = 60
SEED = 237  # the first eight rounds are then eight faults at eight points, before and after the dot
FAULTS: dict[str, FaultAction] = {
    "drop": Drop(),
    "reset": Reset(),
    "half a reply": Half(octets=2),
    "silence": Silence(),
    "garbage": Garbage(data=b"\x00\xff\x15\x03 this is no SMTP\r\n"),
    "a long line": LongLine(octets=8 * 1024 + 1),
    "endless lines": Endless(octets=1024 * 1024),
    "421": Say("421 4.3.2 Service not available", close=True),
}
OPENING = (Point.CONNECT, Point.GREETING, Point.EHLO, Point.STARTTLS, Point.TLS, Point.AUTH)
CHANCE = {Point.REPLY: 0.04}  # a message and its login take a dozen of them
LIES = [("421", Point.ACCEPTED), ("421", Point.REPLY)]  # it has taken the message, and replies that it has not
ROUNDS = [(name, point) for name in FAULTS for point in Point if (name, point) not in LIES]


@pytest.mark.timeout(1500)
async def test_upstream_faults_lose_nothing(tmp_path: Path, scale: Scale, figure: Figure, short_timeouts: None) -> None:
    """All mail is relayed, duplicates are flagged, and no limit is exceeded."""
    chosen = random.Random(SEED).sample(ROUNDS, min(scale.rounds, len(ROUNDS)))
    total, struck = Counter[str](), Counter[str]()
    for number, (name, point) in enumerate(chosen):
        async with upstream(tmp_path / str(number), seed=number) as (simulator, harness):
            if point in OPENING:  # so that it is called often
                simulator.faults.add(Fault(at=Point.MAIL, do=Drop(), every=4))
            fault = simulator.faults.add(Fault(at=point, do=FAULTS[name], probability=CHANCE.get(point, 0.2)))
            done = await relay_all(harness, f"{name} at {point}")
        struck[name] += fault.fired
        total.update(emails=done.emails, held=done.held_as_unknown, flagged=done.flagged, twice=done.twice)
    figure("rounds of 60 emails", len(chosen))
    figure("faults struck", f"{struck.total()} ({', '.join(f'{name} {fired}' for name, fired in struck.items())})")
    figure("emails / lost / over a limit", f"{total['emails']} / 0 / 0")
    figure("flagged / taken twice / held as unknown", f"{total['flagged']} / {total['twice']} / {total['held']}")


@pytest.mark.parametrize(("on_unknown", "most"), [("retry_once", 2), ("hold", 1), ("assume_sent", 1)])
async def test_a_reply_that_is_always_lost(on_unknown: str, most: int, tmp_path: Path, figure: Figure) -> None:
    """Attempted as often as `on_unknown` allows, flagged, with one Message-ID."""
    async with upstream(tmp_path, seed=1) as (simulator, harness):
        simulator.faults.add(Fault(at=Point.ACCEPTED, do=Drop()))
        total = await relay_all(harness, on_unknown, on_unknown=on_unknown)
        received = Received(simulator.messages)
        copies = {len(received.copies(address)) for address in received.addresses()}
    assert copies == {most}
    assert total.flagged == MESSAGES
    assert (total.relayed, total.held_as_unknown) == ((MESSAGES, 0) if on_unknown == "assume_sent" else (0, MESSAGES))
    figure("emails / copies of each / flagged", f"{MESSAGES} / {most} / {total.flagged}")


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postern with shorter timeouts than those of RFC 5321, which no setting allows."""
    monkeypatch.setattr(mailbox_factory, "Timeouts", partial(Timeouts, **SHORT))


@asynccontextmanager
async def upstream(folder: Path, seed: int) -> AsyncIterator[tuple[Simulator, Harness]]:
    """Postern on a fast clock with an upstream with Exchange's limits."""
    folder.mkdir(exist_ok=True)
    simulator = Simulator(accounts=[ACCOUNT], clock=Clock(SPEED), seed=seed)
    async with simulator, open_harness(simulator, settings_for(simulator, folder), Clock(SPEED)) as harness:
        yield simulator, harness


async def relay_all(harness: Harness, name: str, **changes: Any) -> Verification:
    """Post, wait for the end of each, and verify."""
    ids = await asyncio.gather(*(harness.post(to=f"n{number}@example.net", **changes) for number in range(MESSAGES)))
    emails = await ends_of(harness, ids)
    assert harness.simulator.violations == [], name
    assert len(emails) == MESSAGES
    return verify(emails, Received(harness.simulator.messages))
