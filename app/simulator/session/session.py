"""State of one SMTP session: its login, its transaction, and the faults that apply to its replies."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from app.simulator.accounts import Account
from app.simulator.faults.actions import FaultContext
from app.simulator.faults.fault import Point
from app.simulator.faults.script import ScriptedFault
from app.simulator.protocol import replies
from app.simulator.protocol.connection import SmtpConnection
from app.simulator.recorder import RecordedSession
from app.simulator.state import SimulatorState

# Points before a command is handled.
_COMMANDS = frozenset(Point) - {Point.CONNECT, Point.TLS, Point.CONTENT, Point.ACCEPTED, Point.REPLY, Point.IDLE}


@dataclass(slots=True)
class ServerTransaction:
    """Mail transaction (RFC 5321 §3.3). `slot` is None if all sending slots were in use."""

    mail_from: str
    smtputf8: bool
    binary: bool
    slot: int | None
    first_turn: int
    recipients: list[str] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)  # from BDAT


class ServerSession:
    """SMTP session of one connection."""

    def __init__(self, state: SimulatorState, connection: SmtpConnection) -> None:
        self.state = state
        self.connection = connection
        self.record = RecordedSession(secrets.token_hex(8).upper(), state.clock.now())
        self.greeted = False
        self.account: Account | None = None
        self.transaction: ServerTransaction | None = None
        self.contents = 0  # complete contents received
        self._replacement: str | None = None
        limits, speed = state.limits, state.clock.speed
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
        return f"220 {replies.SMTP_HOST} Microsoft ESMTP MAIL Service ready at {date} [{self.record.id}]"

    # Replies.

    async def reply(self, text: str, **values: str) -> None:
        """Reply after the faults at REPLY. The reply is sent at the end of the client's batch of commands."""
        replacement, self._replacement = self._replacement, None
        text = self._filled(replacement if replacement is not None and text[0] in "23" else text, values)
        if self.state.faults.at(Point.REPLY) and await self.apply_faults(Point.REPLY, text):
            return
        self.write_reply(text)

    async def reply_after_tarpit(self, text: str, **values: str) -> None:
        """Reply after the tarpit delay of the limits."""
        if self.state.limits.tarpit:
            await self.connection.flush()
            await self.state.clock.sleep(self.state.limits.tarpit)
        await self.reply(text, **values)

    def write_reply(self, text: str) -> None:
        """Reply with `text` without applying faults."""
        text = self._filled(text, {})
        self.record.replies.append(text)
        self.connection.write(replies.encode(text))

    def _filled(self, text: str, values: dict[str, str]) -> str:
        if "{" not in text:
            return text
        time = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        own = {
            "frontend": f"{replies.FRONTEND} {time}Z {self.record.id}",
            "backend": replies.BACKEND,
            "mailbox": self.mailbox,
            "sender": self.transaction.mail_from if self.transaction else "",
        }
        return replies.fill(text, own | values)

    # Faults.

    async def apply_faults(
        self, point: Point, usual: str, *, mailbox: str = "", recipient: str = "", only: ScriptedFault | None = None
    ) -> bool:
        """Apply the faults of a point. Return True if one replaces the reply `usual`.

        `mailbox` is the user name during AUTH. `only` restricts the faults to one.
        """
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
            replace_reply=self._replace_reply,
        )
        return await self.state.faults.apply(context, only)

    def _replace_reply(self, text: str) -> None:
        self._replacement = text

    # Transaction.

    def begin_transaction(self, mail_from: str, *, smtputf8: bool, binary: bool) -> None:
        """Begin a transaction and take a sending slot."""
        slot = self.state.usage.take_slot(self.mailbox, self.now)
        if slot is None:
            limit = self.state.limits.connections_sending
            self.record_violation(f"connections sending: more than {limit}")
        self.transaction = ServerTransaction(mail_from, smtputf8, binary, slot, self.connection.turns)

    def end_transaction(self) -> None:
        """End the transaction and free its slot."""
        if self.transaction is not None and self.transaction.slot is not None:
            self.state.usage.free_slot(self.mailbox, self.transaction.slot, self.now)
        self.transaction = None

    def record_violation(self, what: str) -> None:
        """Record a violation of a limit."""
        self.state.recorder.add_violation(self.now, self.mailbox, what)
