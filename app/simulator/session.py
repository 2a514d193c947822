"""State of one SMTP session, its replies, faults and transaction."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from app.simulator import replies
from app.simulator.account import Account
from app.simulator.connection import SmtpConnection
from app.simulator.fault_actions import FaultContext
from app.simulator.faults import Armed, Point
from app.simulator.recorder import RecordedSession
from app.simulator.state import BACKEND, FRONTEND, SMTP_HOST, SimulatorState

# Points that precede the handling of a command.
_COMMANDS = frozenset(Point) - {Point.CONNECT, Point.TLS, Point.CONTENT, Point.ACCEPTED, Point.REPLY, Point.IDLE}


@dataclass(slots=True)
class Transaction:
    """One mail transaction (RFC 5321 §3.3). `slot` is None if the mailbox had none left."""

    mail_from: str
    smtputf8: bool
    binary: bool
    slot: int | None
    first_turn: int
    recipients: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)  # from BDAT


class Session:
    """SMTP session of one connection."""

    def __init__(self, state: SimulatorState, connection: SmtpConnection) -> None:
        self.state = state
        self.connection = connection
        self.record = RecordedSession(secrets.token_hex(8).upper(), state.clock.now())
        self.greeted = False
        self.account: Account | None = None
        self.transaction: Transaction | None = None
        self.submitted = 0
        self._override: str | None = None
        limits, speed = state.usage.limits, state.clock.speed
        connection.idle_timeout = limits.idle / speed
        connection.deadline = connection.loop.time() + limits.session / speed

    @property
    def mailbox(self) -> str:
        """Address of the logged-in mailbox, or ""."""
        return self.account.address if self.account else ""

    @property
    def now(self) -> float:
        """Current clock time."""
        return self.state.clock.now()

    def banner(self) -> str:
        """Return the greeting."""
        if self.state.profile.greeting is not None:
            return self.state.profile.greeting
        date = format_datetime(datetime.fromtimestamp(self.now, UTC))
        return f"220 {SMTP_HOST} Microsoft ESMTP MAIL Service ready at {date} [{self.record.id}]"

    # Replies.

    async def reply(self, text: str, **facts: str) -> None:
        """Reply. It is sent at the end of the client's batch."""
        override, self._override = self._override, None
        text = self._filled(override if override is not None and text[0] in "23" else text, facts)
        if self.state.faults.at(Point.REPLY) and await self.apply_faults(Point.REPLY, text):
            return
        self.write_reply(text)

    async def reply_after_tarpit(self, text: str, **facts: str) -> None:
        """Reply after the tarpit delay."""
        if self.state.usage.limits.tarpit:
            await self.connection.flush()
            await self.state.clock.sleep(self.state.usage.limits.tarpit)
        await self.reply(text, **facts)

    def write_reply(self, text: str) -> None:
        """Reply with `text` without applying faults."""
        text = self._filled(text, {})
        self.record.replies.append(text)
        self.connection.write(replies.encode(text))

    def _filled(self, text: str, facts: dict[str, str]) -> str:
        if "{" not in text:
            return text
        instant = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        own = {
            "frontend": f"{FRONTEND} {instant}Z {self.record.id}",
            "backend": BACKEND,
            "mailbox": self.mailbox,
            "sender": self.transaction.mail_from if self.transaction else "",
        }
        return replies.fill(text, own | facts)

    # Faults.

    async def apply_faults(
        self, point: Point, usual: str, *, mailbox: str = "", recipient: str = "", only: Armed | None = None
    ) -> bool:
        """Apply the faults of a point. Return True if one replaces the `usual` reply. `mailbox` is that of AUTH."""
        if not self.state.faults.at(point):
            return False
        transaction = self.transaction
        context = FaultContext(
            connection=self.connection,
            clock=self.state.clock,
            session=self.record,
            point=point,
            usual=usual,
            is_command=point in _COMMANDS,
            mailbox=mailbox or self.mailbox,
            sender=transaction.mail_from if transaction else "",
            recipients=(recipient,) if recipient else tuple(transaction.recipients) if transaction else (),
            write_reply=self.write_reply,
            override_reply=self._override_reply,
        )
        return await self.state.faults.apply(context, only)

    def _override_reply(self, text: str) -> None:
        self._override = text

    # Transaction.

    def begin(self, mail_from: str, *, smtputf8: bool, binary: bool) -> None:
        """Start a transaction, which uses a sending slot."""
        slot = self.state.usage.take_slot(self.mailbox, self.now)
        if slot is None:
            limit = self.state.usage.limits.connections_sending
            self.record_violation(f"connections sending: more than {limit}")
        self.transaction = Transaction(mail_from, smtputf8, binary, slot, self.connection.turns)

    def end(self) -> None:
        """End the transaction and free its slot."""
        if self.transaction is not None and self.transaction.slot is not None:
            self.state.usage.free_slot(self.mailbox, self.transaction.slot, self.now)
        self.transaction = None

    def record_violation(self, what: str) -> None:
        """Record a violation of a limit."""
        self.state.recorder.add_violation(self.now, self.mailbox, what)
