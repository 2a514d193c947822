"""The goals: which figure of ours over which figure of whom, and when that is enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench import contestants as who
from tests.bench.composing import Figures

Samples = Mapping[str, Sequence[Figures]]  # by contestant, one of each round


@dataclass(frozen=True, slots=True)
class Goal:
    """One comparison. `bound` is a least ratio, or a greatest one when `less` is better."""

    row: str
    work: str
    figure: str
    unit: str
    ours: str
    theirs: str
    bound: float
    less: bool = False

    @property
    def sign(self) -> str:
        """The goal as people read it."""
        return f"{'≤' if self.less else '≥'} {self.bound:g}×"

    def met(self, ratio: float) -> bool:
        """Whether that is enough."""
        return ratio <= self.bound if self.less else ratio >= self.bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one goal. `skipped` says why it has no figures."""

    goal: Goal
    ours: float = 0.0
    theirs: float = 0.0
    ratios: tuple[float, ...] = ()  # of each round
    skipped: str = ""

    @property
    def ratio(self) -> float:
        """Our median over theirs."""
        return self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """None: not measured."""
        return None if self.skipped else self.goal.met(self.ratio)


SUSTAINED, ACCEPTED = "accept to relayed, 2 KiB, 32 clients", "durable accept, 2 KiB, 32 clients"
BACKLOG = (
    ("accept one", "accept"),
    ("claim eight", "claim"),
    ("read one, with its place", "get"),
    ("remove fifty that are over", "prune"),
)
GOALS = (
    Goal("G1", SUSTAINED, "sustained", "msg/s", who.POSTERN, who.NODE, 2.5),
    Goal("G3", SUSTAINED, "sustained", "msg/s", who.POSTERN, who.TUTORIAL, 8.0),
    Goal("G4", ACCEPTED, "accepted", "msg/s", who.POSTERN, who.NODE, 0.7),
    Goal("G4", ACCEPTED, "accepted", "msg/s", who.POSTERN, who.PLAIN, 0.4),
    Goal("G5", "CPU per message, accept to relayed", "cpu", "ms", who.POSTERN, who.NODE, 0.4, less=True),
    Goal("G7", "relay only, 3 connections, 4 KiB", "relayed", "msg/s", who.POOL, who.NODEMAILER, 4.0),
    Goal("G10", "compose text and HTML, 7 KiB", "compose_small", "ms", who.COMPOSE, who.STANDARD, 0.15, less=True),
    Goal("G10", "compose, attachment of 1 MiB", "compose_large", "ms", who.COMPOSE, who.STANDARD, 0.15, less=True),
    *(
        Goal("G12", work, figure, "ms", deep, shallow, 1.3, less=True)
        for deep, shallow in ((who.DEEP, who.SHALLOW), (who.DEEP_POSTGRES, who.SHALLOW_POSTGRES))
        for work, figure in BACKLOG
    ),
)
ROWS = tuple(dict.fromkeys(goal.row for goal in GOALS))


def outcome(goal: Goal, samples: Samples, absent: Mapping[str, str]) -> Outcome:
    """Judge one goal by what was measured; `absent` has why a contestant could not be."""
    for name in (goal.ours, goal.theirs):
        if reason := absent.get(name):
            return Outcome(goal, skipped=f"{name}: {reason}")
    ours, theirs = ([figures[goal.figure] for figures in samples[name]] for name in (goal.ours, goal.theirs))
    if not ours or not theirs:
        return Outcome(goal, skipped="no round was finished")
    ratios = tuple(a / b for a, b in zip(ours, theirs, strict=False))
    return Outcome(goal, median(ours), median(theirs), ratios)
