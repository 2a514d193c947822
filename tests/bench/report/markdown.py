"""deploy/BENCHMARKS.md: machine, commands, tables and plots of the results, with the settings of the peers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.bench import contestants as who
from tests.bench.goals import GOALS, REASONS, ROW_CURVES, Outcome, outcome
from tests.bench.measures.composing import Figures
from tests.bench.measures.curves import CURVES, Curve
from tests.bench.postfix import TUNING
from tests.bench.report import plots
from tests.bench.report.numbers import number
from tests.bench.results import Results, RowResult

IMAGES = Path("docs") / "images"
_HEAD = """# Benchmarks

`make bench` measures Postern beside what is usually built or installed in its place, on one machine, over loopback,
against one SMTP server that accepts everything over STARTTLS and AUTH LOGIN. Contestants take turns (A B C A B C …),
so that other work on the machine affects all of them. Each figure is the median of its rounds; the spread is the
lowest and the highest ratio of one round. Absolute figures do not carry over to another machine; ratios mostly do.
This file is written by the command.

```sh
make bench                      # every row but the curves
make bench ROWS=CURVES ROUNDS=3 # the growth curves
make bench ROWS=G1,G4           # some rows; the others keep their last results
make limits                     # G13 and G14: Exchange's limits and the urgent lane, in virtual time
```
"""
_PEERS = """## Peers and their settings

- **Postern**: `postern serve` with SQLite (`synchronous=FULL`), one mailbox, three connections, the limits of the
  mailbox lifted. One of the connections is reserved for urgent mail, so these messages have two; "no session reserved"
  is the same with `POSTERN_URGENT_CONNECTIONS=0`. `app/smtp` pool alone: three sessions, never replaced.
- **Node service**: Express answers after BullMQ's job is in Redis (`appendonly yes`, `appendfsync always`); a worker
  in the same process (concurrency 12) sends through Nodemailer's pool (3 connections, never replaced, STARTTLS
  verified). Its CPU and memory include Redis.
- **Postfix**: a relayhost with 32 SMTP clients that pipeline, STARTTLS verified and SASL to the server. CPU is of all
  its processes. For 2 MiB the messages wait in its hold queue, and only the delivery is measured. Beyond its
  defaults: {tuning}.
- **FastAPI + BackgroundTasks**: answers at once, then a connection for each message. Nothing is stored: a crash loses
  mail.
- **FastAPI route alone**: validates and answers; nothing is stored, nothing is sent.
- **Starlette + group commit**: a floor: parses JSON and commits to SQLite in groups; nothing else.
- **SMTP by hand**: a floor: MAIL, RCPT and DATA in one write over three sessions, replies hardly parsed.
- **EmailEngine** (G15) is not measured: npm has no package of it under the name `emailengine-app`.
"""
_BARS = (
    ("sustained", "Accepted to relayed, 32 clients", "msg/s", (who.POSTERN, who.NODE, who.POSTFIX, who.TUTORIAL)),
    ("accepted", "Accepted, 32 clients", "msg/s", (who.POSTERN, who.NODE, who.POSTFIX, who.GROUP_COMMIT, who.PLAIN)),
    ("cpu", "CPU per message, accept to relayed", "ms", (who.POSTERN, who.NODE, who.POSTFIX, who.TUTORIAL)),
)


def write(results: Results, folder: Path) -> None:
    """Write the page and its plots into `folder`."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    parts = [_HEAD, _facts(results), *_tables(results), *_main_plots(results, folder), *_curves(results, folder)]
    tuning = ", ".join(f"`{name} = {value}`" for name, value in TUNING.items())
    (folder / "BENCHMARKS.md").write_text("\n".join([*parts, _PEERS.format(tuning=tuning)]), "utf-8")


def _facts(results: Results) -> str:
    lines = ["## Machine", "", *_row("", ""), *(line for fact in results.machine.items() for line in [_cells(*fact)])]
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    return "\n".join([*lines, "", f"Versions: {versions}.", ""])


