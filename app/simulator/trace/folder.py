"""Folder of a mailbox: its messages, and the log of its changes that delta queries page through."""

from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Any, NamedTuple

from app.mail.office365.graph import iso_seconds

FILTER_LIMIT = 5_000  # messages that the first round of a query with $filter returns (Graph's documentation)


@dataclass(frozen=True, slots=True)
class FolderItem:
    """Message in a folder, received at epoch seconds."""

    id: str
    raw: bytes
    received_at: float

    def as_json(self, *, headers: bool) -> dict[str, Any]:
        """Return the resource message with the members that are selected here."""
        shown: dict[str, Any] = {
            "@odata.type": "#microsoft.graph.message",
            "@odata.etag": f'W/"{self.id}"',
            "id": self.id,
            "receivedDateTime": iso_seconds(self.received_at),
        }
        if headers:
            parsed = BytesHeaderParser(policy=compat32).parsebytes(self.raw)
            fields = ((name, " ".join(str(value).split())) for name, value in parsed.items())
            shown["internetMessageHeaders"] = [{"name": name, "value": value} for name, value in fields]
        return shown


class Cursor(NamedTuple):
    """State of a delta query, which a link contains. `first`: of the first round, which has no removals."""

    generation: int
    position: int
    first: bool
    since: float  # of $filter; 0: none
    created_only: bool
    returned: int  # messages so far in the first round


class Change(NamedTuple):
    """Entry of the log: a message that was created or updated, or, without `item`, removed."""

    id: str
    item: FolderItem | None
    created: bool

    def as_json(self, *, headers: bool) -> dict[str, Any]:
        """Return the entry of a page."""
        if self.item is None:
            removed = {"reason": "deleted"}
            return {"@odata.type": "#microsoft.graph.message", "id": self.id, "@removed": removed}
        return self.item.as_json(headers=headers)


class Folder:
    """Folder. Its log has every change, oldest first."""

    def __init__(self) -> None:
        self.items: dict[str, FolderItem] = {}
        self._log: list[Change] = []

    def add(self, item: FolderItem) -> None:
        """Add a message."""
        self.items[item.id] = item
        self._log.append(Change(item.id, item, created=True))

    def touch(self, id: str) -> None:
        """Log an update, such as that it was read."""
        self._log.append(Change(id, self.items[id], created=False))

    def remove(self, id: str) -> FolderItem:
        """Remove a message, and return it."""
        self._log.append(Change(id, None, created=False))
        return self.items.pop(id)

    def page(self, cursor: Cursor, size: int) -> tuple[list[Change], Cursor, bool]:
        """Return the next changes, the state after them, and whether more follow."""
        limit = FILTER_LIMIT - cursor.returned if cursor.first and cursor.since else len(self._log)
        found: list[Change] = []
        position = cursor.position
        while position < len(self._log) and len(found) < min(size, limit):
            change = self._log[position]
            position += 1
            if self._is_selected(change, cursor):
                found.append(change)
        rest = any(self._is_selected(change, cursor) for change in self._log[position:])
        more = rest and len(found) < limit
        after = cursor._replace(position=position if more else len(self._log), returned=cursor.returned + len(found))
        return found, after if more else after._replace(first=False), more

    def _is_selected(self, change: Change, cursor: Cursor) -> bool:
        if cursor.first:
            return change.created and change.id in self.items and self.items[change.id].received_at >= cursor.since
        if change.item is not None and change.item.received_at < cursor.since:
            return False
        return change.created or not cursor.created_only
