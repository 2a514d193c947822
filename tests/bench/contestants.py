"""Contestants, and how each is measured once. A figure is a number by name; `Figures` are those of one round."""

from collections.abc import Callable
from functools import partial
from typing import Final

from tests.bench import services
from tests.bench.measures import backlog, composing, relaying, serving
from tests.bench.measures.composing import Figures
from tests.bench.measures.curves import CURVES
from tests.bench.measures.relaying import FAST, LARGE, SLOW
from tests.bench.setup import Stage

POSTERN: Final = "Postern"
POSTERN_UNRESERVED: Final = "Postern, no session reserved"
NODE: Final = "Node service"
POSTFIX: Final = "Postfix"
TUTORIAL: Final = "FastAPI + BackgroundTasks"
PLAIN: Final = "FastAPI route alone"
GROUP_COMMIT: Final = "Starlette + group commit"
POSTERN_PACED: Final = "Postern at 200/s"
NODE_PACED: Final = "Node service at 200/s"
POOL: Final = "app/smtp pool alone"
NODEMAILER: Final = "Nodemailer pool alone"
FLOOR: Final = "SMTP by hand"
POOL_SLOW: Final = "app/smtp pool, 40 ms"
NODEMAILER_SLOW: Final = "Nodemailer pool, 40 ms"
FLOOR_SLOW: Final = "SMTP by hand, 40 ms"
POOL_LARGE: Final = "app/smtp pool, 2 MiB"
NODEMAILER_LARGE: Final = "Nodemailer pool, 2 MiB"
POSTFIX_LARGE: Final = "Postfix, 2 MiB"
FLOOR_LARGE: Final = "SMTP by hand, 2 MiB"
COMPOSE: Final = "app/mail/compose"
STANDARD: Final = "EmailMessage"
MEMORY: Final = "Postern with 1,000 × 1 MiB queued"
DEEP: Final = "store behind 1,000,000"
SHALLOW: Final = "store behind 1,000"
DEEP_POSTGRES: Final = "PostgreSQL behind 1,000,000"
SHALLOW_POSTGRES: Final = "PostgreSQL behind 1,000"
TRACED: Final = "store with 1,000,000 traced"
TRACED_FEW: Final = "store with 1,000 traced"
TRACED_POSTGRES: Final = "PostgreSQL with 1,000,000 traced"
TRACED_FEW_POSTGRES: Final = "PostgreSQL with 1,000 traced"
POSTERN_START: Final = "start of Postern"
NODE_START: Final = "start of the Node service"
VERSION: Final = "postern --version"

Measure = Callable[[], Figures]

CONTESTANTS: dict[str, Callable[[Stage], Measure]] = {
    POSTERN: partial(serving.sustained, services.postern),
    POSTERN_UNRESERVED: partial(serving.sustained, services.postern_unreserved),
    NODE: partial(serving.sustained, services.node),
    POSTFIX: relaying.postfix_sustained,
    TUTORIAL: partial(serving.sustained, services.tutorial),
    PLAIN: partial(serving.sustained, services.plain),
    GROUP_COMMIT: partial(serving.sustained, services.group_commit),
    POSTERN_PACED: partial(serving.paced, services.postern),
    NODE_PACED: partial(serving.paced, services.node),
    POOL: partial(relaying.program, relaying.pool, FAST),
    NODEMAILER: partial(relaying.program, relaying.nodemailer, FAST),
    FLOOR: partial(relaying.program, relaying.floor, FAST),
    POOL_SLOW: partial(relaying.program, relaying.pool, SLOW),
    NODEMAILER_SLOW: partial(relaying.program, relaying.nodemailer, SLOW),
    FLOOR_SLOW: partial(relaying.program, relaying.floor, SLOW),
    POOL_LARGE: partial(relaying.program, relaying.pool, LARGE),
    NODEMAILER_LARGE: partial(relaying.program, relaying.nodemailer, LARGE),
    POSTFIX_LARGE: partial(relaying.postfix_relays, LARGE),
    FLOOR_LARGE: partial(relaying.program, relaying.floor, LARGE),
    COMPOSE: lambda _: composing.ours,
    STANDARD: lambda _: composing.standard,
    MEMORY: serving.memory,
    DEEP: lambda stage: backlog.behind(backlog.MANY, f"sqlite:///{stage.folder}/many.db"),
    SHALLOW: lambda stage: backlog.behind(backlog.FEW, f"sqlite:///{stage.folder}/few.db"),
    DEEP_POSTGRES: lambda stage: backlog.behind(backlog.MANY, stage.postgres.create_database()),
    TRACED: lambda stage: backlog.traced(backlog.MANY, f"sqlite:///{stage.folder}/traced.db"),
    TRACED_FEW: lambda stage: backlog.traced(backlog.FEW, f"sqlite:///{stage.folder}/few-traced.db"),
    TRACED_POSTGRES: lambda stage: backlog.traced(backlog.MANY, stage.postgres.create_database()),
    TRACED_FEW_POSTGRES: lambda stage: backlog.traced(backlog.FEW, stage.postgres.create_database()),
    SHALLOW_POSTGRES: lambda stage: backlog.behind(backlog.FEW, stage.postgres.create_database()),
    POSTERN_START: partial(serving.startup, services.postern),
    NODE_START: partial(serving.startup, services.node),
    VERSION: serving.version,
    **{curve.contestant(point): measure for curve in CURVES for point, measure in curve.points.items()},
}
