"""Checks of composed messages with the standard library's parser."""

import base64
import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.message import Message as Parsed
from email.utils import getaddresses
from typing import Any, NamedTuple

from app.mail.message.address import Address
from app.mail.message.headers import is_reserved
from app.mail.message.html_to_text import text_from_html
from app.mail.message.message import Attachment, Message, Submission


class Leaf(NamedTuple):
    """One part that is no multipart."""

    content: bytes
    disposition: str | None
    filename: str | None
    content_id: str | None


def parsed(message: Message) -> EmailMessage:
    """Parse the message with the modern policy."""
    rules = policy.SMTPUTF8 if message.envelope.smtputf8 else policy.SMTP
    return message_from_bytes(message.content, policy=rules)


def raw(message: Message) -> Parsed:
    """Parse the message with unprocessed header values; `unfolded` unfolds them."""
    return message_from_bytes(message.content)


def check_message(submission: Submission, message: Message) -> None:
    """Check everything that must hold for any submission."""
    check_wire(message)
    check_headers(submission, message)
    assert leaves(message) == expected_leaves(submission)
    assert not any(part.defects for part in raw(message).walk())


def check_wire(message: Message) -> None:
    """Check that only CRLF ends lines, no line is too long for SMTP, headers are ASCII unless SMTPUTF8 is required."""
    content = message.content
    assert content.endswith(b"\r\n")
    assert not set(b"\r\n") & set(content.replace(b"\r\n", b""))
    assert max(map(len, content.split(b"\r\n"))) <= 998
    head, _, body = content.partition(b"\r\n\r\n")
    assert body.isascii()
    assert b"\0" not in content
    if not message.envelope.smtputf8:
        assert head.isascii()
    head.decode()


def check_headers(submission: Submission, message: Message) -> None:
    """Check for exactly the expected fields in order, each with the submitted value."""
    wire = raw(message)
    own = [(name, value) for name, value in submission.headers if not is_reserved(name)]
    expected = [
        "From",
        *(name for name, people in _lists(submission).items() if people),
        "Subject",
        "Date",
        "Message-ID",
    ]
    expected += ["MIME-Version", *(name for name, _ in own), "Content-Type"]
    if not wire.is_multipart():
        expected.append("Content-Transfer-Encoding")
    assert wire.keys() == expected
    assert str(parsed(message)["Subject"]) == submission.subject
    assert wire["Message-ID"] == f"<{message.message_id}>"
    values = wire.values()[expected.index("MIME-Version") + 1 :]
    assert [decoded(value) for value, _ in zip(values, own, strict=False)] == [value.strip(" \t") for _, value in own]
    for name, people in {"From": (submission.sender,), **_lists(submission)}.items():
        assert mailboxes_in(message, name) == [(person.display_name, person.addr_spec) for person in people]


def _lists(submission: Submission) -> dict[str, tuple[Address, ...]]:
    return {"To": submission.to, "Cc": submission.cc, "Reply-To": submission.reply_to}


def mailboxes_in(message: Message, name: str) -> list[tuple[str, str]]:
    """Return (display name, addr-spec) of an address header.

    By the older half of the library: the newer one puts a blank between the encoded words of a long display name
    (python/cpython issue 128110, fixed in later releases).
    """
    values = [unfolded(value) for field, value in _utf8_fields(message) if field == name]
    return [(decoded(display), spec) for display, spec in getaddresses(values)]


def _utf8_fields(message: Message) -> list[tuple[str, str]]:
    head = message.content.partition(b"\r\n\r\n")[0].decode()
    fields = re.split(r"\r\n(?![ \t])", head)
    return [(name, value) for name, _, value in (field.partition(": ") for field in fields)]


def unfolded(value: str) -> str:
    """Unfold by RFC 5322 §2.2.3."""
    return value.replace("\r\n", "")


def decoded(value: str) -> str:
    """Decode encoded words of RFC 2047."""
    value = unfolded(value)
    return str(make_header(decode_header(value))) if "=?" in value else value


def leaves(message: Message) -> list[Leaf]:
    """Return the parts with content, in order."""
    return [_leaf(part) for part in parsed(message).walk() if not part.is_multipart()]


def _leaf(part: Parsed) -> Leaf:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    disposition: Any = part["Content-Disposition"]
    content_id = part["Content-ID"]
    # Not get_filename: it strips blanks, which a name may well begin or end with.
    filename = disposition.params.get("filename") if disposition else None
    return Leaf(content, part.get_content_disposition(), filename, content_id and str(content_id).strip("<>"))


def expected_leaves(submission: Submission) -> list[Leaf]:
    """Return the expected parts: texts with CRLF, then inline files, then the others."""
    texts = [text for text in (plain_text(submission), submission.html) if text] or [""]
    inline = [file for file in submission.attachments if file.content_id and submission.html]
    apart = [file for file in submission.attachments if not (file.content_id and submission.html)]
    return [
        *(Leaf(lines(text), None, None, None) for text in texts),
        *(_file(file, "inline") for file in inline),
        *(_file(file, "attachment") for file in apart),
    ]


def _file(file: Attachment, disposition: str) -> Leaf:
    return Leaf(base64.b64decode(file.base64), disposition, file.filename or None, file.content_id)


def plain_text(submission: Submission) -> str:
    """Return the text part's text: the caller's, or generated from the HTML."""
    if submission.text is not None:
        return submission.text
    return text_from_html(submission.html or "")


def lines(text: str) -> bytes:
    """Return `text` with CRLF for every newline of any kind, and one at the end."""
    text = re.sub("\r\n|\r|\n", "\n", text)
    return (text if text.endswith("\n") else text + "\n").replace("\n", "\r\n").encode()
