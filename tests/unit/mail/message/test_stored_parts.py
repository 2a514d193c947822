"""Parts of a stored message, compared with the standard library's parser."""

import base64
import email
import email.policy
import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.mail.message import stored_parts
from app.mail.message.address import Address
from app.mail.message.message import Attachment, Submission, compose

SENDER = Address("noreply", "contoso.com")
FILES = [
    Attachment(f"file {n} ü.bin", kind, base64.b64encode(random.Random(n).randbytes(n)), content_id)
    for n, kind, content_id in (
        (0, "application/pdf", None),
        (1, "text/plain", None),
        (56, "text/html; charset=utf-8", None),
        (57, "image/png", "logo"),
        (100_000, "message/rfc822", None),
    )
]


@pytest.mark.parametrize("count", range(len(FILES) + 1))
@pytest.mark.parametrize(
    ("html", "text"),
    [
        (None, ""),
        (None, "Hello\n--x\n"),
        ("<p>ü</p>" * 1000, None),
        ("<img src='cid:logo'>=20 x\n" * 100, "é\r\n\r\n=\n" * 50),
        ("", "漢字" * 3000),
        ("a" * 5000, "\n\n\n"),
    ],
)
def test_parts_equal_those_of_the_standard_library(html: str | None, text: str | None, count: int) -> None:
    """Names, types, sizes, bytes and the two texts."""
    submission = Submission(
        sender=SENDER, to=(SENDER,), subject="s", html=html, text=text, attachments=tuple(FILES[:count])
    )
    content = compose(submission, id=UUID(int=1), now=datetime(2026, 1, 1, tzinfo=UTC)).content
    message = email.message_from_bytes(content, policy=email.policy.default)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    found = [*stored_parts.parts(content)]
    assert [part.decoded() for part in found] == [part.get_payload(decode=True) for part in leaves]
    assert [part.size for part in found] == [len(part.decoded()) for part in found]
    assert [part.disposition for part in found] == [part.get_content_disposition() for part in leaves]
    assert [part.head.get_filename() for part in found] == [part.get_filename() for part in leaves]
    for subtype in ("html", "plain"):
        body = message.get_body((subtype,))
        shown = None if body is None else body.get_content().replace("\r\n", "\n").removesuffix("\n")
        assert stored_parts.displayed_text(content, subtype) == shown


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\r\n", b"A: b", b"A: b\r\n\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno part",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\n--x--",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\nA: b",
    ],
)  # fmt: skip
def test_a_truncated_or_foreign_message_ends_with_its_last_part(content: bytes) -> None:
    for part in stored_parts.parts(content):
        assert part.size == len(part.decoded())
