"""`python -m tests.bench`: the contestants in turns, round after round, then the table. Ends with status 0 always."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from tests.bench import report
from tests.bench.composing import Figures
from tests.bench.contestants import CONTESTANTS, Measure
from tests.bench.goals import GOALS, ROWS, Goal, outcome
from tests.bench.processes import UnavailableError
from tests.bench.progress import say
from tests.bench.setup import Stage


class Run:
    """Everybody who is needed for the goals asked for, measured in turns."""

    def __init__(self, goals: Sequence[Goal], rounds: int) -> None:
        wanted = {name for goal in goals for name in (goal.ours, goal.theirs)}
        self.names = [name for name in CONTESTANTS if name in wanted]
        self.rounds = rounds
        self.samples: dict[str, list[Figures]] = {name: [] for name in self.names}
        self.absent: dict[str, str] = {}
        self._started: dict[str, Measure] = {}

    def measure(self, stage: Stage) -> None:
        """A B C A B C ..., so that whatever else the machine does falls on all alike."""
        for round_ in range(1, self.rounds + 1):
            for name in self.names:
                if name not in self.absent:
                    self._once(stage, round_, name)

    def _once(self, stage: Stage, round_: int, name: str) -> None:
        try:
            if name not in self._started:
                self._started[name] = CONTESTANTS[name](stage)
            figures = self._started[name]()
        except UnavailableError as reason:
            self.absent[name] = str(reason)
            say(f"{name} is left out: {reason}")
            return
        self.samples[name].append(figures)
        report.measured(round_, self.rounds, name, figures)


def bench(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often each is measured.")] = 5,
    rows: Annotated[str, typer.Option(help=f"Which of {', '.join(ROWS)}, with commas; by default all.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output instead of the table.")] = False,
) -> None:
    """Measure Postern beside its peers on this machine, over loopback."""
    asked = {row.strip().upper() for row in rows.split(",") if row.strip()} or set(ROWS)
    if unknown := asked - set(ROWS):
        raise typer.BadParameter(f"there is no row {min(unknown)}; there are {', '.join(ROWS)}")
    goals = [goal for goal in GOALS if goal.row in asked]
    run, before = Run(goals, rounds), os.getloadavg()[0]
    try:
        with Stage() as stage:
            run.measure(stage)
    except KeyboardInterrupt:
        say("stopped: what follows is of the rounds that were finished")
    outcomes = [outcome(goal, run.samples, run.absent) for goal in goals]
    loads = (before, os.getloadavg()[0])
    finished = max(map(len, run.samples.values()))
    if as_json:
        typer.echo(report.document(outcomes, run.samples, finished, loads))
    else:
        report.table(outcomes, finished, loads)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        sys.exit("make bench needs Linux: it reads CPU time from /proc")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is started deaf to it
        signal.signal(number, _interrupted)
    typer.run(bench)
