"""SIGKILL while events are pending, in flight, or sent and not settled; the receiver is restarted meanwhile."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.callers import Callers
from tests.crash.conftest import Figure, Scale
from tests.crash.kill_loop import ends, last_postern, simulated_upstream
from tests.crash.process_control import caller_for, environment_for, free_port
from tests.waiting import WAIT_TIMEOUT, until
from tests.webhooks.listen import verify
from tests.webhooks.receiver import Json, Receiver


@pytest.mark.timeout(900)
async def test_every_event_arrives_at_least_once(
    process_control: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """For each email that the upstream received."""
    port, data, chance = free_port(), tmp_path / "data", random.Random(3)
    kills = max(5, scale.kills // 20)
    async with simulated_upstream() as simulator, Receiver() as receiver:
        environment = environment_for(simulator, data, port, POSTERN_WEBHOOK_PRIVATE_ADDRESSES="true")
        control = await process_control()
        child = await control.start(environment)
        webhook = await made(port, receiver.url)
        async with Callers(port, chance) as callers:
            for kill in range(kills):
                seen = len(receiver.got)
                await receiver.until(lambda seen=seen: len(receiver.got) > seen + 5)  # type: ignore[misc] # a default
                if kill % 2:
                    await receiver.kill()
                more = len(callers.accepted) + chance.randrange(30)
                await until(lambda more=more: len(callers.accepted) >= more)  # type: ignore[misc] # a default
                await child.kill()
                child = await control.start(environment)
                if kill % 2:
                    await receiver.start()
            await callers.stop()
        await child.kill()
        before = len(receiver.got)
        async with last_postern(simulator, data, webhook_private_addresses=True) as harness:
            emails = await ends(harness, callers.accepted)
            sent = {email["id"] for email in emails if email["last_event"] == "sent"}
            await receiver.until(lambda: sent <= receiver.types.keys(), WAIT_TIMEOUT)
    assert control.logged("crashed") == 0, control.tail()
    bodies = {got.id: got.body for got in receiver.got}
    assert all(bodies[got.id] == got.body for got in receiver.got), "the same bytes at every attempt"
    for got in receiver.got[:before][-500:]:  # the clock of the last process is ahead of any verifier's
        verify(got, webhook["signing_secret"])
    assert len({(got.email, got.event["type"]) for got in receiver.got}) == len(bodies), "one id for each event"
    again = sum(count - 1 for count in Counter(got.id for got in receiver.taken).values())
    figure("kills of Postern / of the receiver", f"{kills} / {kills // 2}")
    figure("emails accepted / sent / events lost", f"{len(emails)} / {len(sent)} / 0")
    figure("events sent / sent again", f"{len(bodies)} / {again}")


async def made(port: int, url: str) -> Json:
    """Create a webhook once the store is open."""
    async with caller_for(port) as http:

        async def accepted() -> Json | None:
            with suppress(httpx.ConnectError):
                answer = await http.post("/webhooks", json={"endpoint": url, "events": ["email.sent"]})
                assert answer.status_code in (200, 503), answer.text
                return dict(answer.json()) if answer.status_code == 200 else None
            return None

        return await until(accepted)
