"""Inbox and Junk Email of the simulated mailboxes, with the non-delivery reports about what the simulator accepted.

A report is about a recipient whose fate has a failure, or a delay with a code, and arrives at the sender's mailbox.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

from app.simulator.protocol import content
from app.simulator.recorder import ReceivedMessage
from app.simulator.trace.errors import GraphError, ScriptedErrors
from app.simulator.trace.fates import Step, fate_of
from app.simulator.trace.folder import Change, Cursor, Folder, FolderItem
from app.simulator.trace.ndr import report
from app.simulator.trace.tenant_trace import TenantTrace

INBOX, JUNK = "inbox", "junkemail"
DEFAULT_PAGE_SIZE = 10  # of Graph


class MailRequest(NamedTuple):
    """Request to the mailboxes, of any method. `at` is clock time."""

    at: float
    method: str
    path: str
    status: int


class Mailboxes:
    """Folders of all mailboxes. `delay`: seconds after which a report arrives; `reports_to` is its folder.

    `readable`: mailboxes that the app may read; None: all. `headers_in_pages`: a delta query has the header fields if
    they are selected. `referenced`: the header of a report names the message. `broken`: ids that are answered 500.
    """

    def __init__(self, model: TenantTrace) -> None:
        self.delay = 0.0
        self.reports_to = INBOX
        self.referenced = True
        self.readable: set[str] | None = None
        self.headers_in_pages = True
        self.broken: set[str] = set()
        self.requests: list[MailRequest] = []
        self._model = model
        self._accounts = model.simulator.accounts
        self._folders: dict[tuple[str, str], Folder] = defaultdict(Folder)
        self._reported: set[tuple[str, float, str, int]] = set()
        self._errors = ScriptedErrors()
        self._generation = 0

    # Scripts.

    def add(self, mailbox: str, raw: bytes, folder: str = INBOX) -> str:
        """Add a message that did not come from the simulator, and return its id."""
        item = FolderItem(f"AAkA{uuid4().hex}=", raw, self._model.clock.now())
        self.folder(mailbox, folder).add(item)
        return item.id

    def move(self, mailbox: str, id: str, source: str, target: str) -> None:
        """Move a message to another folder. It keeps its immutable id."""
        self.folder(mailbox, target).add(self.folder(mailbox, source).remove(id))

    def expire(self) -> None:
        """Forget the state of all delta queries, so that their links are answered 410."""
        self._generation += 1

    def fail(self, status: int, *, times: int = 1, retry_after: int | None = None) -> None:
        """Answer the next `times` requests with this status."""
        self._errors.add(status, times, retry_after)

    # Responses.

    def folder(self, mailbox: str, name: str) -> Folder:
        """Return a folder with the reports that have arrived. Raises GraphError."""
        name = name.lower()
        if name not in (INBOX, JUNK):
            raise GraphError(404, "ErrorItemNotFound", "The specified folder was not found in the store.")
        self._deliver()
        return self._folders[mailbox.lower(), name]

    def check(self, mailbox: str, authorization: str) -> None:
        """Check that the app may read the mailbox. Raises GraphError."""
        self._errors.check()
        self._model.check_token(authorization)
        if self._accounts.get(mailbox) is None:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{mailbox}' is invalid.")
        if self.readable is not None and mailbox.lower() not in self.readable:
            raise GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")

    def first(self, *, since: float, created_only: bool) -> Cursor:
        """Return the state of a new delta query."""
        return Cursor(self._generation, 0, first=True, since=since, created_only=created_only, returned=0)

    def page(self, mailbox: str, name: str, cursor: Cursor, size: int) -> tuple[list[Change], Cursor, bool]:
        """Return the next changes of a folder, the state after them, and whether more follow. Raises GraphError."""
        if cursor.generation != self._generation:
            raise GraphError(410, "SyncStateNotFound", "The sync state generation is not found.")
        return self.folder(mailbox, name).page(cursor, size)

    def item(self, mailbox: str, id: str) -> FolderItem:
        """Return a message of any folder. Raises GraphError."""
        if id in self.broken:
            raise GraphError(500, "ErrorInternalServerError", "An internal server error occurred.")
        for name in (INBOX, JUNK):
            if (item := self.folder(mailbox, name).items.get(id)) is not None:
                return item
        raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    def record(self, method: str, path: str, status: int) -> None:
        """Record a request."""
        self.requests.append(MailRequest(self._model.clock.now(), method, path, status))

    def _deliver(self) -> None:
        """Put the reports that are due into the folders, in the order of their times."""
        for at, message, recipient, step in sorted(self._due(), key=lambda due: due[0]):
            sender = message.mail_from if self._accounts.get(message.mail_from) else message.mailbox
            named = content.header_fields(message.content).message_id or ""
            raw = report(message, recipient, step, at, message_id=named, referenced=self.referenced)
            self._folders[sender.lower(), self.reports_to].add(FolderItem(f"AAkA{uuid4().hex}=", raw, at))

    def _due(self) -> Iterator[tuple[float, ReceivedMessage, str, Step]]:
        now = self._model.clock.now()
        for message in self._model.simulator.messages:
            for recipient in message.recipients if message.accepted else ():
                for number, step in enumerate(fate_of(recipient, self._model.fates)):
                    at, key = message.at + step.after + self.delay, (message.id, message.at, recipient, number)
                    if at <= now and key not in self._reported and (step.status == "failed" or step.code):
                        self._reported.add(key)
                        yield at, message, recipient, step
