"""`python -m tests.bench`: measure the contestants in turns, round after round; then the table, BENCHMARKS.md and its
plots. Ends with status 0 whether goals are met or not."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tests.bench import installation, machine, results
from tests.bench.contestants import CONTESTANTS, Measure
from tests.bench.goals import GOALS, MAIN_ROWS, ROWS, contestants_of, outcome
from tests.bench.measures.composing import Figures
from tests.bench.processes import ROOT, UnavailableError
from tests.bench.progress import say
from tests.bench.report import markdown, terminal
from tests.bench.setup import Stage


class Run:
    """The contestants of the requested rows, measured in turns."""

    def __init__(self, rows: Sequence[str], rounds: int) -> None:
        wanted = {name for row in rows for name in contestants_of(row)}
        self.names = [name for name in CONTESTANTS if name in wanted]
        self.rounds = rounds
        self.samples: dict[str, list[Figures]] = {name: [] for name in self.names}
        self.absent: dict[str, str] = {}
        self.seconds: dict[str, float] = dict.fromkeys(self.names, 0.0)
        self._started: dict[str, Measure] = {}

    def measure(self, stage: Stage) -> None:
        """Measure A B C A B C ..., so that other work of the machine affects all of them."""
        for round_ in range(1, self.rounds + 1):
            for name in self.names:
                if name not in self.absent:
                    self._once(stage, round_, name)

    def _once(self, stage: Stage, round_: int, name: str) -> None:
        began = time.monotonic()
        try:
            if name not in self._started:
                self._started[name] = CONTESTANTS[name](stage)
            figures = self._started[name]()
        except UnavailableError as reason:
            self.absent[name] = str(reason)
            say(f"{name} is left out: {reason}")
            stage.sink.drain()  # what it still sends would be counted as the next one's
            return
        took = time.monotonic() - began
        self.seconds[name] += took
        self.samples[name].append(figures)
        terminal.measured(round_, self.rounds, name, figures, took)


def bench(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="How often each is measured.")] = 5,
    rows: Annotated[
        str, typer.Option(help=f"Which of {', '.join(ROWS)}, with commas; by default all but CURVES.")
    ] = "",
    folder: Annotated[Path, typer.Option(help="Where BENCHMARKS.md, its plots and benchmarks.json are.")] = ROOT
    / "deploy",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output instead of the table.")] = False,
) -> None:
    """Measure Postern beside its peers on this machine, over loopback."""
    asked = {row.strip().upper() for row in rows.split(",") if row.strip()} or set(MAIN_ROWS)
    if unknown := asked - set(ROWS):
        raise typer.BadParameter(f"there is no row {min(unknown)}; there are {', '.join(ROWS)}")
    installation.install()
    chosen = [row for row in ROWS if row in asked]
    run, before = Run(chosen, rounds), os.getloadavg()[0]
    try:
        with Stage() as stage:
            run.measure(stage)
    except KeyboardInterrupt:
        say("stopped: what follows is of the rounds that were finished")
    loads = [before, os.getloadavg()[0]]
    _store(run, chosen, loads, folder)
    outcomes = [outcome(goal, run.samples, run.absent) for goal in GOALS if goal.row in asked]
    finished = max(map(len, run.samples.values()))
    if as_json:
        typer.echo(terminal.document(outcomes, run.samples, finished, loads))
    else:
        terminal.table(outcomes, finished, loads)
        terminal.durations(run.seconds)


def _store(run: Run, rows: Sequence[str], loads: list[float], folder: Path) -> None:
    stored = results.load(folder, machine.machine(), machine.versions())
    for row in rows:
        names = contestants_of(row)
        samples = {name: run.samples[name] for name in run.names if name in names}
        absent = {name: reason for name, reason in run.absent.items() if name in names}
        stored.update(row, samples, absent, loads)
    stored.save(folder)
    markdown.write(stored, folder)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        sys.exit("make bench needs Linux: it reads CPU time from /proc")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a background job of a shell ignores it by default
        signal.signal(number, _interrupted)
    typer.run(bench)
