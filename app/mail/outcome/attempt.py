"""Delivery attempt of one message: its phase, the SMTP reply or the failure that ended it (RFC 5321 §4.2, RFC 3463),
and the lines of its dialogue.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import NamedTuple, Self

from app.frozen import frozen


class EnhancedStatus(NamedTuple):
    """Enhanced status code (RFC 3463 §2), compared as numbers: 5.7.1 is not a prefix of 5.7.139."""

    klass: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the status at the beginning of `text`, or None."""
        match = _STATUS.match(text)
        return cls(*(int(part) for part in match.groups())) if match else None

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


# RFC 3463 §2: class 2, 4 or 5; subject and detail of one to three digits; then a space or the end.
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


@frozen
class Reply:
    """SMTP reply. `text` has the lines joined by LF, without code and enhanced status."""

    code: int
    status: EnhancedStatus | None
    text: str
    _shown: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the displayed text once; several objects refer to it."""
        head = f"{self.code} {self.status} " if self.status else f"{self.code} "
        object.__setattr__(self, "_shown", head + self.text.replace("\n", " "))

    @classmethod
    def of(cls, code: int, lines: list[str]) -> Self:
        """Build a reply from the text after the code of each line; the status of the first line is removed from all."""
        status = EnhancedStatus.parse(lines[0]) if lines else None
        if status is None or status.klass != code // 100:
            return cls(code, None, "\n".join(lines))
        return cls(code, status, "\n".join(_without(status, line) for line in lines))

    @property
    def positive(self) -> bool:
        """True for a 2yz reply (RFC 5321 §4.2.1)."""
        return self.code // 100 == 2

    @property
    def transient(self) -> bool:
        """True for a 4yz reply."""
        return self.code // 100 == 4

    def __str__(self) -> str:
        return self._shown


def _without(status: EnhancedStatus, line: str) -> str:
    match = _STATUS.match(line)
    if match and str(status) == ".".join(match.groups()):
        return line[match.end() :].lstrip()
    return line


class Phase(StrEnum):
    """Phase of an SMTP session, in order (names of Postfix and RFC 5321). It only moves forward within an attempt."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # uploading; without the final dot the upstream cannot have the message
    DOT = "dot"  # the final dot may have been sent: without a reply the result is unknown


LOGIN_PHASES = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})


class FailureKind(StrEnum):
    """Cause of a missing reply."""

    DNS = "dns"  # the name has no address
    REFUSED = "refused"  # by TCP
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # EOF or reset
    CERTIFICATE = "certificate"  # chain, host name or date
    TLS = "tls"  # no STARTTLS offered, handshake failed, text injected before it
    CAPABILITY = "capability"  # the server lacks an extension that the message or login needs
    PROTOCOL = "protocol"  # not SMTP, or out of order
    CREDENTIAL = "credential"  # no credential (token endpoint, secret file)
    CRASHED = "crashed"  # the process ended during the attempt
    STOPPED = "stopped"  # a graceful stop ran out of time


@frozen
class Failure:
    """Failure without a reply. `detail` is a sentence without secrets and content.

    `code` names the cause, if known; for CREDENTIAL it is a code of app/mail/office365/entra.
    """

    phase: Phase
    kind: FailureKind
    detail: str = ""
    code: str = ""

    @property
    def in_doubt(self) -> bool:
        """True if the server may have accepted the message."""
        return self.phase is Phase.DOT


class Line(NamedTuple):
    """Line of the SMTP dialogue, without credentials and content. `who` is `C` for Postern, `S` for the server."""

    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.who}: {self.text}"


@frozen
class Attempt:
    """End of an attempt. Exactly one of `reply` and `failure` is set.

    `reply` applies to every recipient not in `refused`: the reply to the final dot, or the refusal that ended the
    transaction at `phase`. `refused` has the RCPT replies other than 2yz, by address.
    """

    phase: Phase
    reply: Reply | None = None
    failure: Failure | None = None
    refused: Mapping[str, Reply] = field(default_factory=dict)
    dialogue: tuple[Line, ...] = ()

    @property
    def during_login(self) -> bool:
        """True if the attempt ended before the login succeeded."""
        return self.phase in LOGIN_PHASES
