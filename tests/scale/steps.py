"""Real time, with processes: more and more mailboxes until throughput falls below the limits, and the bottleneck.

Server, replicas and callers share this machine, so where it breaks is this machine's; the shares of its processors and
what the server's connections wait for say why.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.processes import Process
from tests.bench.progress import say
from tests.postgres import Server
from tests.scale.probe import Probe, difference
from tests.scale.shape import Shape
from tests.scale.traffic import history, remember

RUNGS = (100, 200, 400, 800, 1600)  # mailboxes
OF_A_REPLICA = 50
PROCESSES = 5
POOLS = 20
ENOUGH = 0.95  # of the limit; below it is broken
SETTLE, MEASURED = 30.0, 15.0  # seconds: who begins late catches up at first
BACKLOG = 10.0  # seconds' worth of mail that waits from the beginning
POLL_INTERVAL = 0.1  # seconds between two reads of what the connections wait for
_PATIENCE = 300.0


@dataclass(frozen=True)
class Step:
    """Result for one number of mailboxes in real time."""

    mailboxes: int
    replicas: int
    a_second: float  # messages that they may relay
    share: float  # of that
    transactions: float  # a second
    server: float  # processors' worth of time
    crowd: float  # the same of all replicas
    others: float  # and of all other processes of the machine
    processors: int
    waits: dict[str, float]  # for what a connection that has work waits, and how many do at a moment


def increase(server: Server, rungs: Sequence[int] = RUNGS) -> list[Step]:
    """Run all steps up to the first that fails."""
    climbed: list[Step] = []
    for mailboxes in rungs:
        climbed.append(_try(server.create_database(), Shape(mailboxes, mailboxes // OF_A_REPLICA, POOLS)))
        say(f"{mailboxes} mailboxes in true time: {climbed[-1].share:.1%} of the limit")
        if climbed[-1].share < ENOUGH:
            break
    return climbed


def _try(url: str, shape: Shape) -> Step:
    with ExitStack() as stack:
        crowd = [stack.enter_context(one) for one in _crowd(min(PROCESSES, shape.replicas))]
        _all(crowd, [_order(url, shape, number, len(crowd)) for number in range(len(crowd))])
        remember(url, history(shape, time.time()))
        _all(crowd, [None] * len(crowd))
        begin = time.time() + SETTLE
        for one in crowd:
            one.say({"begin": begin, "end": begin + MEASURED})
        with Probe(url) as gauge:
            return _measure(gauge, crowd, shape, begin)


def _measure(gauge: Probe, crowd: Sequence[Process], shape: Shape, begin: float) -> Step:
    time.sleep(max(0.0, begin - time.time()))
    before, cpu, busy, since = gauge.read(), _cpu(crowd), _busy(), time.monotonic()
    waits: Counter[str] = Counter()
    looks = 0
    while time.time() < begin + MEASURED:
        waits.update(gauge.waits())
        looks += 1
        time.sleep(POLL_INTERVAL)
    seconds = time.monotonic() - since
    reading = difference(gauge.read(), before)
    mine, server = (_cpu(crowd) - cpu) / seconds, reading["cpu"] / seconds
    reported = [one.hear(_PATIENCE) for one in crowd]
    return Step(
        mailboxes=shape.mailboxes,
        replicas=shape.replicas,
        a_second=shape.a_second,
        share=sum(one["taken"] for one in reported) / (shape.a_second * MEASURED),
        transactions=reading["transactions"] / seconds,
        server=server,
        crowd=mine,
        others=max(0.0, (_busy() - busy) / seconds - mine - server),
        processors=os.cpu_count() or 1,
        waits={wait: count / looks for wait, count in waits.most_common(6)},
    )


def _crowd(count: int) -> Iterator[Process]:
    for number in range(count):
        yield Process(f"replicas {number}", [sys.executable, "-m", "tests.scale.crowd"], {})


def _order(url: str, shape: Shape, number: int, of: int) -> dict[str, object]:
    backlog = int(shape.a_second * BACKLOG / of)
    return {"url": url, "shape": asdict(shape), "first": number, "step": of, "backlog": backlog}


def _all(crowd: Sequence[Process], orders: Sequence[object]) -> None:
    for one, order in zip(crowd, orders, strict=True):
        one.say(order)
    for one in crowd:
        one.hear(_PATIENCE)


def _cpu(crowd: Sequence[Process]) -> float:
    return sum(one.cpu() for one in crowd)


def _busy() -> float:
    """Return the seconds that all processors together have worked."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text("ascii").split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
