"""Structure of composed messages: parts, multiparts and transfer encodings."""

import base64
from email.message import Message as Parsed

import pytest

from app.mail.message.message import Attachment, Submission, base64_lines
from tests.unit.mail.message.corpus import ANNA, CORPUS, LOGO, SHOP, file
from tests.unit.mail.message.mime_oracle import check_message, leaves, parsed, raw
from tests.unit.mail.message.test_compose import composed

PDF = file("a.pdf", "application/pdf", b"%PDF-1.7")
IMAGE = file("logo.png", "image/png", LOGO, "logo")


def tree(part: Parsed) -> str:
    """The types of a message, nested."""
    inside = ", ".join(tree(each) for each in parts(part))
    return f"{part.get_content_subtype()}({inside})" if inside else part.get_content_subtype()


def parts(part: Parsed) -> list[Parsed]:
    """Return the parts of a multipart."""
    inside = part.get_payload()
    return [each for each in inside if isinstance(each, Parsed)] if isinstance(inside, list) else []


def mail(text: str | None, html: str | None, *attachments: Attachment) -> Submission:
    return Submission(SHOP, (ANNA,), "x", text=text, html=html, attachments=attachments)


@pytest.mark.parametrize(
    ("submission", "shape"),
    [
        (mail("x", None), "plain"),
        (mail("x", ""), "plain"),
        (mail("", "<p>x"), "html"),
        (mail(None, "<p>x"), "alternative(plain, html)"),
        (mail(None, "<img src=cid:logo>"), "html"),
        (mail("x", "<p>x"), "alternative(plain, html)"),
        (mail("x", None, PDF), "mixed(plain, pdf)"),
        (mail("x", "<p>x", PDF), "mixed(alternative(plain, html), pdf)"),
        (mail("x", "<p>x", IMAGE), "alternative(plain, related(html, png))"),
        (mail("", "<p>x", IMAGE), "related(html, png)"),
        (mail("x", "<p>x", PDF, IMAGE, PDF), "mixed(alternative(plain, related(html, png)), pdf, pdf)"),
        (mail("x", None, IMAGE), "mixed(plain, png)"),
    ],
)
def test_structure(submission: Submission, shape: str) -> None:
    """mixed(alternative(text, related(html, inline)), files), and no multipart with one part."""
    message = composed(submission)
    assert tree(raw(message)) == shape
    check_message(submission, message)


def test_related_names_its_root() -> None:
    """multipart/related has the type of its first part (RFC 2387 §3.1), and the image its id."""
    related = raw(composed(mail("", "<p>x", IMAGE)))
    assert related.get_param("type") == "text/html"
    [_, image] = parts(related)
    assert image["Content-ID"] == "<logo>"
    assert image.get_content_disposition() == "inline"


def test_a_missing_text_is_generated_from_html() -> None:
    [text, _] = leaves(composed(CORPUS["html_only"]))
    assert text.content.decode() == (
        "Welcome\r\n\r\nPlease confirm (https://contoso.example/confirm?t=1&u=2) your address.\r\n"
    )


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("a\x00b", "quoted-printable"),
        ("a\x1bb", "quoted-printable"),
        ("tab\tand blank \n.\n..\nFrom me\n", "7bit"),
        ("Viele Grüße aus Köln und aller Welt", "quoted-printable"),
        ("ü" * 999, "base64"),
        ("日本語", "base64"),
        ("a\rb\nc\r\nd", "7bit"),
    ],
)
def test_transfer_encoding(text: str, encoding: str) -> None:
    """7bit if possible, else quoted-printable for mostly ASCII text, else base64."""
    submission = mail(text, None)
    message = composed(submission)
    assert raw(message)["Content-Transfer-Encoding"] == encoding
    check_message(submission, message)


