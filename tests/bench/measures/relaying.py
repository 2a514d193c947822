"""Programs that only relay a finished message, over three sessions: without delay, with a round trip of 40 ms, and
with large messages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench import services
from tests.bench.measures.composing import Figures
from tests.bench.postfix import Postfix
from tests.bench.processes import Process, UnavailableError
from tests.bench.setup import CLIENTS, CONNECTIONS, CONTENT_BYTES, Stage

ROUND_TRIP = 0.04  # seconds
LARGE_BYTES = 2 * 1024 * 1024 * 137 // 100  # 2 MiB as base64 with its line ends
_LIMIT = 180.0  # seconds


@dataclass(frozen=True, slots=True)
class Work:
    """One measurement: so many messages of so many bytes, with a round-trip time."""

    count: int
    size: int = CONTENT_BYTES
    delay: float = 0.0


FAST, SLOW, LARGE = Work(6_000), Work(150, delay=ROUND_TRIP), Work(60, LARGE_BYTES)


def program(start: Callable[[Stage], Process], work: Work, stage: Stage) -> Callable[[], Figures]:
    """Measure a program that takes orders (see tests.bench.programs)."""
    return partial(_relay, stage.shared(start), work, stage)


def _relay(process: Process, work: Work, stage: Stage) -> Figures:
    """Messages per second, milliseconds of CPU and round trips per message."""
    for count in (max(CONNECTIONS, work.count // 6), work.count):  # the first opens the sessions
        stage.sink.expect(count, delay=work.delay)
        before = process.cpu()
        process.say({"count": count, "content": stage.content(work.size)})
        seconds: float = process.hear(_LIMIT)
        seen = stage.sink.seen()
        if seen["count"] != count:
            raise UnavailableError(f"of {count} messages the sink received {seen['count']}")
        cpu = (process.cpu() - before) / count * 1000
    return {"relayed": work.count / seconds, "cpu": cpu, "turns": seen["turns"] / count, "sink": seen["cpu"] / seconds}


def pool(stage: Stage) -> Process:
    """Start app/smtp's pool."""
    command = [stage.python, "-m", "tests.bench.programs.pool"]
    return stage.start("the pool", command, {**stage.upstream, **stage.envelope})


def nodemailer(stage: Stage) -> Process:
    """Start Nodemailer's pool."""
    command = ["node", str(services.node_folder() / "relay.js")]
    return stage.start("nodemailer", command, {**stage.upstream, **stage.envelope, "NODE_ENV": "production"})


def floor(stage: Stage) -> Process:
    """Start the program of plain SMTP transactions."""
    return _transactions(stage, "the floor", CONNECTIONS, stage.upstream)


def _transactions(stage: Stage, name: str, connections: int, upstream: dict[str, str]) -> Process:
    command = [stage.python, "-m", "tests.bench.programs.smtp", str(connections)]
    return stage.start(name, command, {**upstream, **stage.envelope})


@dataclass(frozen=True, slots=True)
class Injected:
    """Postfix, and who gives it messages: to be sent at once, and to be held."""

    postfix: Postfix
    at_once: Process
    held: Process


def _injected(stage: Stage) -> Injected:
    postfix = Postfix(stage)
    clients = [
        _transactions(stage, f"callers of postfix {port}", CLIENTS, {"SMTP_PORT": str(port)})
        for port in (postfix.accept, postfix.hold)
    ]
    return Injected(postfix, *clients)


def postfix_sustained(stage: Stage) -> Callable[[], Figures]:
    """Measure Postfix with 32 SMTP clients, 2 KiB, until all is relayed."""
    return partial(_postfix_sustained, stage.shared(_injected), stage)


def _postfix_sustained(injected: Injected, stage: Stage) -> Figures:
    for count in (300, 3_000):
        stage.sink.expect(count)
        before, began = injected.postfix.cpu(), time.monotonic()
        injected.at_once.say({"count": count, "content": stage.content(2_048)})
        seconds: float = injected.at_once.hear(_LIMIT)
        seen = stage.sink.seen()
        if seen["count"] != count:
            raise UnavailableError(f"of {count} messages Postfix sent {seen['count']}")
    return {
        "accepted": count / seconds,
        "sustained": count / (seen["last"] - began),
        "cpu": (injected.postfix.cpu() - before) / count * 1000,
    }


def postfix_relays(work: Work, stage: Stage) -> Callable[[], Figures]:
    """Measure Postfix's delivery alone: the messages wait in its hold queue and are released together."""
    return partial(_postfix_relays, stage.shared(_injected), work, stage)


def _postfix_relays(injected: Injected, work: Work, stage: Stage) -> Figures:
    injected.held.say({"count": work.count, "content": stage.content(work.size)})
    injected.held.hear(_LIMIT)
    stage.sink.expect(work.count, delay=work.delay)
    before, began = injected.postfix.cpu(), time.monotonic()
    injected.postfix.release()
    seen = stage.sink.seen()
    if seen["count"] != work.count:
        raise UnavailableError(f"of {work.count} messages Postfix sent {seen['count']}")
    cpu = (injected.postfix.cpu() - before) / work.count * 1000
    return {"relayed": work.count / (seen["last"] - began), "cpu": cpu, "turns": seen["turns"] / work.count}
