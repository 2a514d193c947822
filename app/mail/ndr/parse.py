"""Parser of non-delivery reports (RFC 3462, RFC 3464) for hostile input, and the choice of messages to parse.

Only the parts at the top of the multipart/report are separated, and only headers are parsed: those of the report, the
blocks of message/delivery-status, and those of the returned message. The part for people is localised and never read.
All limits are cuts, not errors: a report with more has less that can be believed.
"""

import re
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import HeaderParser
from itertools import islice

from app.frozen import frozen
from app.mail.outcome.attempt import EnhancedStatus

EXCHANGE_MARK = "x-ms-exchange-message-is-ndr"
_REPORT = "multipart/report"
MAX_SIZE = 1024 * 1024  # bytes; Exchange encloses the returned message, whose headers come first
MAX_HEADER = 64 * 1024  # bytes of one block of headers
MAX_VALUE = 2_000  # characters of a field
MAX_PARTS = 20
MAX_RECIPIENTS = 500  # as many as Exchange allows in a message by default

_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RETURNED = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_EMPTY_LINES = re.compile(rb"\r?\n(?:[ \t]*\r?\n)++")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,995})>")
_TYPE = re.compile(r"\s*(?:rfc822|utf-8|smtp|dns|x-[a-z0-9-]{1,40})\s*;\s*", re.IGNORECASE)  # RFC 3464 §2.1.2


@frozen
class RecipientReport:
    """Block of one recipient. Fields are without their type ("rfc822;"), on one line, "" if absent."""

    recipient: str  # Final-Recipient
    original_recipient: str
    action: str  # in lower case
    status: str  # enhanced status code, "" if it is none
    diagnostic: str
    remote_mta: str


@frozen
class Report:
    """Non-delivery report. `message_id`, without <>, is the returned message's; "" if it has none or several."""

    message_id: str
    recipients: tuple[RecipientReport, ...]


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


def parse(raw: bytes) -> Report | None:
    """Return the report in a message; None if it is none: an automatic reply, a notice of delay or of success, other.

    At least one recipient of a report has the action "failed".
    """
    head, body = _split(raw[:MAX_SIZE])
    headers = _headers(head)
    content_type = _content_type(headers)
    boundary = _boundary(content_type)
    if content_type.get_content_type() != _REPORT or not boundary:
        return None
    named = [*_ids(headers, "in-reply-to")[:1], *_ids(headers, "references")[-1:]]
    recipients: list[RecipientReport] = []
    for kind, part in islice(_parts(body, boundary), MAX_PARTS):
        if kind in _STATUS and not recipients:
            recipients = list(_recipients(part))
        elif kind in _RETURNED:
            named += _ids(_headers(_split(part)[0]), "message-id")
    if all(recipient.action != "failed" for recipient in recipients):
        return None
    return Report(named[0] if len(set(named)) == 1 else "", tuple(recipients))


def _split(block: bytes) -> tuple[bytes, bytes]:
    """Return headers and body."""
    if block.startswith((b"\n", b"\r\n")):
        return b"", block
    end = _EMPTY_LINE.search(block)
    return (block[: end.start()], block[end.end() :]) if end else (block, b"")


def _headers(block: bytes) -> Message:
    return HeaderParser().parsestr(block[:MAX_HEADER].decode("utf-8", "replace"))


def _field(headers: Message, name: str) -> str:
    return " ".join(headers.get(name, "")[:MAX_VALUE].split())


def _content_type(headers: Message) -> Message:
    """Return a message with this Content-Type only, because the parameters' parser is slow on long ones."""
    only = Message()
    only["Content-Type"] = _field(headers, "content-type")
    return only


def _boundary(content_type: Message) -> bytes:
    try:
        return str(content_type.get_boundary("")).encode("ascii")
    except ValueError:  # not ASCII, or an encoding (RFC 2231) that cannot be decoded
        return b""


def _ids(headers: Message, name: str) -> list[str]:
    return _MESSAGE_ID.findall(_field(headers, name))


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield media type and content of each part (RFC 2046 §5.1.1)."""
    sections = (b"\n" + body).split(b"\n--" + boundary, MAX_PARTS + 1)
    for section in sections[1:]:
        if section.startswith(b"--"):
            return
        line, _, part = section.partition(b"\n")
        if line.strip():
            continue  # another boundary that begins like this one
        head, content = _split(part)
        yield _content_type(_headers(head)).get_content_type(), content


def _recipients(status: bytes) -> Iterator[RecipientReport]:
    """Yield the blocks after the first, which is about the message."""
    for block in islice(_blocks(status), MAX_RECIPIENTS + 1):
        fields = _headers(block)
        if "final-recipient" in fields:
            code = _field(fields, "status").partition(" ")[0]  # a comment may follow
            yield RecipientReport(
                recipient=_value(fields, "final-recipient"),
                original_recipient=_value(fields, "original-recipient"),
                action=_field(fields, "action").lower(),
                status=code if EnhancedStatus.parse(code) else "",
                diagnostic=_value(fields, "diagnostic-code"),
                remote_mta=_value(fields, "remote-mta"),
            )


def _blocks(text: bytes) -> Iterator[bytes]:
    start = 0
    for end in _EMPTY_LINES.finditer(text):
        yield text[start : end.start()]
        start = end.end()
    yield text[start:]


def _value(headers: Message, name: str) -> str:
    """Return a field without the type before it."""
    text = _field(headers, name)
    kind = _TYPE.match(text)
    return text[kind.end() :] if kind else text
