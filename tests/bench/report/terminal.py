"""Output of a run: a line for each measurement, and at the end a table or JSON."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.goals import Outcome, Samples
from tests.bench.measures.composing import Figures
from tests.bench.progress import say
from tests.bench.report.numbers import number

_UNITS = {
    "sustained": "msg/s",
    "accepted": "msg/s",
    "relayed": "msg/s",
    "cpu": "ms",
    "p50": "ms",
    "sink": "",
    "lost": "",
    "refused": "",
    "turns": "",
    "idle": "MiB",
    "growth": "MiB",
}
_WIDTH = 120


def measured(round_: int, rounds: int, name: str, figures: Figures, seconds: float) -> None:
    """Print the result of one measurement."""
    said = "  ".join(
        f"{figure} {number(value)} {_UNITS.get(figure, 'ms')}".rstrip() for figure, value in figures.items()
    )
    say(f"[dim]{round_}/{rounds}[/] {name}: {said} [dim]({seconds:.0f} s)[/]")


def table(outcomes: Sequence[Outcome], rounds: int, loads: Sequence[float]) -> None:
    """For people."""
    caption = (
        f"medians of {rounds} rounds, taken in turns; load average before {loads[0]:.2f}, after {loads[1]:.2f}. "
        "Absolute figures do not carry to another machine: the ratios do."
    )
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    shown.add_column("")
    for column in ("work", "against"):
        shown.add_column(column, min_width=16)
    for column in ("Postern", "theirs", "ratio", "in the rounds", "goal"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("met", min_width=3)
    for one in outcomes:
        shown.add_row(*_cells(one))
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)  # narrower, every word would have a line of its own
    console.print(shown)
    for reason in dict.fromkeys(one.skipped for one in outcomes if one.skipped):
        console.print(f"[yellow]not measured[/]: {reason}")


def _cells(one: Outcome) -> list[str]:
    goal = one.goal
    if one.skipped:
        return [goal.row, goal.work, goal.theirs, "", "", "", "", goal.sign, "–"]
    return [
        goal.row,
        goal.work,
        goal.theirs,
        f"{number(one.ours)} {goal.unit}",
        f"{number(one.theirs)} {goal.unit}" if goal.theirs else "",
        f"{one.ratio:.2f}×" if goal.theirs else "",
        f"{min(one.ratios):.2f} to {max(one.ratios):.2f}",
        goal.sign,
        {True: "[green]yes[/]", False: "[red]no[/]", None: "–"}[one.met],
    ]


def document(outcomes: Sequence[Outcome], samples: Samples, rounds: int, loads: Sequence[float]) -> str:
    """For programs: the goals, every contestant's medians and every sample."""
    return json.dumps(
        {
            "rounds": rounds,
            "load_average": {"before": loads[0], "after": loads[1]},
            "goals": [_goal(one) for one in outcomes],
            "medians": {name: _medians(rows) for name, rows in samples.items()},
            "samples": {name: list(rows) for name, rows in samples.items()},
        },
        indent=2,
        ensure_ascii=False,
    )


def _goal(one: Outcome) -> dict[str, Any]:
    goal = one.goal
    facts: dict[str, Any] = {"row": goal.row, "work": goal.work, "against": goal.theirs, "goal": goal.sign}
    if one.skipped:
        return {**facts, "met": None, "skipped": one.skipped}
    return {
        **facts,
        "unit": goal.unit,
        "ours": one.ours,
        "theirs": one.theirs,
        "ratio": one.ratio,
        "ratios": list(one.ratios),
        "met": one.met,
    }


def _medians(rows: Sequence[Figures]) -> Mapping[str, float]:
    return {figure: median(row[figure] for row in rows) for figure in rows[0]} if rows else {}


def durations(seconds: Mapping[str, float]) -> None:
    """Print how long each contestant took, the slowest first."""
    slowest = sorted(seconds.items(), key=lambda pair: -pair[1])
    say("seconds: " + ", ".join(f"{name} {spent:.0f}" for name, spent in slowest))
