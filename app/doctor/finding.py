"""Findings of the diagnosis. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of one step, without secrets. `fix` has instructions for a person; "" if there is nothing to do.

    `about` is the subject: host:port, a mailbox, a domain or an address; "" for the settings.
    """

    step: Step
    outcome: StepOutcome
    summary: str
    fix: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def __post_init__(self) -> None:
        """Cut each text: servers may have sent any length."""
        for name in ("summary", "fix", "about"):
            object.__setattr__(self, name, cut(getattr(self, name), _MAX_TEXT))
        facts = {cut(name): cut(value, _MAX_TEXT) for name, value in self.facts.items()}
        object.__setattr__(self, "facts", facts)


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
