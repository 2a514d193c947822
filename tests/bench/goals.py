"""Goals: a figure of Postern over a figure of a peer, or against a fixed bound, and when that is enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench import contestants as who
from tests.bench.measures.composing import Figures
from tests.bench.measures.curves import CURVES

Samples = Mapping[str, Sequence[Figures]]  # by contestant, one of each round
ROW_CURVES: Final = "CURVES"


@dataclass(frozen=True, slots=True)
class Goal:
    """One comparison. `bound` is a least ratio, or a greatest one when `less` is better; None: only reported.

    Without `theirs` the figure itself is compared with the bound.
    """

    row: str
    work: str
    figure: str
    unit: str
    ours: str
    theirs: str = ""
    bound: float | None = None
    less: bool = False
    their_figure: str = ""  # by default the same

    @property
    def sign(self) -> str:
        """The goal as people read it."""
        if self.bound is None:
            return "–"
        return f"{'≤' if self.less else '≥'} {self.bound:g}{'×' if self.theirs else f' {self.unit}'.rstrip()}"

    def met(self, value: float) -> bool | None:
        """True if the ratio, or the figure, is enough."""
        if self.bound is None:
            return None
        return value <= self.bound if self.less else value >= self.bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one goal. `skipped` is the reason if it has no figures."""

    goal: Goal
    ours: float = 0.0
    theirs: float = 0.0
    ratios: tuple[float, ...] = ()  # of each round
    skipped: str = ""

    @property
    def ratio(self) -> float:
        """Our median over theirs."""
        return self.ours / self.theirs if self.theirs else 0.0

    @property
    def met(self) -> bool | None:
        """None: not measured, or nothing to meet."""
        return None if self.skipped else self.goal.met(self.ratio if self.goal.theirs else self.ours)

    @property
    def ahead(self) -> bool | None:
        """False: the peer has the better figure. None: there is no peer, or nothing was measured."""
        if self.skipped or not self.goal.theirs or self.goal.row in ("G12", "TRACE") or self.goal.their_figure:
            return None  # Postern against itself, or against nothing
        return self.ours <= self.theirs if self.goal.less else self.ours >= self.theirs


