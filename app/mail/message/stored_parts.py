"""Parser of the parts of a composed message (RFC 2045, 2046) that neither copies nor decodes their bytes.

A part is decoded on demand, because the standard library's parser would copy every part several times. It reads the
output of `compose`.
"""

import binascii
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser

from app.frozen import frozen

_MAX_DEPTH = 20  # nested multiparts
_HEADERS = BytesHeaderParser(policy=policy.default)


@frozen
class Part:
    """Leaf part: its header fields and the position of its body in the message."""

    head: EmailMessage
    message: bytes
    start: int
    end: int

    @property
    def disposition(self) -> str | None:
        """Disposition: `attachment`, `inline`, or None for the text."""
        found: str | None = self.head.get_content_disposition()
        return found

    @property
    def filename(self) -> str:
        """File name; "" without one."""
        return self.head.get_filename() or ""

    @property
    def content_id(self) -> str | None:
        """Content-ID without its angle brackets."""
        found = self.head["Content-ID"]
        return None if found is None else str(found).strip().removeprefix("<").removesuffix(">")

    @property
    def size(self) -> int:
        """Size in bytes after decoding; computed without decoding for base64."""
        if self._encoding != "base64":
            return len(self.decoded())
        characters = self.end - self.start - 2 * self.message.count(b"\r\n", self.start, self.end)
        return characters // 4 * 3 - self.message.count(b"=", self.start, self.end)

    def decoded(self) -> bytes:
        """Return the decoded bytes."""
        body = memoryview(self.message)[self.start : self.end]
        match self._encoding:
            case "base64":
                return binascii.a2b_base64(body)
            case "quoted-printable":
                return binascii.a2b_qp(body)
        return bytes(body)

    def text(self) -> str:
        """Return the text, decoded by its charset."""
        return self.decoded().decode(self.head.get_content_charset("utf-8"), "replace")

    @property
    def _encoding(self) -> str:
        return str(self.head.get("Content-Transfer-Encoding", "")).strip().lower()


def parts(message: bytes) -> Iterator[Part]:
    """Yield all leaf parts in order."""
    return (part for part, _, is_leaf in entities(message) if is_leaf)


def entities(message: bytes) -> Iterator[tuple[Part, int, bool]]:
    """Yield the message and all its parts in order, each with its depth (from 0) and whether it is a leaf."""
    return _entities(message, 0, len(message), 0)


def displayed_text(message: bytes, subtype: str) -> str | None:
    """Return the displayed text/plain or text/html with LF, or None."""
    for part in parts(message):
        if part.disposition is None and part.head.get_content_type() == f"text/{subtype}":
            # Composition has added CRLF and a final line end.
            return part.text().replace("\r\n", "\n").removesuffix("\n")
    return None


def _entities(message: bytes, start: int, end: int, depth: int) -> Iterator[tuple[Part, int, bool]]:
    head_end = start if message[start : start + 2] == b"\r\n" else message.find(b"\r\n\r\n", start, end) + 2
    if head_end < start:
        return
    head = _HEADERS.parsebytes(message[start:head_end])
    boundary = head.get_boundary() if head.get_content_maintype() == "multipart" else None
    is_leaf = boundary is None or depth == _MAX_DEPTH
    yield Part(head, message, head_end + 2, end), depth, is_leaf
    if boundary is not None and not is_leaf:
        for first, last in _between(message, head_end, end, b"\r\n--" + boundary.encode("ascii", "replace")):
            yield from _entities(message, first, last, depth + 1)


def _between(message: bytes, start: int, end: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each part of a multipart. `start` is the line end before its body."""
    at = message.find(delimiter, start, end)
    while at >= 0 and message[at + len(delimiter) : at + len(delimiter) + 2] != b"--":
        first = message.find(b"\r\n", at + len(delimiter), end) + 2
        at = message.find(delimiter, first - 2, end)
        if first < 2 or at < 0:
            return
        yield first, at
