"""Who takes part, and how each is measured once. A figure is a number by name; `Figures` are those of one round."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.bench import backlog, composing, services
from tests.bench.composing import Figures
from tests.bench.processes import Process, UnavailableError
from tests.bench.services import Service
from tests.bench.setup import Stage

POSTERN: Final = "Postern"
NODE: Final = "Node service"
TUTORIAL: Final = "FastAPI + BackgroundTasks"
PLAIN: Final = "FastAPI route alone"
POOL: Final = "app/smtp pool alone"
NODEMAILER: Final = "Nodemailer pool alone"
COMPOSE: Final = "app/mail/compose"
STANDARD: Final = "EmailMessage"
DEEP: Final = "store behind 1,000,000"
SHALLOW: Final = "store behind 1,000"
DEEP_POSTGRES: Final = "PostgreSQL behind 1,000,000"
SHALLOW_POSTGRES: Final = "PostgreSQL behind 1,000"

_REST = 0.3  # seconds for what goes on after the last mail has gone: marks, timers
_LIMIT = 180.0

Measure = Callable[[], Figures]


def _serving(start: Callable[[Stage], Service], stage: Stage) -> Measure:
    service = start(stage)
    return partial(_serve, service, stage)


def _serve(service: Service, stage: Stage) -> Figures:
    """Post and wait until all is relayed. Rates in messages per second, CPU in milliseconds per message."""
    _post(service, stage, service.warm_up)
    before = _cpu(service)
    figures = _post(service, stage, service.count)
    return {**figures, "cpu": (_cpu(service) - before) / service.count * 1000}


def _post(service: Service, stage: Stage, count: int) -> Figures:
    if service.relays:
        stage.sink.expect(count)
    posted = stage.callers.post(service.port, service.headers, count)
    figures = {"accepted": count / (posted["ended"] - posted["began"]), "p50": posted["p50"] * 1000}
    if service.relays:
        seen = stage.sink.seen()
        if service.durable and seen["count"] != count:
            raise UnavailableError(f"of {count} mails it accepted, {seen['count']} arrived")
        seconds = seen["last"] - posted["began"]
        figures |= {
            "sustained": seen["count"] / seconds,
            "sink": seen["cpu"] / seconds,
            "lost": float(count - seen["count"]),
        }
    time.sleep(_REST)
    return figures


def _cpu(service: Service) -> float:
    return sum(process.cpu() for process in service.processes)


def _pool(stage: Stage) -> Measure:
    command = [stage.python, "-m", "tests.bench.pool"]
    process = stage.start("the pool", command, {**stage.upstream, **stage.content})
    return partial(_relay, process, stage, 6000)


def _nodemailer(stage: Stage) -> Measure:
    command = ["node", str(services.node_folder() / "relay.js")]
    process = stage.start("nodemailer", command, {**stage.upstream, **stage.content, "NODE_ENV": "production"})
    return partial(_relay, process, stage, 3000)


def _relay(process: Process, stage: Stage, count: int) -> Figures:
    for number in (count // 6, count):  # the first is the warm-up
        stage.sink.expect(number)
        before = process.cpu()
        process.say(number)
        seconds: float = process.hear(_LIMIT)
        seen = stage.sink.seen()
        if seen["count"] != number:
            raise UnavailableError(f"of {number} mails the sink saw {seen['count']}")
        cpu = (process.cpu() - before) / number * 1000
    return {"relayed": count / seconds, "cpu": cpu, "sink": seen["cpu"] / seconds}


CONTESTANTS: dict[str, Callable[[Stage], Measure]] = {
    POSTERN: partial(_serving, services.postern),
    NODE: partial(_serving, services.node),
    TUTORIAL: partial(_serving, services.tutorial),
    PLAIN: partial(_serving, services.plain),
    POOL: _pool,
    NODEMAILER: _nodemailer,
    COMPOSE: lambda _: composing.ours,
    STANDARD: lambda _: composing.standard,
    DEEP: lambda stage: backlog.behind(backlog.MANY, f"sqlite:///{stage.folder}/many.db"),
    SHALLOW: lambda stage: backlog.behind(backlog.FEW, f"sqlite:///{stage.folder}/few.db"),
    DEEP_POSTGRES: lambda stage: backlog.behind(backlog.MANY, stage.postgres.create_database()),
    SHALLOW_POSTGRES: lambda stage: backlog.behind(backlog.FEW, stage.postgres.create_database()),
}
