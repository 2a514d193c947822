"""MIME entities (RFC 2045, 2046): text, attachments and the multiparts around them, as bytes ready to be joined.

Text has the least encoding that SMTP permits; base64 of attachments is copied from JSON without decoding.
"""

import binascii
import struct
from collections.abc import Sequence
from typing import NamedTuple

from app.mail.message import mime_parameters
from app.mail.message.headers import LIMIT, check_content_id
from app.mail.message.message import Attachment

_COLUMNS = 76  # RFC 2045 §6.8
_BLOCK = struct.Struct(f"{_COLUMNS}s" * 1024)  # cuts 1,024 lines in one call
_ODD = bytes({*range(32), 127} - {*b"\t\r\n"})  # control characters that 7bit should not carry
_NOT_ASCII = bytes(range(128, 256))


class Entity(NamedTuple):
    """Header lines with CRLF, and the body's bytes in pieces. The body of a leaf ends with CRLF only if it is text."""

    head: str
    body: tuple[bytes, ...]


def text(subtype: str, content: str) -> Entity:
    """Return text/plain or text/html in UTF-8; every line ends with CRLF."""
    encoding, data = _encode(_lines(content.encode()))
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Entity(head, (data,))


def attachment(file: Attachment, disposition: str) -> Entity:
    """Return one file in base64. Raises HeaderError for an invalid content id."""
    kind, settings = mime_parameters.content_type(file.content_type)
    if kind.startswith(("message/", "multipart/")):
        # RFC 2046 §5.2.1 and RFC 2045 §6.4 forbid base64 on these. Without an encoding Exchange would rewrite a
        # forwarded message (it renders MIME again), and it may not be 7bit; so it is sent as a file, byte for byte.
        kind, settings = mime_parameters.OCTET_STREAM, {}
    named = {"filename": file.filename} if file.filename else {}
    head = (
        mime_parameters.field("Content-Type", kind, settings)
        + "Content-Transfer-Encoding: base64\r\n"
        + mime_parameters.field("Content-Disposition", disposition, named)
    )
    if file.content_id:
        check_content_id(file.content_id)
        head += f"Content-ID: <{file.content_id}>\r\n"
    return Entity(head, tuple(base64_lines(file.base64)))


def multipart(subtype: str, boundary: str, parts: Sequence[Entity]) -> Entity:
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