def _tables(results: Results) -> Iterator[str]:
    yield "## Results\n"
    columns = ("row", "work", "against", "Postern", "theirs", "ratio", "spread", "goal", "met")
    yield "\n".join([*_row(*columns), *(_line(one) for one in _outcomes(results))])
    yield ""
    for row, result in results.rows.items():
        loads = " to ".join(f"{load:.1f}" for load in result.load)
        yield f"- {row}: {result.rounds} rounds on {result.at}, load average {loads}."
    yield ""
    if missed := [one for one in _outcomes(results) if one.met is False]:
        yield "## Missed goals\n"
        yield "What was tried, and its effect, is in [DECISIONS.md](../app/DECISIONS.md).\n"
        yield from (_missed(row, [one for one in missed if one.goal.row == row]) for row in _rows(missed))
        yield ""


def _outcomes(results: Results) -> list[Outcome]:
    rows = results.rows
    return [outcome(goal, rows[goal.row].samples, rows[goal.row].absent) for goal in GOALS if goal.row in rows]


def _line(one: Outcome) -> str:
    goal = one.goal
    if one.skipped:
        return _cells(goal.row, goal.work, goal.theirs, "", "", "", one.skipped, goal.sign, "not measured")
    theirs, ratio, spread = "", "", f"{number(min(one.ratios))} to {number(max(one.ratios))}"
    if goal.theirs:
        theirs, ratio = f"{number(one.theirs)} {goal.unit}", f"{one.ratio:.2f}×"
        if one.ahead is False:
            theirs = f"**{theirs}** (better)"
    met = {True: "yes", False: "**no**", None: ""}[one.met]
    against = "" if goal.their_figure else goal.theirs
    return _cells(
        goal.row, goal.work, against, f"{number(one.ours)} {goal.unit}", theirs, ratio, spread, goal.sign, met
    )


def _rows(outcomes: Sequence[Outcome]) -> Iterable[str]:
    return dict.fromkeys(one.goal.row for one in outcomes)


def _missed(row: str, missed: Sequence[Outcome]) -> str:
    by = (
        f"{one.ratio:.2f}× instead of {one.goal.sign} ({one.goal.theirs})"
        if one.goal.theirs
        else f"{number(one.ours)} {one.goal.unit} instead of {one.goal.sign}"
        for one in missed
    )
    return f"- **{row}**: {', '.join(by)}. {REASONS.get(row, '')}".rstrip()


def _main_plots(results: Results, folder: Path) -> Iterator[str]:
    everything = {name: rows for row in results.rows.values() for name, rows in row.samples.items() if rows}
    for figure, title, unit, names in _BARS:
        values = {name: _median(everything[name], figure) for name in names if name in everything}
        if len(values) > 1:
            made = {theme: plots.bars(theme, title, unit, values, who.POSTERN) for theme in plots.THEMES}
            yield _picture(folder, figure, title, made)


def _curves(results: Results, folder: Path) -> Iterator[str]:
    if (row := results.rows.get(ROW_CURVES)) is None:
        return
    yield "## Growth curves\n"
    for curve in CURVES:
        points = [point for point in curve.points if row.samples.get(curve.contestant(point))]
        if len(points) > 1:
            yield _curve(curve, points, row, folder)


def _curve(curve: Curve, points: Sequence[int], row: RowResult, folder: Path) -> str:
    title = f"{curve.unit} over {curve.quantity}"
    series = {
        name: [(point, _median(row.samples[curve.contestant(point)], figure)) for point in points]
        for figure, name in curve.figures.items()
    }
    axes = (curve.quantity, curve.unit)
    made = {theme: plots.lines(theme, title, axes, series) for theme in plots.THEMES}
    table = _row(curve.quantity, *(f"{name}, {curve.unit}" for name in series))
    for index, point in enumerate(points):
        table.append(_cells(f"{point:,}", *(number(values[index][1]) for values in series.values())))
    return "\n".join([_picture(folder, f"curve-{curve.name}", title, made), *table, ""])


def _picture(folder: Path, name: str, title: str, made: Mapping[str, str]) -> str:
    for theme, text in made.items():
        (folder / IMAGES / f"bench-{name}-{theme}.svg").write_text(text, "utf-8")
    path = f"{IMAGES.as_posix()}/bench-{name}"
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{path}-dark.svg">\n'
        f'  <img alt="{title}" src="{path}-light.svg">\n</picture>\n'
    )


def _median(rows: Sequence[Figures], figure: str) -> float:
    return median(row[figure] for row in rows)


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _row(*names: str) -> list[str]:
    """Head of a table."""
    return [_cells(*names), "|" + "---|" * len(names)]
