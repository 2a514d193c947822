"""Repeated diagnosis until no step fails. After the first round only findings that changed are reported.

A mailbox is examined again only if something about it failed. A failed login is repeated no earlier than after
LOGIN_INTERVAL, because Microsoft locks a mailbox out after several.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from app.clock import Clock
from app.doctor.domain.records import domains
from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.target import CheckTarget
from app.mail.times import MINUTE

MIN_INTERVAL, MAX_INTERVAL = 10, 3600  # seconds between rounds
LOGIN_INTERVAL = 5.0 * MINUTE  # seconds before a failed login is repeated

Examine = Callable[[Sequence[CheckTarget]], Awaitable[Sequence[Finding]]]


class _Key(NamedTuple):
    """Finding over the rounds. `number` counts those of one step and subject, as the senders of a mailbox."""

    about: str
    step: Step
    number: int


async def watch(
    examine: Examine,
    targets: Sequence[CheckTarget],
    report: Callable[[Sequence[Finding]], None],
    clock: Clock,
    interval: float,
) -> None:
    """Repeat the diagnosis until no finding is a failure. `interval` is in seconds; the first round is immediate.

    `report` receives the findings of a round that are new or changed, if there are any.
    """
    known: dict[_Key, Finding] = {}
    failed_at: dict[str, float] = {}  # time of the failed login, by mailbox
    selected = targets
    while True:
        found = _index_by_key(await examine(selected))
        failed_at |= dict.fromkeys(
            (key.about for key, finding in found.items() if _is_failed_login(finding)), clock.now()
        )
        changed = [
            finding for key, finding in found.items() if key not in known or _state(known[key]) != _state(finding)
        ]
        known |= found
        if changed:
            report(changed)
        failed = {finding.about for finding in known.values() if finding.outcome is StepOutcome.FAILED}
        if not failed:
            return
        await clock.sleep(interval)
        due = clock.now() - LOGIN_INTERVAL
        selected = [
            target for target in targets if failed & _subjects(target) and failed_at.get(target.mailbox, due) <= due
        ]


def _index_by_key(findings: Iterable[Finding]) -> dict[_Key, Finding]:
    counts: Counter[tuple[str, Step]] = Counter()
    found = {}
    for finding in findings:
        counts[finding.about, finding.step] += 1
        found[_Key(finding.about, finding.step, counts[finding.about, finding.step])] = finding
    return found


def _is_failed_login(finding: Finding) -> bool:
    return finding.step is Step.AUTH and finding.outcome is StepOutcome.FAILED


def _state(finding: Finding) -> tuple[StepOutcome, str]:
    """Return the outcome and the cause, without a cause the summary: a finding with others has changed."""
    return finding.outcome, finding.cause or finding.summary


def _subjects(target: CheckTarget) -> set[str]:
    return {target.mailbox, target.host_and_port, *domains(target)}
