"""One session's state and the ways to answer in it. Reads no command (dialogue.py), carries none out (commands.py)."""

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

# Points at which something is about to be carried out and answered.
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
    chunks: list[bytes] = field(default_factory=list)  # of BDAT


class Session:
    """One connection as Exchange knows it."""

    def __init__(self, office: SimulatorState, wire: SmtpConnection) -> None:
        self.state = office
        self.connection = wire
        self.record = RecordedSession(secrets.token_hex(8).upper(), office.clock.now())
        self.greeted = False
        self.account: Account | None = None
        self.transaction: Transaction | None = None
        self.submitted = 0
        self._instead: str | None = None
        limits, speed = office.usage.limits, office.clock.speed
        wire.idle_timeout = limits.idle / speed
        wire.deadline = wire.loop.time() + limits.session / speed

    @property
    def mailbox(self) -> str:
        """Who is logged in, or ""."""
        return self.account.address if self.account else ""

    @property
    def now(self) -> float:
        """Clock time."""
        return self.state.clock.now()

    def banner(self) -> str:
        """The greeting."""
        if self.state.profile.greeting is not None:
            return self.state.profile.greeting
        date = format_datetime(datetime.fromtimestamp(self.now, UTC))
        return f"220 {SMTP_HOST} Microsoft ESMTP MAIL Service ready at {date} [{self.record.id}]"

    # Answering.

    async def reply(self, text: str, **facts: str) -> None:
        """Answer. It is written when the client's batch is worked off."""
        instead, self._instead = self._instead, None
        text = self._filled(instead if instead is not None and text[0] in "23" else text, facts)
        if self.state.faults.at(Point.REPLY) and await self.apply_faults(Point.REPLY, text):
            return
        self.write_reply(text)

    async def reply_after_tarpit(self, text: str, **facts: str) -> None:
        """Answer after the tarpit's time."""
        if self.state.usage.limits.tarpit:
            await self.connection.flush()
            await self.state.clock.sleep(self.state.usage.limits.tarpit)
        await self.reply(text, **facts)

    def write_reply(self, text: str) -> None:
        """Answer with exactly that, past the script."""
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

    # The script.

    async def apply_faults(
        self, point: Point, usual: str, *, mailbox: str = "", recipient: str = "", only: Armed | None = None
    ) -> bool:
        """True if a fault stands in the place of the `usual` reply. `mailbox` is who tries to log in."""
        if not self.state.faults.at(point):
            return False
        transaction = self.transaction
        moment = FaultContext(
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
            override_reply=self._answer_instead,
        )
        return await self.state.faults.apply(moment, only)

    def _answer_instead(self, text: str) -> None:
        self._instead = text

    # The transaction.

    def begin(self, mail_from: str, *, smtputf8: bool, binary: bool) -> None:
        """MAIL was accepted: from here on a sending slot is used."""
        slot = self.state.usage.take_slot(self.mailbox, self.now)
        if slot is None:
            limit = self.state.usage.limits.connections_sending
            self.record_violation(f"connections sending: more than {limit}")
        self.transaction = Transaction(mail_from, smtputf8, binary, slot, self.connection.turns)

    def end(self) -> None:
        """The transaction is over, whatever came of it; its slot becomes free."""
        if self.transaction is not None and self.transaction.slot is not None:
            self.state.usage.free_slot(self.mailbox, self.transaction.slot, self.now)
        self.transaction = None

    def record_violation(self, what: str) -> None:
        """The client went over a limit."""
        self.state.recorder.add_violation(self.now, self.mailbox, what)
