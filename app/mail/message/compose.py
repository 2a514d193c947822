"""Composition of a submission as RFC 5322 bytes, once, at acceptance; every attempt sends the same bytes.

Only a new time of a scheduled email changes them: `redate` replaces the Date.

Pure and deterministic: equal arguments give equal bytes. It does not use the standard library's generator, which
would be the slowest step of a submission; the tests verify the result with that library's parser.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID

from app.mail.message import custom_fields, headers, mime
from app.mail.message.address import Address
from app.mail.message.html_to_text import text_from_html
from app.mail.message.message import Envelope, Message, Submission
from app.mail.message.mime import Entity

_DATE_FIELD = b"\r\nDate: "


def compose(submission: Submission, *, id: UUID, now: datetime) -> Message:
    """Return the message with envelope and content. `now` is aware. Raises ValueError for invalid values."""
    message_id = submission.message_id or f"{id}@{submission.sender.domain}"
    root = _root(submission, id.hex)
    head = "".join(_fields(submission, message_id, now)) + root.head + "\r\n"
    return Message(_envelope(submission), message_id, b"".join((head.encode(), *root.body)))


def _envelope(submission: Submission) -> Envelope:
    recipients = tuple(_unique((*submission.to, *submission.cc, *submission.bcc)))
    mail_from = submission.sender.addr_spec
    everyone = "".join((mail_from, *recipients))
    headers.check_value(everyone)  # an SMTP command is a line, too
    return Envelope(
        mail_from=mail_from,
        rcpt_to=recipients,
        smtputf8=not (everyone.isascii() and all(address.local.isascii() for address in submission.reply_to)),
    )


def _unique(addresses: Iterable[Address]) -> Iterable[str]:
    """Return the addr-specs without duplicates, in order. Only domains ignore case (RFC 5321 §2.4)."""
    found: dict[tuple[str, str], str] = {}
    for address in addresses:
        found.setdefault((address.local, address.domain.lower()), address.addr_spec)
    return found.values()


def _fields(submission: Submission, message_id: str, now: datetime) -> Iterator[str]:
    """Yield the header fields except those of the MIME content. Bcc is only in the envelope."""
    headers.check_message_id(message_id)
    yield headers.address_list("From", (submission.sender,))
    for name, addresses in (("To", submission.to), ("Cc", submission.cc), ("Reply-To", submission.reply_to)):
        if addresses:
            yield headers.address_list(name, addresses)
    yield headers.unstructured("Subject", submission.subject)
    yield f"Date: {_date(now)}\r\nMessage-ID: <{message_id}>\r\nMIME-Version: 1.0\r\n"
    for name, value in submission.headers:
        if not headers.is_reserved(name):
            yield custom_fields.custom_field(name, value)
    if submission.original_to:
        yield custom_fields.custom_field("X-Postern-Original-To", ", ".join(submission.original_to))


def _date(now: datetime) -> str:
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    day, month, number, clock, year = now.astimezone(UTC).ctime().split()  # in English everywhere
    return f"{day}, {number:0>2} {month} {year} {clock} +0000"


def _root(submission: Submission, key: str) -> Entity:
    """Return mixed(alternative(text, related(html, inline files)), other files), without unneeded levels.

    No part can contain a boundary: `key` is an id that is generated after the content was received.
    """
    inline, apart = [], []
    for file in submission.attachments:
        if file.content_id and file.is_inline and submission.html:  # only HTML can refer to it
            inline.append(mime.attachment(file, "inline"))
        else:
            apart.append(mime.attachment(file, "attachment"))
    content = _alternative(submission, inline, key)
    return mime.multipart("mixed", f"=_{key}_0", [content, *apart]) if apart else content


def _alternative(submission: Submission, inline: list[Entity], key: str) -> Entity:
    if not submission.html:
        return mime.text("plain", submission.text or "")
    html = mime.text("html", submission.html)
    if inline:
        html = mime.multipart('related; type="text/html"', f"=_{key}_2", [html, *inline])
    plain = text_from_html(submission.html) if submission.text is None else submission.text
    if not plain:
        return html
    return mime.multipart("alternative", f"=_{key}_1", [mime.text("plain", plain), html])


def redate(content: bytes, moment: float) -> bytes:
    """Replace the Date (RFC 5322 §3.6.1) by that of `moment` (epoch seconds); content without a Date stays as it is.

    A Date in the future looks like spam, and an email with a past one is sorted below newer ones. The length stays.
    """
    head_ends = content.find(b"\r\n\r\n")
    start = content.find(_DATE_FIELD, 0, head_ends + 1)  # a folded line never begins so
    if start < 0:
        return content
    value = start + len(_DATE_FIELD)
    date = format_datetime(datetime.fromtimestamp(moment, UTC)).encode("ascii")
    return b"".join((content[:value], date, content[content.index(b"\r\n", value) :]))
