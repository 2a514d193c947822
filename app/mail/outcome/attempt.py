"""One offer of one message to the upstream: how far it came, what was answered, or why no answer came."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import NamedTuple

from app.frozen import frozen
from app.mail.outcome.reply import Reply


class Phase(StrEnum):
    """Where the dialogue stands. It only moves forward within an attempt; the names are Postfix's and RFC 5321's."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # uploading; without the final dot the upstream cannot have the message
    DOT = "dot"  # the final dot may have left: from here on a missing reply is in doubt


LOGIN_PHASES = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})


class FailureKind(StrEnum):
    """Why there is no reply."""

    DNS = "dns"  # the name has no address
    REFUSED = "refused"  # TCP said no
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # EOF or reset
    CERTIFICATE = "certificate"  # chain, host name or date
    TLS = "tls"  # no STARTTLS offered, handshake failed, text injected before it
    CAPABILITY = "capability"  # the upstream lacks what this message or login needs
    PROTOCOL = "protocol"  # what came is not SMTP, or came out of turn
    CREDENTIAL = "credential"  # no credential could be had (token endpoint, secret file)
    CRASHED = "crashed"  # the process ended during the attempt
    STOPPED = "stopped"  # a graceful stop ran out of time


@frozen
class Failure:
    """The absence of a reply. `detail` is a plain sentence for a person: no secret, no content.

    `code` is the cause's own name where it has one: for CREDENTIAL the one by which app/mail/office365/entra knows it.
    """

    phase: Phase
    kind: FailureKind
    detail: str = ""
    code: str = ""

    @property
    def in_doubt(self) -> bool:
        """True if the upstream may have accepted the message."""
        return self.phase is Phase.DOT


class Line(NamedTuple):
    """One line of the dialogue as kept and shown: `C` or `S`, credentials masked, content never."""

    who: str
    text: str


@frozen
class Attempt:
    """The end of one offer. Exactly one of `reply` and `failure` is set.

    `reply` is the one that decided for every recipient not in `refused`: the reply to the final dot,
    or the first refusal that ended the transaction (at `phase`). `refused` holds the RCPT replies
    other than 2yz, by address.
    """

    phase: Phase
    reply: Reply | None = None
    failure: Failure | None = None
    refused: Mapping[str, Reply] = field(default_factory=dict)
    dialogue: tuple[Line, ...] = ()

    @property
    def during_login(self) -> bool:
        """True if it ended on the way in, before the login was done."""
        return self.phase in LOGIN_PHASES
