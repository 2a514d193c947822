"""Email message: a submission, and its composition as RFC 5322 bytes. Every attempt sends the same bytes.

Only a new time of a scheduled email changes them: `redate` replaces the Date. Composition is pure and deterministic. It
does not use the standard library's generator, which would be the slowest step of a submission; the tests verify the
result with that library's parser. Text has the least encoding that SMTP permits; base64 of attachments is copied from
JSON without decoding.
"""

import binascii
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from app.frozen import frozen
from app.mail.message import headers
from app.mail.message.address import Address
from app.mail.message.headers import LIMIT, check_content_id
from app.mail.message.html_to_text import text_from_html

_DATE_FIELD = b"\r\nDate: "

_COLUMNS = 76  # RFC 2045 §6.8
_BLOCK = struct.Struct(f"{_COLUMNS}s" * 1024)  # cuts 1,024 lines in one call
_ODD = bytes({*range(32), 127} - {*b"\t\r\n"})  # control characters that 7bit should not carry
_NOT_ASCII = bytes(range(128, 256))

OCTET_STREAM = "application/octet-stream"

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]"  # noqa: S105 - the RFC's word
_ATTRIBUTE = r"[A-Za-z0-9!#$&+.^_`{|}~-]"  # a token without * ' %, which RFC 2231 reserves
_CONTENT_TYPE = re.compile(rf"[ \t]*({_TOKEN}{{1,127}})/({_TOKEN}{{1,127}})")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*({_ATTRIBUTE}{{1,60}})[ \t]*=[ \t]*(?:({_TOKEN}+)|"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)")'
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_PARAMETERS_END = re.compile(r"[ \t;]*")
_PLAIN_TOKEN = re.compile("[A-Za-z0-9_-]+")  # other tokens are quoted, because some readers cannot parse them
_PLAIN_QUOTED = re.compile(r"(?!.*=\?)[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?")  # nothing that needs a backslash
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`{|}~"


class OnUnknown(StrEnum):
    """Policy for a connection that is lost between the final dot and its reply (app/DESIGN.md, guarantee 2)."""

    RETRY_ONCE = "retry_once"
    HOLD = "hold"
    ASSUME_SENT = "assume_sent"


class Lane(StrEnum):
    """Priority lane: urgent before normal before bulk (deploy/docs/api.md)."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"

    @property
    def rank(self) -> int:
        """Rank of the lane; 0 is sent first."""
        return _RANKS[self]


_RANKS = {lane: rank for rank, lane in enumerate(Lane)}


@frozen
class Attachment:
    """Attached file. `base64` is canonical RFC 4648 base64 (padded, no white space), so sending needs no decoding."""

    filename: str
    content_type: str
    base64: bytes
    content_id: str | None = None  # without <> (RFC 2392)
    is_inline: bool = True  # the HTML refers to its content id

    @property
    def size(self) -> int:
        """Size in bytes after decoding."""
        return len(self.base64) * 3 // 4 - self.base64.count(b"=", -2)


@frozen
class Submission:
    """Validated email of a caller. Every value is safe to compose."""

    sender: Address
    to: tuple[Address, ...]
    subject: str
    html: str | None = None
    text: str | None = None  # None: made from html; "": no text part
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None  # the caller's own Message-ID, without <>
    scheduled_at: float | None = None  # epoch seconds
    expires_in: float | None = None  # seconds after acceptance (or after scheduled_at)
    on_unknown: OnUnknown = OnUnknown.RETRY_ONCE
    lane: Lane = Lane.NORMAL
    coalesce: str | None = None  # of several with the same value only the newest is sent
    original_to: tuple[str, ...] = ()  # addr-specs of the original recipients of a redirected message


@frozen
class Envelope:
    """SMTP envelope (RFC 5321 §2.3.1). Addresses are addr-specs with A-label domains, each recipient once."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    smtputf8: bool = False  # a local part is not ASCII, or a header address carries one (RFC 6531)


@frozen
class Message:
    """Composed message: every attempt sends the same bytes and Message-ID."""

    envelope: Envelope
    message_id: str  # without <>
    content: bytes = field(repr=False)  # RFC 5322, CRLF, ends with CRLF, not dot-stuffed


@frozen
class MessageSummary:
    """Header fields, tags and caller of a message, for people. Addresses are rendered as the caller wrote them."""

    sender: str
    to: tuple[str, ...]
    subject: str
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # custom headers of the caller
    client: str = ""  # network address of the caller; "" if it is not known


class Entity(NamedTuple):
    """Header lines with CRLF, and the body's bytes in pieces. The body of a leaf ends with CRLF only if it is text."""

    head: str
    body: tuple[bytes, ...]


def summarize(submission: Submission, client: str) -> MessageSummary:
    """Return the summary of an email that was submitted from this network address."""
    return MessageSummary(
        sender=submission.sender.render(),
        to=tuple(map(Address.render, submission.to)),
        subject=submission.subject,
        cc=tuple(map(Address.render, submission.cc)),
        bcc=tuple(map(Address.render, submission.bcc)),
        reply_to=tuple(map(Address.render, submission.reply_to)),
        tags=submission.tags,
        headers=submission.headers,
        client=client,
    )


def compose(submission: Submission, *, id: UUID, now: datetime) -> Message:
    """Return the message with envelope and content. `now` is aware. Raises ValueError for invalid values."""
    message_id = submission.message_id or f"{id}@{submission.sender.domain}"
    root = _root(submission, id.hex)
    head = f"{_fields(submission, message_id, now)}{root.head}\r\n"
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


def _fields(submission: Submission, message_id: str, now: datetime) -> str:
    """Return the header fields except those of the MIME content. Bcc is only in the envelope."""
    headers.check_message_id(message_id)
    fields = headers.address_list("From", (submission.sender,))
    for name, addresses in (("To", submission.to), ("Cc", submission.cc), ("Reply-To", submission.reply_to)):
        if addresses:
            fields += headers.address_list(name, addresses)
    fields += headers.unstructured("Subject", submission.subject)
    fields += f"Date: {_date(now)}\r\nMessage-ID: <{message_id}>\r\nMIME-Version: 1.0\r\n"
    for name, value in submission.headers:
        if not headers.is_reserved(name):
            fields += headers.custom_field(name, value)
    if submission.original_to:
        fields += headers.custom_field("X-Postern-Original-To", ", ".join(submission.original_to))
    return fields


@lru_cache(64)
def _date(now: datetime) -> str:
    """Return the value of Date. Emails that are composed in one second share it."""
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
            inline.append(_attachment_part(file, "inline"))
        else:
            apart.append(_attachment_part(file, "attachment"))
    content = _alternative(submission, inline, key)
    return _multipart("mixed", f"=_{key}_0", [content, *apart]) if apart else content


def _alternative(submission: Submission, inline: list[Entity], key: str) -> Entity:
    if not submission.html:
        return _text_part("plain", submission.text or "")
    html = _text_part("html", submission.html)
    if inline:
        html = _multipart('related; type="text/html"', f"=_{key}_2", [html, *inline])
    plain = text_from_html(submission.html) if submission.text is None else submission.text
    if not plain:
        return html
    return _multipart("alternative", f"=_{key}_1", [_text_part("plain", plain), html])


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


def _text_part(subtype: str, content: str) -> Entity:
    """Return text/plain or text/html in UTF-8; every line ends with CRLF."""
    encoding, data = _encode(_lines(content.encode()))
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Entity(head, (data,))


def _attachment_part(file: Attachment, disposition: str) -> Entity:
    """Return one file in base64. Raises HeaderError for an invalid content id."""
    kind, settings = content_type(file.content_type)
    if kind.startswith(("message/", "multipart/")):
        # RFC 2046 §5.2.1 and RFC 2045 §6.4 forbid base64 on these. Without an encoding Exchange would rewrite a
        # forwarded message (it renders MIME again), and it may not be 7bit; so it is sent as a file, byte for byte.
        kind, settings = OCTET_STREAM, {}
    named = {"filename": file.filename} if file.filename else {}
    head = (
        mime_field("Content-Type", kind, settings)
        + "Content-Transfer-Encoding: base64\r\n"
        + mime_field("Content-Disposition", disposition, named)
    )
    if file.content_id:
        check_content_id(file.content_id)
        head += f"Content-ID: <{file.content_id}>\r\n"
    return Entity(head, tuple(base64_lines(file.base64)))


def _multipart(subtype: str, boundary: str, parts: Sequence[Entity]) -> Entity:
    """Return `parts` in order (RFC 2046 §5.1). `boundary` must not occur in them; `subtype` may have parameters."""
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n'
    body: list[bytes] = []
    for number, part in enumerate(parts):
        opening = f"\r\n--{boundary}\r\n" if number else f"--{boundary}\r\n"
        body.append(f"{opening}{part.head}\r\n".encode())
        body += part.body
    body.append(f"\r\n--{boundary}--\r\n".encode())
    return Entity(head, tuple(body))


def base64_lines(data: bytes) -> list[bytes]:
    """Return canonical base64 cut into lines of 76 columns with CRLF between them, in pieces to be joined."""
    pieces: list[bytes] = []
    whole = len(data) - len(data) % _BLOCK.size
    for start in range(0, whole, _BLOCK.size):
        pieces += (b"\r\n".join(_BLOCK.unpack_from(data, start)), b"\r\n")
    if whole == len(data):
        return pieces[:-1]
    return [*pieces, b"\r\n".join([data[start : start + _COLUMNS] for start in range(whole, len(data), _COLUMNS)])]


def _lines(data: bytes) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    return data.replace(b"\n", b"\r\n")


def _encode(data: bytes) -> tuple[str, bytes]:
    """Return the transfer encoding (RFC 2045 §6) and the encoded lines. `data` has CRLF only."""
    if data.isascii() and len(data.translate(None, _ODD)) == len(data) and _fits(data):
        return "7bit", data
    if data.isascii() or len(data.translate(None, _NOT_ASCII)) * 6 >= len(data) * 5:
        return "quoted-printable", binascii.b2a_qp(data)
    return "base64", b"".join(base64_lines(binascii.b2a_base64(data, newline=False))) + b"\r\n"


def _fits(data: bytes) -> bool:
    """Return True if no line exceeds LIMIT. `data` ends with CRLF."""
    start, room = 0, LIMIT + len(b"\r\n")
    while len(data) - start > room:
        start = data.rfind(b"\r\n", start, start + room) + 2
        if start < 2:
            return False
    return True


def content_type(text: str) -> tuple[str, Mapping[str, str]]:
    """Parse `type/subtype` and its parameters (first of each name); an invalid type gives application/octet-stream."""
    match = _CONTENT_TYPE.match(text)
    if not match:
        return OCTET_STREAM, {}
    kind = f"{match[1]}/{match[2]}".lower()
    parameters: dict[str, str] = {}
    while following := _PARAMETER.match(text, match.end()):
        match = following
        name, token, quoted = match.groups()
        parameters.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if token is None else token)
    return (kind, parameters) if _PARAMETERS_END.fullmatch(text, match.end()) else (OCTET_STREAM, {})


def mime_field(name: str, value: str, parameters: Mapping[str, str]) -> str:
    """Return a MIME header field; parameters that do not fit have their own lines."""
    line = f"{name}: {value}"
    for attribute, setting in parameters.items():
        for text in mime_parameter(attribute, setting):
            last = len(line) - line.rfind("\n") - 1
            line += ("; " if last + 2 + len(text) < _COLUMNS else ";\r\n ") + text
    return line + "\r\n"


def mime_parameter(name: str, value: str) -> list[str]:
    """Return the parameter as token or quoted-string, else as percent-encoded UTF-8 in several pieces."""
    if len(name) + len(value) < _COLUMNS - len(' ="";'):
        if _PLAIN_TOKEN.fullmatch(value):
            return [f"{name}={value}"]
        if _PLAIN_QUOTED.fullmatch(value):
            return [f'{name}="{value}"']
    return _extended_parameter(name, value)


def _extended_parameter(name: str, value: str) -> list[str]:
    """Encode by RFC 2231 §3 and §4, with whole characters in each piece, because some readers decode each alone."""
    pieces = ["utf-8''"]
    room = _COLUMNS - len(name) - len(" *000*=;")
    for character in value:
        encoded = quote(character, safe=_ATTRIBUTE_CHARACTERS)
        if len(pieces[-1]) + len(encoded) > room:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]
