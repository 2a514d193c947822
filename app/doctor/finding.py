"""What a check has found, as a value. Judges nothing and prints nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.mail.safe_text import cut

_LONGEST_TEXT = 2000  # characters; an SPF record has some hundred


class Outcome(StrEnum):
    """How a step has ended."""

    OK = "ok"
    WARN = "warn"  # mail goes, but something is to be mended
    FAILED = "failed"
    SKIPPED = "skipped"  # not tried; the summary says why


class Step(StrEnum):
    """The steps, in the order in which they are taken."""

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
    """One step's end. `fix` says what a person does about it; "" if there is nothing to do. No secret is ever in it.

    `about` is what was examined: host:port, a mailbox, a domain or an address; "" for the settings.
    """

    step: Step
    outcome: Outcome
    summary: str
    fix: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def __post_init__(self) -> None:
        """Cut each text: an upstream, a name server or a token endpoint may have sent any length of it."""
        for name in ("summary", "fix", "about"):
            object.__setattr__(self, name, cut(getattr(self, name), _LONGEST_TEXT))
        facts = {cut(name): cut(value, _LONGEST_TEXT) for name, value in self.facts.items()}
        object.__setattr__(self, "facts", facts)


def ok(step: Step, summary: str, facts: Mapping[str, str] | None = None) -> Finding:
    """All is well."""
    return Finding(step, Outcome.OK, summary, facts=facts or {})


def skipped(step: Step, why: str) -> Finding:
    """Not tried."""
    return Finding(step, Outcome.SKIPPED, why)


def warn(step: Step, summary: str, fix: str, facts: Mapping[str, str] | None = None) -> Finding:
    """It works, and yet."""
    return Finding(step, Outcome.WARN, summary, fix, facts or {})


def failed(step: Step, summary: str, fix: str, facts: Mapping[str, str] | None = None) -> Finding:
    """It does not work."""
    return Finding(step, Outcome.FAILED, summary, fix, facts or {})
