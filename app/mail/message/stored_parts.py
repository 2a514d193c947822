"""The parts of a composed message (RFC 2045, 2046), found in its bytes without copying or decoding them.

A part is decoded when somebody asks for it: the standard library's parser would hold every part several times at once.
Reads what `compose` writes; of another message it finds what its boundaries say.
"""

import binascii
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser

from app.frozen import frozen

_MAX_DEPTH = 20  # multiparts in one another
_HEADERS = BytesHeaderParser(policy=policy.default)


@frozen
class Part:
    """A part that is no multipart: its header fields, and where its body stands in the message."""

    head: EmailMessage
    message: bytes
    start: int
    end: int

    @property
    def disposition(self) -> str | None:
        """`attachment`, `inline`, or None for the text."""
        found: str | None = self.head.get_content_disposition()
        return found

    @property
    def size(self) -> int:
        """Bytes once it is decoded; of base64 without decoding it."""
        if self._encoding != "base64":
            return len(self.decoded())
        characters = self.end - self.start - 2 * self.message.count(b"\r\n", self.start, self.end)
        return characters // 4 * 3 - self.message.count(b"=", self.start, self.end)

    def decoded(self) -> bytes:
        """The bytes that were sent."""
        body = memoryview(self.message)[self.start : self.end]
        match self._encoding:
            case "base64":
                return binascii.a2b_base64(body)
            case "quoted-printable":
                return binascii.a2b_qp(body)
        return bytes(body)

    def text(self) -> str:
        """The text, as its charset says."""
        return self.decoded().decode(self.head.get_content_charset("utf-8"), "replace")

    @property
    def _encoding(self) -> str:
        return str(self.head.get("Content-Transfer-Encoding", "")).strip().lower()


def parts(message: bytes) -> Iterator[Part]:
    """All of them, in order."""
    return _parts(message, 0, len(message), 0)


def text(message: bytes, subtype: str) -> str | None:
    """The text/plain or text/html that is shown, with LF; None without one."""
    for part in parts(message):
        if part.disposition is None and part.head.get_content_type() == f"text/{subtype}":
            # Composing gave it CRLF and a last line end; most callers wrote neither.
            return part.text().replace("\r\n", "\n").removesuffix("\n")
    return None


def _parts(message: bytes, start: int, end: int, depth: int) -> Iterator[Part]:
    head_end = start if message[start : start + 2] == b"\r\n" else message.find(b"\r\n\r\n", start, end) + 2
    if head_end < start:
        return
    head = _HEADERS.parsebytes(message[start:head_end])
    boundary = head.get_boundary() if head.get_content_maintype() == "multipart" else None
    if boundary is None or depth == _MAX_DEPTH:
        yield Part(head, message, head_end + 2, end)
        return
    for first, last in _between(message, head_end, end, b"\r\n--" + boundary.encode("ascii", "replace")):
        yield from _parts(message, first, last, depth + 1)


def _between(message: bytes, start: int, end: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where the parts of a multipart begin and end. `start`: the line end before its body."""
    at = message.find(delimiter, start, end)
    while at >= 0 and message[at + len(delimiter) : at + len(delimiter) + 2] != b"--":
        first = message.find(b"\r\n", at + len(delimiter), end) + 2
        at = message.find(delimiter, first - 2, end)
        if first < 2 or at < 0:
            return
        yield first, at
