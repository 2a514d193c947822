"""Query of the list: search text, tab, days and position, in the parameters of the URL and the fields of a form."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

from app.console import days
from app.mail.lifecycle import LastEvent, MessageState
from app.store.read import email_filters, email_search
from app.store.read.records import Selection

_CURSORS = ("after", "before")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Query as the operator gave it. `since` and `until` are days in UTC, both included."""

    q: str = ""
    state: str = ""  # member of EVENTS
    since: str = ""
    until: str = ""
    after: str = ""  # id of an email: only older ones
    before: str = ""  # only newer ones

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Return the query of these parameters or fields. An event among the words of `q` becomes the tab."""
        query = cls(**{name: fields.get(name, "").strip() for name in cls.__slots__})
        text, event = email_search.split_event(query.q)
        return replace(query, q=text, state=event or query.state)

    @property
    def filters(self) -> Mapping[str, str]:
        """Return the parameters that are given, without the position."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value and name not in _CURSORS}

    @property
    def is_search(self) -> bool:
        """True if a filter beside the tab is given."""
        return bool(self.filters.keys() - {"state"})

    @property
    def days(self) -> tuple[str, str]:
        """Return `since` and `until` as the inputs of dates accept them, without what is no date."""
        return days.as_input(self.since), days.as_input(self.until)

    @property
    def all_url(self) -> str:
        """Return the query string of the tab without a search."""
        return f"?{urlencode({'state': self.state})}" if self.state else ""

    def url(self, **changes: str) -> str:
        """Return the query string of the first page with other filters, or of the page at a position."""
        values = {name: value for name, value in {**self.filters, **changes}.items() if value}
        return f"?{urlencode(values)}" if values else ""

    def selection(self, keys: Mapping[UUID, str], now: float) -> Selection:
        """Return the selection. `keys`: names of the API keys. Raises ValueError with sentences for people."""
        values = email_search.parse(self.q, keys, now)
        for name, rule in _RULES.items():
            text, field = getattr(self, name), _FIELDS.get(name, name)
            if text:
                try:
                    values[field] = rule(text)
                except ValueError as error:
                    raise ValueError(f"{name.capitalize()}: {error}") from None
        return email_filters.selection(values)


_FIELDS = {"state": "event", "since": "created_after", "until": "created_before"}
_RULES: Mapping[str, email_filters.Rule] = {
    "state": email_filters.event,
    "since": days.first_id,
    "until": days.first_id_after,
    **dict.fromkeys(_CURSORS, email_filters.email_id),
}


def event_of(selection: Selection) -> MessageState | LastEvent | None:
    """Return the event of a selection; None: all."""
    return selection.state or selection.last_event
