"""Target of a diagnosis: a mailbox with its upstream server, and the timeout of each step. No I/O."""

from dataclasses import dataclass, field, replace

from app.clock import Clock
from app.mail.message.address import Address
from app.smtp.auth.credentials import Credentials
from app.smtp.handshake import Upstream
from app.smtp.protocol import Timeouts


@dataclass(frozen=True, slots=True)
class StepTimeouts:
    """Timeouts of the steps in seconds: 90 in sum, without `domain`, which runs in parallel."""

    dns: float = 5.0
    tcp: float = 8.0
    handshake: float = 14.0  # from the greeting to the extensions under TLS
    certificate: float = 5.0  # second connection, which reads an untrusted certificate
    credential: float = 18.0
    login: float = 20.0
    senders: float = 5.0
    message: float = 15.0
    domain: float = 20.0

    def timeouts(self) -> Timeouts:
        """Return timeouts for single replies, so that a failure names the step without a reply."""
        reply = self.handshake / 2
        return Timeouts(
            connect=self.tcp / 2,
            greeting=reply,
            ehlo=reply,
            starttls=reply,
            auth=self.login * 3 / 4,
            mail=self.senders,
            rcpt=self.message / 2,
            data=self.message / 2,
            stall=self.message,
            dot=self.message,
            quit=1.0,
        )


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Mailbox with its upstream server. `senders` are addresses and patterns; the test message is from `sender`.

    `egress` is the public IP address of this machine. `name_server` is for DNS records, by default the system's.
    """

    mailbox: str
    upstream: Upstream
    credentials: Credentials
    senders: tuple[str, ...]
    sender: Address
    max_message_bytes: int
    test_to: Address | None = None
    egress: str | None = None
    name_server: tuple[str, int] | None = None
    clock: Clock = field(default_factory=Clock)
    step_timeouts: StepTimeouts = field(default_factory=StepTimeouts)

    @property
    def with_short_timeouts(self) -> Upstream:
        """Upstream with the timeouts of the diagnosis."""
        return replace(self.upstream, timeouts=self.step_timeouts.timeouts())

    @property
    def host_and_port(self) -> str:
        """Upstream server as `host:port`."""
        return f"{self.upstream.host}:{self.upstream.port}"

    @property
    def is_microsoft(self) -> bool:
        """True if the upstream server's name is in a domain of Exchange Online."""
        return self.upstream.host.lower().endswith(MICROSOFT)


MICROSOFT = (".office365.com", ".office365.us", ".outlook.com", ".outlook.cn")
