"""Header fields: decoded values equal the submitted ones, no value starts another field, and lines are short."""

from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message import headers
from app.mail.message.address import Address
from app.mail.message.headers import HeaderError, check_content_id, check_header, check_message_id, is_reserved
from app.mail.message.message import Attachment, Submission
from tests.unit.mail.message.corpus import ANNA, CORPUS, SHOP
from tests.unit.mail.message.mime_oracle import check_message, mailboxes_in, raw
from tests.unit.mail.message.test_compose import composed


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("", "a@x.com"),
        ("Anna Smith", "Anna Smith <a@x.com>"),
        ("Doe, John", '"Doe, John" <a@x.com>'),
        ("j@x.com", '"j@x.com" <a@x.com>'),
        ("Dr. J", '"Dr. J" <a@x.com>'),
        ('The "J"', r'"The \"J\"" <a@x.com>'),
        ("back\\slash", r'"back\\slash" <a@x.com>'),
        ("two  blanks", '"two  blanks" <a@x.com>'),
        ("Jörg", "=?utf-8?b?SsO2cmc=?= <a@x.com>"),
        ("🚀", "=?utf-8?b?8J+agA==?= <a@x.com>"),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@x.com>"),
        ("Ängström Research Group", "=?utf-8?q?=C3=84ngstr=C3=B6m_Research_Group?= <a@x.com>"),
    ],
)
def test_display_name(name: str, wire: str) -> None:
    """An atom, a quoted-string or encoded words: the first that is safe."""
    assert headers.address_list("To", [Address("a", "x.com", name)]) == f"To: {wire}\r\n"


def test_address_lists_fold() -> None:
    """Between addresses, and every address is parsed back."""
    message = composed(CORPUS["many_recipients"])
    field = headers.address_list("To", CORPUS["many_recipients"].to)
    assert max(map(len, field.split("\r\n"))) <= 78
    assert len(mailboxes_in(message, "To")) == 50
    assert len(message.envelope.rcpt_to) == 150


def test_subject_folds_at_blanks() -> None:
    """A long plain subject is readable on the wire."""
    field = headers.unstructured("Subject", "word " * 60 + "end")
    assert "=?" not in field
    assert max(map(len, field.split("\r\n"))) <= 78
    assert field.replace("\r\n", "") == "Subject: " + "word " * 60 + "end"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=400))
def test_encoded_words(text: str) -> None:
    """Whole characters, at most 75 characters each, on lines of at most 76 (RFC 2047 §2)."""
    words = headers.encoded_words(text, 50)
    assert all(len(word) <= 75 for word in words)
    assert "".join(str(make_header(decode_header(word))) for word in words) == text
    assert all(len(line) <= 76 for line in headers.unstructured("Subject", text + "ü").split("\r\n"))


def test_unbroken_value() -> None:
    """Unchanged up to a line of 998, encoded words beyond."""
    for size in (900, 5_000):
        submission = Submission(SHOP, (ANNA,), "s" * size, text="x", headers=(("X-Long", "t" * size),))
        message = composed(submission)
        check_message(submission, message)
        assert (b"=?utf-8?" in message.content) is (size > 998)


def test_a_caller_s_field_stays_as_written() -> None:
    """Structured and already encoded values are only folded."""
    unsubscribe = "<https://x.example/" + "u" * 300 + ">, <mailto:leave@x.example>"
    encoded = "=?utf-8?q?Gr=C3=BC=C3=9Fe?="
    message = composed(
        Submission(
            SHOP, (ANNA,), "x", text="x", headers=(("List-Unsubscribe", unsubscribe), ("X-A", encoded), ("X-B", " b "))
        )
    )
    assert raw(message)["List-Unsubscribe"].replace("\r\n", "") == unsubscribe
    assert b"X-A: " + encoded.encode() + b"\r\nX-B: b\r\n" in message.content


