"""Recorder of sessions, messages, logins and violations."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")


class Login(NamedTuple):
    """Completed AUTH exchange. `at` is clock time."""

    at: float
    mailbox: str
    mechanism: str
    ok: bool


class Violation(NamedTuple):
    """Violation of a limit. `at` is clock time, `what` a text with the numbers."""

    at: float
    mailbox: str
    what: str


@dataclass(slots=True)
class ReceivedMessage:
    """Message with complete content. `content` is without dot-stuffing and final dot.

    `reply` is the reply to the final dot, "" if none was sent. `turns` counts round trips from MAIL on.
    """

    id: str
    session: str
    mailbox: str
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    at: float
    turns: int
    reply: str = ""
    accepted: bool = False


@dataclass(slots=True)
class RecordedSession:
    """Recorded connection. `commands` contain no credentials and no content.

    `turns` counts round trips, `messages` accepted messages, `logins` AUTH exchanges.
    """

    id: str
    opened_at: float
    closed_at: float | None = None
    ehlo: list[str] = field(default_factory=list)
    tls: str | None = None
    mailbox: str | None = None
    commands: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    turns: int = 0
    messages: int = 0
    logins: int = 0


class Recorder:
    """Last `max_records` records of each kind (None: all). Accepted messages are also written to `folder` as .eml."""

    def __init__(self, max_records: int | None = None, folder: Path | None = None) -> None:
        self.messages: list[ReceivedMessage] = []
        self.sessions: list[RecordedSession] = []
        self.logins: list[Login] = []
        self.violations: list[Violation] = []
        self.accepted = 0  # including those no longer stored
        self._max_records = max_records
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._waiting: dict[asyncio.Future[None], int] = {}

    def add_session(self, session: RecordedSession) -> None:
        """Add a new connection."""
        self._append(self.sessions, session)

    def add_message(self, message: ReceivedMessage) -> None:
        """Add a message with complete content."""
        self._append(self.messages, message)

    def accept(self, message: ReceivedMessage) -> None:
        """Mark a message as accepted and wake the callers of `wait_for`."""
        message.accepted = True
        self.accepted += 1
        if self._folder is not None:
            (self._folder / f"{message.id}.eml").write_bytes(message.content)
        for future, wanted in self._waiting.items():
            if self.accepted >= wanted and not future.done():
                future.set_result(None)

    def add_login(self, login: Login) -> None:
        """Add an AUTH exchange."""
        self._append(self.logins, login)

    def add_violation(self, at: float, mailbox: str, what: str) -> None:
        """Add a violation."""
        self._append(self.violations, Violation(at, mailbox, what))

    async def wait_for(self, count: int, timeout: float) -> None:
        """Wait until `count` messages were accepted since `clear`. Raises TimeoutError after `timeout` real seconds."""
        if self.accepted >= count:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = count
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise TimeoutError(f"{self.accepted} of {count} messages were accepted within {timeout} s") from None
        finally:
            del self._waiting[future]

    def clear(self) -> None:
        """Delete all records except those of open sessions."""
        self.messages.clear()
        self.logins.clear()
        self.violations.clear()
        self.sessions[:] = [session for session in self.sessions if session.closed_at is None]
        self.accepted = 0

    def _append(self, records: list[_T], item: _T) -> None:
        records.append(item)
        if self._max_records is not None:
            del records[: max(0, len(records) - self._max_records)]
