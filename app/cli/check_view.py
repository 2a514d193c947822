"""Output of `postern check`: findings under headings, or as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NoReturn

import typer

from app.cli.exit_codes import Exit
from app.cli.output import console, print_json, styled
from app.doctor import Finding, Outcome

_MARKS = {
    Outcome.OK: ("✓", "green"),
    Outcome.WARN: ("!", "yellow"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.SKIPPED: ("-", "dim"),
}
_COUNT_LABELS = {
    Outcome.FAILED: "failed",
    Outcome.WARN: "with a warning (mail is still sent)",
    Outcome.OK: "ok",
    Outcome.SKIPPED: "skipped",
}


class FindingPrinter:
    """Prints findings one by one. With several mailboxes, each mailbox has a heading."""

    def __init__(self, pools: Mapping[str, str]) -> None:
        self._pools = pools  # name of each mailbox's pool
        self._about = ""

    def show(self, finding: Finding) -> None:
        """Print one finding, with a heading if its subject changes."""
        if len(self._pools) > 1 and finding.about != self._about:
            pool = self._pools.get(finding.about)
            console.print()
            console.print(styled((finding.about, "bold"), f" (pool {pool})" if pool else ""), soft_wrap=True)
        self._about = finding.about
        _print(finding)


def finish(findings: Sequence[Finding], code: Exit, as_json: bool, *, shown: bool = False) -> NoReturn:
    """Print the summary and end the command with this exit code."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
        raise typer.Exit(code)
    if not shown:
        for finding in findings:
            _print(finding)
    counts = Counter(finding.outcome for finding in findings)
    summary = ", ".join(f"{counts[outcome]} {label}" for outcome, label in _COUNT_LABELS.items() if counts[outcome])
    console.print()
    console.print(styled((summary, "bold red" if code else "bold green")))
    raise typer.Exit(code)


def _print(finding: Finding) -> None:
    """Print the outcome, the facts and the fix of a finding."""
    mark, style = _MARKS[finding.outcome]
    quiet = "dim" if finding.outcome is Outcome.SKIPPED else ""
    console.print(
        styled((f" {mark} ", style), (f"{finding.step:<13} ", quiet or "bold"), (finding.summary, quiet)),
        soft_wrap=True,
    )
    for name, value in finding.facts.items():
        console.print(styled((f"   {name}: {value}", "dim")), soft_wrap=True)
    if finding.fix:
        console.print(styled(("   → ", style), finding.fix), soft_wrap=True)