def test_encoded_lines_are_short() -> None:
    """76 columns (RFC 2045 §6.7, §6.8); a QP soft break may need two more."""
    for text in ("ü " + "word " * 900, "x=" * 2000, "日本" * 900, " " * 500 + "\n" + "\t" * 500):
        body = composed(mail(text, None)).content.partition(b"\r\n\r\n")[2]
        if b"7bit" not in composed(mail(text, None)).content:
            assert max(map(len, body.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 58_367, 58_368, 58_369, 116_736, 200_000])
def test_base64_lines(size: int) -> None:
    """76 columns with CRLF between them, for any length."""
    encoded = base64.b64encode(bytes(size))
    lines = b"".join(base64_lines(encoded)).split(b"\r\n")
    assert b"".join(lines) == encoded
    assert {len(line) for line in lines[:-1]} <= {76}
    assert (len(lines[-1]) > 0) is (size > 0)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("application/pdf", "application/pdf"),
        ("Application/PDF", "application/pdf"),
        ("text/calendar; method=REQUEST; charset=UTF-8", "text/calendar; method=REQUEST; charset=UTF-8"),
        ('text/calendar;method="REQUEST" ;', "text/calendar; method=REQUEST"),
        ('text/csv; header="a b\\"c"', "text/csv; header*=utf-8''a%20b%22c"),
        ("text/csv; charset=a; charset=b", "text/csv; charset=a"),
        ("", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
        ("text/html; x", "application/octet-stream"),
        ("text/html\r\nX-Evil: 1", "application/octet-stream"),
        ('text/html; a="\r\nX-Evil: 1"', "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("Message/RFC822; x=y", "application/octet-stream"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
    ],
)
def test_content_type_of_a_file(given: str, sent: str) -> None:
    """A valid type has its parameters; an invalid one, or one not allowed in base64, is application/octet-stream."""
    message = composed(mail("x", None, file("a", given, b"x")))
    [_, attached] = parts(raw(message))
    assert attached["Content-Type"] == sent


def test_a_forwarded_message_is_byte_true() -> None:
    """With bare newlines and 8-bit text."""
    [_, eml] = leaves(composed(CORPUS["forwarded_eml"]))
    assert eml.filename == "original.eml"
    assert eml.content == base64.b64decode(CORPUS["forwarded_eml"].attachments[0].base64)


@pytest.mark.parametrize(
    "name",
    [
        "a.pdf",
        "two words.pdf",
        'quote".pdf',
        "back\\slash",
        "it's 100%*.txt",
        "ümläut.pdf",
        "請求書" * 40 + ".pdf",
        "x" * 300,
        "🚀",
        "../../etc/passwd",
        "=?utf-8?q?x?=",
        " leading",
        "line\r\nX-Evil: 1",
        "semi;colon=1",
    ],
)
def test_file_name(name: str) -> None:
    """Quoted if plain, else percent-encoded and continued (RFC 2231); it cannot start a header."""
    message = composed(mail("x", None, file(name, "application/pdf", b"x")))
    [_, attached] = leaves(message)
    assert attached.filename == name
    assert b"\nX-Evil" not in message.content
    assert max(map(len, message.content.split(b"\r\n"))) <= 78


def test_content_is_not_dot_stuffed() -> None:
    """The transaction does that."""
    content = composed(CORPUS["leading_dots"]).content
    assert b"\r\n.\r\n..\r\n.hidden\r\n\r\n.\r\n" in content


def test_a_calendar_part_has_its_method() -> None:
    calendar = list(parsed(composed(CORPUS["calendar_invitation"])).walk())[-1]
    assert calendar.get_content_type() == "text/calendar"
    assert calendar.get_param("method") == "REQUEST"
    assert calendar.get_content_charset() == "utf-8"


@pytest.mark.parametrize(
    "submission", [mail("\ud800", None), mail("", "\ud800"), mail("x", None, file("\ud800", "", b""))]
)
def test_a_lone_surrogate_in_a_text_is_refused(submission: Submission) -> None:
    """It is no character and has no bytes."""
    with pytest.raises(ValueError, match="surrogates"):
        composed(submission)
