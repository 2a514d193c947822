"""Findings of the steps of the diagnosis, and the problems into which they are grouped. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from app.mail.outcome.fix_steps import steps_of
from app.mail.safe_text import cut

_MAX_TEXT = 2000  # characters


class StepOutcome(StrEnum):
    """Result of a step."""

    OK = "ok"
    WARN = "warn"  # mail is sent, but something should be fixed
    FAILED = "failed"
    SKIPPED = "skipped"  # not checked; the summary has the reason


class Step(StrEnum):
    """Steps of the diagnosis, in order."""

    SETTINGS = "settings"
    DNS = "dns"
    TCP_IPV4 = "tcp-ipv4"
    TCP_IPV6 = "tcp-ipv6"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    CERTIFICATE = "certificate"
    CAPABILITIES = "capabilities"
    CREDENTIAL = "credential"
    AUTH = "auth"
    SENDER = "sender"
    TEST_MESSAGE = "test-message"
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    PTR = "ptr"
    TRACE = "trace"
    REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of one step, without secrets. `fix` has instructions for a person; "" if there is nothing to do.

    `about` is the subject: host:port, a mailbox, a domain or an address; "" for the settings. `cause` is the name of
    the policy rule that explains a failure; "" if none does.
    """

    step: Step
    outcome: StepOutcome
    summary: str
    fix: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    cause: str = ""

    def __post_init__(self) -> None:
        """Cut each text: servers may have sent any length."""
        for name in ("summary", "fix", "about"):
            object.__setattr__(self, name, cut(getattr(self, name), _MAX_TEXT))
        facts = {cut(name): cut(value, _MAX_TEXT) for name, value in self.facts.items()}
        object.__setattr__(self, "facts", facts)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object: the members, and the steps of the fix."""
        return {**asdict(self), "steps": list(steps_of(self.fix))}


@dataclass(frozen=True, slots=True)
class Problem:
    """Findings with one cause and one fix. With several subjects, <name> in a text stands for each of them."""

    step: Step
    outcome: StepOutcome
    summary: str
    subjects: tuple[str, ...]
    steps: tuple[str, ...]
    facts: Mapping[str, str]  # of the first finding

    @property
    def placeholder(self) -> str:
        """Name that stands for a subject; "" if the texts name none, or there is one subject."""
        if len(self.subjects) < 2:
            return ""
        name = _placeholder(self.subjects[0])
        return name if any(name in text for text in (self.summary, *self.steps)) else ""


def problems(findings: Iterable[Finding]) -> list[Problem]:
    """Return the failures, then the warnings, each cause once."""
    groups: defaultdict[tuple[str, ...], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.outcome in (StepOutcome.FAILED, StepOutcome.WARN):
            cause = finding.cause or _template(finding.summary, finding.about)
            groups[finding.step, finding.outcome, cause, _template(finding.fix, finding.about)].append(finding)
    found = [_problem(group) for group in groups.values()]
    return sorted(found, key=lambda problem: problem.outcome is StepOutcome.WARN)


def _problem(group: Sequence[Finding]) -> Problem:
    first, subjects = group[0], tuple(dict.fromkeys(finding.about for finding in group))
    summary, fix = first.summary, first.fix
    if len(subjects) > 1:
        summary, fix = _template(summary, first.about), _template(fix, first.about)
        fix = fix.replace("-Mailbox <mailbox>", f"-Mailbox {', '.join(subjects)}")  # our scripts take a list
    return Problem(first.step, first.outcome, summary, subjects, steps_of(fix), first.facts)


def _placeholder(subject: str) -> str:
    return "<mailbox>" if "@" in subject else "<name>"


def _template(text: str, subject: str) -> str:
    return text.replace(subject, _placeholder(subject)) if subject else text


def ok(step: Step, summary: str, facts: Mapping[str, str] | None = None) -> Finding:
    """Return a finding of a successful step."""
    return Finding(step, StepOutcome.OK, summary, facts=facts or {})


def skipped(step: Step, why: str) -> Finding:
    """Return a finding of a skipped step."""
    return Finding(step, StepOutcome.SKIPPED, why)


def warn(step: Step, summary: str, fix: str, facts: Mapping[str, str] | None = None) -> Finding:
    """Return a finding of a step that works but needs a fix."""
    return Finding(step, StepOutcome.WARN, summary, fix, facts or {})


def failed(step: Step, summary: str, fix: str, facts: Mapping[str, str] | None = None) -> Finding:
    """Return a finding of a failed step."""
    return Finding(step, StepOutcome.FAILED, summary, fix, facts or {})
