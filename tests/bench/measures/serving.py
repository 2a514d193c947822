"""Services that answer POST /emails: acceptance, relaying, CPU time, latency at a fixed rate, and memory."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.request import Request, urlopen

from tests.bench import services
from tests.bench.measures.composing import Figures
from tests.bench.processes import UnavailableError
from tests.bench.programs.load import NUMBER
from tests.bench.services import Service
from tests.bench.setup import MAILBOX, Stage, email

_REST = 0.3  # seconds for what goes on after the last message has left: marks, timers
RATE, PACED = 200, 1_000  # messages a second, messages
QUEUED, LARGE = 1_000, 1024 * 1024  # messages, bytes of each
_START = 30.0  # seconds
_STARTS = 3

Start = Callable[[Stage], Service]


def sustained(start: Start, stage: Stage) -> Callable[[], Figures]:
    """Measure with 32 clients, 2 KiB, until all is relayed."""
    return partial(_sustained, stage.shared(start), stage)


def _sustained(service: Service, stage: Stage) -> Figures:
    """Rates in messages per second, CPU in milliseconds per message."""
    post(service, stage, service.warm_up)
    before = _cpu(service)
    figures = post(service, stage, service.count)
    return {**figures, "cpu": (_cpu(service) - before) / service.count * 1000}


def post(
    service: Service, stage: Stage, count: int, *, body: str | None = None, clients: int = 32, retry: bool = False
) -> Figures:
    """Post and, if the service relays, wait until all has arrived. `retry`: repeat refused requests and count them."""
    if service.relays:
        stage.sink.expect(count)
    posted = stage.callers.post(service.port, service.headers, count, body=body, clients=clients, retry=retry)
    figures = {
        "accepted": count / (posted["ended"] - posted["began"]),
        "p50": posted["p50"] * 1000,
        "p99": posted["p99"] * 1000,
        "refused": posted["refused"] / count,
    }
    if service.relays:
        seen = stage.sink.seen()
        if service.durable and seen["count"] != count:
            raise UnavailableError(f"of {count} messages it accepted, {seen['count']} arrived")
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


def paced(start: Start, stage: Stage) -> Callable[[], Figures]:
    """Measure the time from the start of a request to the arrival at the mail server, at 200 messages a second."""
    return partial(_paced, stage.shared(start), stage)


def _paced(service: Service, stage: Stage) -> Figures:
    post(service, stage, 50)
    stage.sink.expect(PACED, arrivals=True)
    posted = stage.callers.post(service.port, service.headers, PACED, body=email(NUMBER.decode()), rate=RATE)
    arrivals: Mapping[str, float] = stage.sink.seen()["arrivals"]
    if len(arrivals) < PACED:
        raise UnavailableError(f"of {PACED} messages {len(arrivals)} arrived")
    started = posted["started"]
    waits = sorted(arrived - started[int(number)] for number, arrived in arrivals.items())
    return {f"relayed_p{share}": waits[len(waits) * share // 100] * 1000 for share in (50, 99)}


def memory(stage: Stage) -> Callable[[], Figures]:
    """Measure how resident memory grows while 1,000 messages of 1 MiB are queued."""
    numbers = iter(range(1_000))
    return lambda: _memory(stage, f"memory-{next(numbers)}")


def _memory(stage: Stage, name: str) -> Figures:
    """MiB. The mailbox is held, so that all of them wait."""
    with stage.inner() as inner:
        service = services.postern(inner, name)
        _request(service, f"/mailboxes/{MAILBOX}/hold", b"{}")
        time.sleep(1.0)
        idle = service.processes[0].memory()
        body = email(text="0123456789abcdef" * (LARGE // 16))
        post(service_without_relay(service), stage, QUEUED, body=body, clients=8)
        return {"idle": idle, "growth": service.processes[0].memory() - idle}


def service_without_relay(service: Service) -> Service:
    """Measurement that does not wait for the messages."""
    return Service(service.port, service.processes, 0, 0, relays=False, headers=service.headers)


def _request(service: Service, path: str, body: bytes) -> None:
    url = f"http://127.0.0.1:{service.port}{path}"
    urlopen(Request(url, body, {**service.headers, "content-type": "application/json"}), timeout=_START).close()


def startup(start: Start, stage: Stage) -> Callable[[], Figures]:
    """Measure the start of a service with an empty database and its memory a second later."""
    return lambda: _startup(start, stage)


def _startup(start: Start, stage: Stage) -> Figures:
    """Milliseconds until it is ready, MiB of all its processes."""
    with stage.inner() as inner:
        began = time.perf_counter()
        service = start(inner)
        ready = time.perf_counter() - began
        time.sleep(1.0)
        return {"ready": ready * 1000, "idle": sum(process.memory() for process in service.processes)}


def version(stage: Stage) -> Callable[[], Figures]:
    """Measure `python -c pass` and `postern --version`, in turns."""
    commands = {"python": ["-c", "pass"], "version": ["-m", "app", "--version"]}

    def measure() -> Figures:
        took = dict.fromkeys(commands, 0.0)
        for _ in range(_STARTS):
            for name, words in commands.items():
                began = time.perf_counter()
                with stage.inner() as inner:
                    inner.start(name, [stage.python, *words], {}).exited(_START)
                    took[name] += time.perf_counter() - began
        return {name: spent / _STARTS * 1000 for name, spent in took.items()}

    return measure
