"""Client of one mailbox in Microsoft Graph (v1.0): new messages of a folder, their header fields and MIME content.

Each method sends one GET and does not repeat it; nothing is moved, deleted or marked as read. Ids are immutable ones,
which a message keeps when it is moved to another folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.mail.ndr.parse import MAX_SIZE
from app.mail.office365.graph import MAIL_PERMISSION, MAIL_ROLE, iso_seconds
from app.mail.times import moment
from app.message_trace.graph import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, GraphConnection, GraphError

INBOX, JUNK = "inbox", "junkemail"
PAGE_SIZE = 200  # messages
FILTER_LIMIT = 5_000  # messages that the first round of a query with a filter returns at most (Graph's documentation)
FIXES = {
    UNAUTHORIZED: "Check that the app belongs to the tenant of the mailbox.",
    FORBIDDEN: f"Give the app {MAIL_PERMISSION} for this mailbox: the role {MAIL_ROLE!r} of RBAC for Applications.",
    NOT_FOUND: "Check that the address is that of a mailbox in Exchange Online.",
}
_HEADERS = "internetMessageHeaders"
_PREFER = {"Prefer": f'odata.maxpagesize={PAGE_SIZE}, IdType="ImmutableId"'}

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FolderMessage:
    """New message. `fields` are its header fields (name, value); None: the page does not have them."""

    id: str
    received_at: float  # epoch seconds, 0.0 if it is unknown
    fields: Fields | None


@dataclass(frozen=True, slots=True)
class FolderPage:
    """Page of a round. `link` leads to the next page, or, without `more`, to the next round."""

    messages: Sequence[FolderMessage]
    link: str
    more: bool


class MailboxClient:
    """Client of the folders of `mailbox`."""

    def __init__(self, graph: GraphConnection, mailbox: str) -> None:
        self.mailbox = mailbox
        self._graph = graph
        self._user = f"{graph.base}/v1.0/users/{quote(mailbox)}"
        self.service_time = graph.service_time
        self.close = graph.close

    async def first_page(self, folder: str, since: float | None) -> FolderPage:
        """Return the first page of a folder: messages received since then (epoch seconds). Raises GraphError."""
        url = f"{self._user}/mailFolders/{folder}/messages/delta?changeType=created&$select=receivedDateTime,{_HEADERS}"
        return await self._page(
            url if since is None else f"{url}&$filter={quote(f'receivedDateTime ge {iso_seconds(since)}')}"
        )

    async def next_page(self, link: str) -> FolderPage:
        """Return the page of a link. Raises GraphError, with the status GONE if the round has to start again."""
        return await self._page(self._graph.check_link(link))

    async def fields(self, id: str) -> Fields:
        """Return the header fields of a message. Raises GraphError."""
        return _fields(await self._graph.get_json(f"{self._message(id)}?$select={_HEADERS}", _PREFER)) or ()

    async def content(self, id: str) -> bytes:
        """Return the first MAX_SIZE bytes of a message. Raises GraphError."""
        return await self._graph.get(f"{self._message(id)}/$value", MAX_SIZE, _PREFER)

    def _message(self, id: str) -> str:
        return f"{self._user}/messages/{quote(id, safe='')}"

    async def _page(self, url: str) -> FolderPage:
        answer = await self._graph.get_json(url, _PREFER)
        value = answer.get("value")
        documents = value if isinstance(value, list) else []
        found = [_message(document) for document in documents if isinstance(document, dict)]
        following = answer.get("@odata.nextLink")
        link = following or answer.get("@odata.deltaLink")
        if not isinstance(link, str):
            raise GraphError("Microsoft Graph's page of a folder has no link.", transient=True)
        return FolderPage([message for message in found if message is not None], link, more=following is not None)


def _message(document: Mapping[str, Any]) -> FolderMessage | None:
    """Return a message; None for one that was removed, and for other documents."""
    id = document.get("id")
    if not isinstance(id, str) or "@removed" in document:
        return None
    return FolderMessage(id, moment(str(document.get("receivedDateTime"))) or 0.0, _fields(document))


def _fields(document: Mapping[str, Any]) -> Fields | None:
    fields = document.get(_HEADERS)
    if not isinstance(fields, list):
        return None
    pairs = ((field.get("name"), field.get("value")) for field in fields if isinstance(field, dict))
    return [(name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]
