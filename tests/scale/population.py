"""Program that runs some of the replicas in real time. One line of JSON in and out for each step."""

import asyncio
import json
import sys
from typing import Any

from app import logs
from app.clock import Clock
from app.relay.coordinator import HeartbeatConfig
from tests.scale.exchange import Exchange
from tests.scale.replicas import opened
from tests.scale.shape import Shape
from tests.scale.traffic import Callers


async def main() -> None:
    """Open and seed; start; relay until the end and report the count; stop."""
    order = await _hear()
    shape = Shape(**order["shape"])
    exchange = Exchange(Clock())
    numbers = range(order["first"], shape.replicas, order["step"])
    names = [f"replica-{number}" for number in numbers]
    async with opened(order["url"], names, shape, exchange, HeartbeatConfig()) as replicas:
        stores = [replica.store for replica in replicas]
        callers = Callers(stores, shape, exchange.clock, order["first"], order["step"])
        await callers.seed(order["backlog"])
        _say(True)
        await _hear()
        await asyncio.gather(*(replica.start() for replica in replicas))
        _say(True)
        times = await _hear()
        await callers.submit(shape.a_second / order["step"], times["end"])
        _say({"taken": exchange.between(times["begin"], times["end"]), "owned": [one.owned for one in replicas]})
        await _hear()


async def _hear() -> Any:
    return json.loads(await asyncio.to_thread(sys.stdin.readline) or "null")


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    logs.configure(human=True, level="critical")
    asyncio.run(main())
