"""Growth curves of Postern: one figure over one quantity, everything else as in the main comparison."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.bench import services
from tests.bench.measures import backlog, serving
from tests.bench.measures.composing import Figures
from tests.bench.setup import Stage, email

Measure = Callable[[], Figures]
_KIB, _MIB = 1024, 1024 * 1024
ATTACHMENTS = {0: 1_000, 64 * _KIB: 600, 256 * _KIB: 200, _MIB: 60, 5 * _MIB: 20, 25 * _MIB: 4}  # bytes: messages


@dataclass(frozen=True, slots=True)
class Curve:
    """Points by the value of `quantity`. `figures` are those that are plotted."""

    name: str
    quantity: str
    unit: str
    figures: Mapping[str, str]  # by name, what it is
    points: Mapping[int, Callable[[Stage], Measure]]

    def contestant(self, point: int) -> str:
        """Name of one point among the contestants."""
        return f"{self.name} {point}"


def _clients(clients: int, stage: Stage) -> Measure:
    count = min(2_000, 300 * clients)
    return partial(serving.post, stage.shared(services.postern), stage, count, clients=clients, retry=True)


def _attachment(size: int, stage: Stage) -> Measure:
    file = {"filename": "file.bin", "content": base64.b64encode(Random(size).randbytes(size)).decode()}
    body = email(attachments=[file]) if size else email()
    clients = 4 if size >= _MIB else 32
    service = stage.shared(services.postern)
    return partial(serving.post, service, stage, ATTACHMENTS[size], body=body, clients=clients, retry=True)


def _recipients(recipients: int, stage: Stage) -> Measure:
    body = email(to=[f"ada-{number}@example.net" for number in range(recipients)])
    return partial(serving.post, stage.shared(services.postern), stage, 1_000, body=body)


def _mailboxes(mailboxes: int, stage: Stage) -> Measure:
    numbers = iter(range(1_000))

    def measure() -> Figures:
        with stage.inner() as inner:
            service = services.postern(inner, f"postern-{mailboxes}-{next(numbers)}", mailboxes)
            serving.post(service, stage, 500)
            return serving.post(service, stage, 2_000)

    return measure


def _backlog(waiting: int, stage: Stage) -> Measure:
    return backlog.behind(waiting, f"sqlite:///{stage.folder}/backlog-{waiting}.db")


_RATES = {"accepted": "accepted", "sustained": "accepted to relayed"}
CURVES = (
    Curve("clients", "clients", "msg/s", _RATES, {n: partial(_clients, n) for n in (1, 8, 32, 128, 512)}),
    Curve("attachment", "bytes of the attachment", "msg/s", _RATES, {n: partial(_attachment, n) for n in ATTACHMENTS}),
    Curve("recipients", "recipients", "msg/s", _RATES, {n: partial(_recipients, n) for n in (1, 5, 10, 25, 50)}),
    Curve("mailboxes", "mailboxes", "msg/s", _RATES, {n: partial(_mailboxes, n) for n in (1, 10, 30, 100)}),
    Curve(
        "backlog",
        "messages waiting",
        "ms",
        {"accept": "accept one", "claim": "claim eight", "get": "read one"},
        {n: partial(_backlog, n) for n in (1_000, 10_000, 100_000, 1_000_000)},
    ),
)