SUSTAINED, ACCEPTED = "accept to relayed, 2 KiB, 32 clients", "durable accept, 2 KiB, 32 clients"
FAST, SLOW, LARGE = "relay only, 4 KiB", "relay only, 40 ms round trip", "relay only, 2 MiB attachment"
BACKLOG = (
    ("accept one", "accept"),
    ("claim eight", "claim"),
    ("read one, with its place", "get"),
    ("remove fifty that are over", "prune"),
)
TRACED = (
    ("accept one", "accept"),
    ("claim eight", "claim"),
    ("list twenty that were delivered", "list"),
    ("find the email of a row", "match"),
)
GOALS = (
    Goal("G1", SUSTAINED, "sustained", "msg/s", who.POSTERN, who.NODE, 2.0),
    Goal("G1", f"{SUSTAINED}, no session reserved", "sustained", "msg/s", who.POSTERN_UNRESERVED, who.NODE),
    Goal("G2", SUSTAINED, "sustained", "msg/s", who.POSTERN, who.POSTFIX, 2.0),
    Goal("G3", SUSTAINED, "sustained", "msg/s", who.POSTERN, who.TUTORIAL, 6.0),
    Goal("G4", ACCEPTED, "accepted", "msg/s", who.POSTERN, who.NODE, 1.3),
    Goal("G4", ACCEPTED, "accepted", "msg/s", who.POSTERN, who.PLAIN, 0.6),
    Goal("G4", f"{ACCEPTED}, p99", "p99", "ms", who.POSTERN, who.NODE, 1.0, less=True),
    Goal("G5", "CPU per message, accept to relayed", "cpu", "ms", who.POSTERN, who.NODE, 0.5, less=True),
    Goal("G5", "CPU per message, accept to relayed", "cpu", "ms", who.POSTERN, who.POSTFIX, less=True),
    Goal("G6", "accept to relayed at 200/s, p50", "relayed_p50", "ms", who.POSTERN_PACED, who.NODE_PACED, 0.5, True),
    Goal("G6", "accept to relayed at 200/s, p99", "relayed_p99", "ms", who.POSTERN_PACED, who.NODE_PACED, 0.6, True),
    Goal("G7", FAST, "relayed", "msg/s", who.POOL, who.NODEMAILER, 4.0),
    Goal("G8", SLOW, "relayed", "msg/s", who.POOL_SLOW, who.NODEMAILER_SLOW, 1.0),
    Goal("G8", "round trips per message", "turns", "", who.POOL_SLOW, bound=2.0, less=True),
    Goal("G9", LARGE, "relayed", "msg/s", who.POOL_LARGE, who.NODEMAILER_LARGE, 2.0),
    Goal("G9", LARGE, "relayed", "msg/s", who.POOL_LARGE, who.POSTFIX_LARGE, 4.0),
    Goal("G10", "compose text and HTML, 7 KiB", "compose_small", "ms", who.COMPOSE, who.STANDARD, 0.15, less=True),
    Goal("G10", "compose, attachment of 1 MiB", "compose_large", "ms", who.COMPOSE, who.STANDARD, 0.15, less=True),
    Goal("G11", "memory over idle, 1,000 × 1 MiB queued", "growth", "MiB", who.MEMORY, bound=64, less=True),
    *(
        Goal("G12", work, figure, "ms", deep, shallow, 1.3, less=True)
        for deep, shallow in ((who.DEEP, who.SHALLOW), (who.DEEP_POSTGRES, who.SHALLOW_POSTGRES))
        for work, figure in BACKLOG
    ),
    *(
        Goal("TRACE", work, figure, "ms", many, few, 1.3, less=True)
        for many, few in ((who.TRACED, who.TRACED_FEW), (who.TRACED_POSTGRES, who.TRACED_FEW_POSTGRES))
        for work, figure in TRACED
    ),
    Goal(
        "START", "postern --version over python -c pass", "version", "ms", who.VERSION, who.VERSION, 6.0, True, "python"
    ),
    Goal("START", "ready after the start", "ready", "ms", who.POSTERN_START, who.NODE_START, less=True),
    Goal(
        "START",
        "idle memory against the Node service with Redis",
        "idle",
        "MiB",
        who.POSTERN_START,
        who.NODE_START,
        less=True,
    ),
    Goal("START", "idle memory", "idle", "MiB", who.POSTERN_START, bound=90, less=True),
    Goal("FLOOR", ACCEPTED, "accepted", "msg/s", who.POSTERN, who.GROUP_COMMIT),
    Goal("FLOOR", FAST, "relayed", "msg/s", who.POOL, who.FLOOR),
    Goal("FLOOR", SLOW, "relayed", "msg/s", who.POOL_SLOW, who.FLOOR_SLOW),
    Goal("FLOOR", LARGE, "relayed", "msg/s", who.POOL_LARGE, who.FLOOR_LARGE),
)
_ONE_LOCK = (
    "The event loop needs some 0.29 ms of CPU time a message and the thread that commits some 0.25 ms; half of it is "
    "spent in the kernel and in SQLite, and both threads share the lock of one interpreter. No function has more than "
    "9 %."
)
_MARK = (
    "Before each final dot a commit records that the message may be accepted, and a session waits for it, some 0.6 ms. "
    "No peer does that; it is why a crash leaves no more messages in doubt than there are sessions."
)
REASONS: Mapping[str, str] = {
    "G1": f"{_MARK} The CPU time: see G5.",
    "G2": "As for G1.",
    "G3": "As for G1; the peer stores nothing.",
    "G4": (
        "An accepted email passes key, rates, policy, strict validation, composition and a commit of three tables. "
        "The row FLOOR shows the most that Python and SQLite allow without all that."
    ),
    "G5": _ONE_LOCK,
    "G6": (
        "A message that is sent alone waits for the disk two times: when it is accepted and before its dot. "
        "A commit takes 0.4 to 0.6 ms here."
    ),
    "G7": "The replies are parsed, timed and recorded. The row FLOOR shows what is left of it without all that.",
    "G12": "On PostgreSQL the spread of this row is about as large as its distance from the goal.",
}
"""Causes of missed goals by row. What was tried is in app/DECISIONS.md, with its figures."""

MAIN_ROWS = tuple(dict.fromkeys(goal.row for goal in GOALS))
ROWS = (*MAIN_ROWS, ROW_CURVES)


def contestants_of(row: str) -> set[str]:
    """Names of those that a row needs."""
    if row == ROW_CURVES:
        return {curve.contestant(point) for curve in CURVES for point in curve.points}
    return {name for goal in GOALS if goal.row == row for name in (goal.ours, goal.theirs) if name}


def outcome(goal: Goal, samples: Samples, absent: Mapping[str, str]) -> Outcome:
    """Evaluate one goal; `absent` has the reason why a contestant could not be measured."""
    names = [name for name in (goal.ours, goal.theirs) if name]
    for name in names:
        if reason := absent.get(name):
            return Outcome(goal, skipped=f"{name}: {reason}")
        if not samples.get(name):
            return Outcome(goal, skipped=f"{name}: no round was finished")
    ours = [figures[goal.figure] for figures in samples[goal.ours]]
    if not goal.theirs:
        return Outcome(goal, median(ours), ratios=tuple(ours))
    theirs = [figures[goal.their_figure or goal.figure] for figures in samples[goal.theirs]]
    ratios = tuple(a / b for a, b in zip(ours, theirs, strict=False))
    return Outcome(goal, median(ours), median(theirs), ratios)
