"""Parser of the rows and details of Exchange's message trace, as Microsoft Graph returns them (JSON). Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.frozen import frozen

_MAX_TEXT = 2_000  # characters of a member that is read


@frozen
class TraceRow:
    """Row of one message and one recipient (exchangeMessageTrace).

    `network_id` is Exchange's id of the message, the same for all its recipients; None: the row is that of a
    non-delivery report, which does not have it.
    """

    network_id: UUID | None
    message_id: str  # without <>
    recipient: str
    received_at: float  # epoch seconds, whole, by Exchange's clock
    status: str


@frozen
class TraceDetail:
    """Event of one message for one recipient (exchangeMessageTraceDetail)."""

    at: float  # epoch seconds
    event: str
    description: str


def parse_rows(documents: Iterable[object]) -> list[TraceRow]:
    """Return the rows of a page; documents without the expected members are left out."""
    rows = (_row(document) for document in documents if isinstance(document, dict))
    return [row for row in rows if row is not None]


def parse_details(documents: Iterable[object]) -> list[TraceDetail]:
    """Return the events of one row, in time; documents without the expected members are left out."""
    details = (_detail(document) for document in documents if isinstance(document, dict))
    return sorted((detail for detail in details if detail is not None), key=lambda detail: detail.at)


def bare_message_id(text: str) -> str:
    """Return a Message-ID without white space and angle brackets around it. Case is significant."""
    text = text.strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _row(document: Mapping[str, Any]) -> TraceRow | None:
    try:
        return TraceRow(
            network_id=UUID(document["id"]),
            message_id=bare_message_id(document["messageId"]),
            recipient=document["recipientAddress"].strip()[:_MAX_TEXT],
            received_at=_seconds(document["receivedDateTime"]),
            status=document["status"].strip()[:_MAX_TEXT],
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _detail(document: Mapping[str, Any]) -> TraceDetail | None:
    try:
        at, event = _seconds(document["dateTime"]), document["event"].strip()
        return TraceDetail(at, event[:_MAX_TEXT], (document.get("description") or "").strip()[:_MAX_TEXT])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _seconds(text: str) -> float:
    """Return epoch seconds of an RFC 3339 time, which is in UTC without an offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
