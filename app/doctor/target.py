"""What is to be examined, and how long each step may take. Values only."""

from dataclasses import dataclass, field, replace

from app.clock import Clock
from app.mail.message.address import Address
from app.smtp.auth.credentials import Credentials
from app.smtp.handshake import Upstream
from app.smtp.timeouts import Timeouts


@dataclass(frozen=True, slots=True)
class StepTimeouts:
    """Seconds for each step; 90 in all. `domain` runs beside the others."""

    dns: float = 5.0
    tcp: float = 8.0
    handshake: float = 14.0  # from the greeting to what is offered under TLS
    certificate: float = 5.0  # a second look, at a certificate that cannot be trusted
    credential: float = 18.0
    login: float = 20.0
    senders: float = 5.0
    message: float = 15.0
    domain: float = 20.0

    def timeouts(self) -> Timeouts:
        """The same for the single replies, so that a silent server is caught where it falls silent."""
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
    """One mailbox and its way to the upstream. `senders` are addresses and patterns; `sender` writes the test message.

    `egress` is the public address this machine is seen with, `name_server` who is asked for records of domains: by
    default whom the system asks.
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
        """The upstream with the doctor's own timeouts."""
        return replace(self.upstream, timeouts=self.step_timeouts.timeouts())

    @property
    def where(self) -> str:
        """Host and port, for sentences."""
        return f"{self.upstream.host}:{self.upstream.port}"

    @property
    def at_microsoft(self) -> bool:
        """True if the host's name is one of Microsoft's own."""
        return self.upstream.host.lower().endswith(MICROSOFT)


MICROSOFT = (".office365.com", ".office365.us", ".outlook.com", ".outlook.cn")
