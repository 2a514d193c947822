"""Delivery attempt of one message: its phase, the reply or failure that ended it, and the lines of its dialogue."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import NamedTuple

from app.frozen import frozen
from app.mail.outcome.reply import Reply


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
