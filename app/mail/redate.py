"""Another Date for a message that was composed for a later day and was never offered. Pure.

The Date says when a message was to be sent (RFC 5322 §3.6.1), so it goes with the schedule: one in the future looks
like spam, and one in the past is sorted where nobody looks. Nothing else of the content changes, nor its length.
"""

from datetime import UTC, datetime
from email.utils import format_datetime

_FIELD = b"\r\nDate: "


def redate(content: bytes, moment: float) -> bytes:
    """The content with the Date of this moment (epoch seconds); as it was if it has no Date."""
    head_ends = content.find(b"\r\n\r\n")
    start = content.find(_FIELD, 0, head_ends + 1)  # no line of a folded field begins so, and no caller adds a Date
    if start < 0:
        return content
    value = start + len(_FIELD)
    date = format_datetime(datetime.fromtimestamp(moment, UTC)).encode("ascii")
    return b"".join((content[:value], date, content[content.index(b"\r\n", value) :]))
