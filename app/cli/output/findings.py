"""Terminal output of `postern check`: findings one by one, then each problem once with its steps."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from app.cli.output.terminal import console, styled
from app.cli.output.text import print_json
from app.doctor.finding import Finding, Problem, StepOutcome, problems

_SENTENCE_END = re.compile(r"(?<=\.)\s")
_MAX_SUBJECTS = 20  # of a problem
_MARKS = {
    StepOutcome.OK: ("✓", "green"),
    StepOutcome.WARN: ("!", "yellow"),
    StepOutcome.FAILED: ("✗", "bold red"),
    StepOutcome.SKIPPED: ("-", "dim"),
}
_COUNT_LABELS = {
    StepOutcome.FAILED: "failed",
    StepOutcome.WARN: "with a warning (mail is still sent)",
    StepOutcome.OK: "ok",
    StepOutcome.SKIPPED: "skipped",
}


class FindingPrinter:
    """Printer of findings one by one. With several mailboxes, each mailbox has a heading."""

    def __init__(self, pools: Mapping[str, str]) -> None:
        self._pools = pools  # pool name by mailbox
        self._about = ""  # subject of the last finding

    def show(self, finding: Finding) -> None:
        """Print one finding, with a heading if its subject changes."""
        if len(self._pools) > 1 and finding.about != self._about:
            pool = self._pools.get(finding.about)
            console.print()
            if finding.about:
                console.print(styled((finding.about, "bold"), f" (pool {pool})" if pool else ""), soft_wrap=True)
        self._about = finding.about
        show_finding(finding)


class ChangePrinter:
    """Printer of the findings of each round of a repeated check: all of the first, later those that changed."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._is_first = True

    def show(self, findings: Sequence[Finding]) -> None:
        """Print findings with the time, then their problems; as JSON, one object a line."""
        if self._as_json:
            for finding in findings:
                print_json(finding.as_json(), indent=None)
            return
        at = "" if self._is_first else f"{datetime.now():%H:%M:%S} "  # noqa: DTZ005 - local, as the reader's clock
        for finding in findings:
            show_finding(finding, f"{at}{finding.about}".rstrip())
        show_problems(findings, failed=any(finding.outcome is StepOutcome.FAILED for finding in findings))
        self._is_first = False


def show_finding(finding: Finding, before: str = "") -> None:
    """Print a finding after the text `before`; of one with a fix the first sentence, because its problem follows."""
    mark, style = _MARKS[finding.outcome]
    quiet = "dim" if finding.outcome is StepOutcome.SKIPPED else ""
    summary = _SENTENCE_END.split(finding.summary, maxsplit=1)[0] if finding.fix else finding.summary
    console.print(
        styled(before, (f" {mark} ", style), (f"{finding.step:<13} ", quiet or "bold"), (summary, quiet)),
        soft_wrap=True,
    )
    if not finding.fix:
        _show_facts(finding.facts)


def _show_facts(facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        console.print(styled((f"   {name}: {value}", "dim")), soft_wrap=True)


def show_problems(findings: Sequence[Finding], *, failed: bool) -> None:
    """Print each problem once, with its subjects and the numbered steps of its fix, then the number of findings."""
    for problem in problems(findings):
        _show_problem(problem)
    counts = Counter(finding.outcome for finding in findings)
    summary = ", ".join(f"{counts[outcome]} {label}" for outcome, label in _COUNT_LABELS.items() if counts[outcome])
    console.print()
    console.print(styled((summary, "bold red" if failed else "bold green")))


def _show_problem(problem: Problem) -> None:
    mark, style = _MARKS[problem.outcome]
    console.print()
    console.print(styled((f"{mark} {problem.step}: ", style), (problem.summary, "bold")), soft_wrap=True)
    if any(problem.subjects):
        console.print(f"   {_list_of(problem.subjects)}", soft_wrap=True)
    _show_facts(problem.facts)
    if problem.placeholder:
        console.print(styled((f"   {problem.placeholder} stands for each of them.", "dim")), soft_wrap=True)
    numbers = [f"{number}." for number in range(1, len(problem.steps) + 1)] if len(problem.steps) > 1 else ["→"]
    for number, step in zip(numbers, problem.steps, strict=False):
        console.print(styled((f"   {number} ", style), step), soft_wrap=True)


def _list_of(subjects: Iterable[str]) -> str:
    names = [*subjects]
    more = f" and {len(names) - _MAX_SUBJECTS} more" if len(names) > _MAX_SUBJECTS else ""
    count = f"{len(names)} {'mailboxes' if '@' in names[0] else 'names'}: " if len(names) > 1 else ""
    return f"{count}{', '.join(names[:_MAX_SUBJECTS])}{more}"
