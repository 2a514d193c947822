"""Choice of the messages of a mailbox that can be non-delivery reports, by their header fields alone. Pure."""

from collections.abc import Iterable

EXCHANGE_MARK = "x-ms-exchange-message-is-ndr"
_REPORT = "multipart/report"


def is_candidate(fields: Iterable[tuple[str, str]]) -> bool:
    """Return whether a message with these header fields (name, value) has to be read to see if it is a report.

    A report of another server has no mark of Exchange, so the media type counts too (RFC 3462).
    """
    for name, value in fields:
        if name.lower() == EXCHANGE_MARK:
            return True
        if name.lower() == "content-type" and value.lstrip().lower().startswith(_REPORT):
            return True
    return False