def test_order_of_the_caller_s_fields() -> None:
    """Order and spelling are unchanged, also of repeated ones."""
    own = (("x-b", "1"), ("X-A", "2"), ("X-B", "3"), ("Importance", "high"))
    message = composed(Submission(SHOP, (ANNA,), "x", text="x", headers=own))
    start = raw(message).keys().index("MIME-Version") + 1
    assert raw(message).items()[start : start + 4] == list(own)


def test_raw_local_parts_only_under_smtputf8() -> None:
    """A local part beyond ASCII is raw (RFC 6532), its name encoded, its domain in A-labels."""
    message = composed(CORPUS["international_mailbox"])
    assert message.envelope.smtputf8
    assert "To: =?utf-8?b?SsO2cmc=?= <jörg@xn--bcher-kva.example>\r\n".encode() in message.content
    assert message.envelope.rcpt_to == ("jörg@xn--bcher-kva.example",)


EVIL = ["x\r\nX-Evil: 1", "x\nX-Evil: 1", "x\rX-Evil: 1", "x\x00", "x\ud800"]


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize(
    "field",
    ["subject", "name", "local", "domain", "sender", "bcc", "reply_to", "header", "header_name", "message_id", "cid"],
)
def test_nothing_can_start_another_line(field: str, evil: str) -> None:
    """A line break, NUL or surrogate is refused in every header value and SMTP argument."""
    submission = _with(field, evil)
    with pytest.raises(HeaderError):
        composed(submission)


def _with(field: str, evil: str) -> Submission:
    person = {"name": Address("a", "x.com", evil), "domain": Address("a", evil)}.get(field, Address(evil, "x.com"))
    return Submission(
        sender=person if field == "sender" else SHOP,
        to=(person,) if field in ("name", "local", "domain") else (ANNA,),
        bcc=(person,) if field == "bcc" else (),
        reply_to=(person,) if field == "reply_to" else (),
        subject=evil if field == "subject" else "x",
        text="x",
        html="x",
        headers=((evil if field == "header_name" else "X-A", evil if field == "header" else "a"),),
        message_id=evil if field == "message_id" else None,
        attachments=(Attachment("a", "image/png", b"", evil if field == "cid" else "a"),),
    )


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X-Ä", "X\r\nA", "X\x7f", "x" * 77])
def test_an_invalid_header_name_is_refused(name: str) -> None:
    with pytest.raises(HeaderError, match="name must be"):
        check_header(name, "x")


def test_check_header_accepts_blanks_tabs_unicode_and_empty_values() -> None:
    for value in ("", "x", "a\tb", "ünï", "🚀", "x" * 5000):
        check_header("X-A", value)


@pytest.mark.parametrize(
    "value", ["", "a", "@x", "a@", "a b@x", "<a@x>", "a@b@c", "ü@x", "a@x\r\n", "a" * 300 + "@x", ")@x", "a.@x", "a@x,"]
)
def test_an_invalid_message_id_is_refused(value: str) -> None:
    """Valid: two words with one @ between them."""
    with pytest.raises(HeaderError):
        check_message_id(value)


@pytest.mark.parametrize("value", ["", "a b", "<a>", "ü", "a\n", "a" * 129])
def test_an_invalid_content_id_is_refused(value: str) -> None:
    """Valid: printable ASCII without blanks and angle brackets."""
    with pytest.raises(HeaderError):
        check_content_id(value)


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        *((name, True) for name in ("From", "TO", "cc", "Bcc", "SUBJECT", "Reply-To", "Sender", "Return-Path")),
        *((name, True) for name in ("Received", "DKIM-Signature", "mime-version", "Content-Type", "Content-X")),
        *((name, True) for name in ("Date", "Message-ID", "Message-Id", "X-Postern-Lane", "x-postern-anything")),
        *((name, False) for name in ("X-Mailer", "List-Unsubscribe", "In-Reply-To", "References", "X-Content-Type")),
    ],
)
def test_reserved_fields_are_refused(name: str, reserved: bool) -> None:
    """Those of the message itself, of MIME, and of Postern."""
    assert is_reserved(name) is reserved
    message = composed(Submission(SHOP, (ANNA,), "x", text="x", headers=((name, "evil"),)))
    assert (b"evil" in message.content) is not reserved
