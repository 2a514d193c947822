"""Range of days that a form asks for: in UTC, both included."""

import re
from uuid import UUID

from app.mail.times import DAY
from app.store.db import uuid7
from app.store.read import email_filters

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def first_id(day: str) -> UUID:
    """Return the first id of a day. Raises ValueError with a sentence for people."""
    return uuid7.first_at(_start(day))


def first_id_after(day: str) -> UUID:
    """Return the first id after a day. Raises ValueError with a sentence for people."""
    return uuid7.first_at(_start(day) + DAY)


def as_input(text: str) -> str:
    """Return a day as an input of type `date` accepts it; "" if it is none."""
    return text if _DATE.fullmatch(text) else ""


def _start(day: str) -> float:
    return uuid7.timestamp_of(email_filters.first_id(day, 0.0))
