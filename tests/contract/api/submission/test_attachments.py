"""Attachments in the forms of all SDKs: cases T1 to T10. Verified with the standard library's parser."""

import base64
import random
from email.message import EmailMessage
from typing import Any

import pytest

from tests.contract.api.server import ApiServer, changed, refused

BODY = bytes(range(256)) * 5
BASE64 = base64.b64encode(BODY).decode()


def files(message: EmailMessage) -> list[EmailMessage]:
    """Return the parts that are files."""
    return [part for part in message.walk() if part.get_content_disposition() is not None]


def stored_file(server: ApiServer, **file: Any) -> EmailMessage:
    """Return the one file of an email sent with it."""
    (part,) = files(server.message(server.send(attachments=[{"filename": "a.bin", **file}])))
    return part


@pytest.mark.parametrize(
    "content",
    [BASE64, base64.encodebytes(BODY).decode().replace("\n", "\r\n"), f" {BASE64}\n\t"],
    ids=["plain", "with CRLF", "with white space"],
)
def test_t1_base64(server: ApiServer, content: str) -> None:
    """The bytes are the same, with any white space."""
    part = stored_file(server, content=content)
    assert part.get_payload(decode=True) == BODY
    assert part.get_filename() == "a.bin"


def test_t2_bytes(server: ApiServer) -> None:
    """A list of numbers, as Python's SDK sends it."""
    assert stored_file(server, content=list(BODY)).get_payload(decode=True) == BODY


def test_t3_buffer(server: ApiServer) -> None:
    """As Node prints a Buffer."""
    assert stored_file(server, content={"type": "Buffer", "data": list(BODY)}).get_payload(decode=True) == BODY


@pytest.mark.parametrize("data", [[256], [-1], ["x"], [1.5], [True], [None], [10**30]])
def test_t4_no_bytes(server: ApiServer, data: list[Any]) -> None:
    """Each must be a whole number from 0 to 255."""
    for content in (data, {"type": "Buffer", "data": data}):
        response = server.post(changed(attachments=[{"content": content}]))
        refused(response, 422, "invalid_attachment", "attachments[0].content")


@pytest.mark.parametrize("content", ["a", "abc", "ab=c", "abcd=", "a===", "====", "_-_-", "ab cd!", "äöü=", "=", {}, 5])
def test_t5_no_base64(server: ApiServer, content: Any) -> None:
    """Strict: no missing padding, no other alphabet, nothing after the padding."""
    response = server.post(changed(attachments=[{"filename": "a.pdf", "content": content}]))
    refused(response, 422, "invalid_attachment", "attachments[0].content")


def test_t5_text_is_utf_8(server: ApiServer) -> None:
    """If it is not base64 and its type is text."""
    calendar = "BEGIN:VCALENDAR\r\nSUMMARY:Grüße\r\nEND:VCALENDAR\r\n"
    part = stored_file(server, content=calendar, content_type="text/calendar; method=REQUEST")
    assert part.get_payload(decode=True) == calendar.encode()
    assert part.get_content_type() == "text/calendar"
    assert part.get_param("method") == "REQUEST"
    assert part.get_content_charset() == "utf-8"


def test_empty_content_is_an_empty_file(server: ApiServer) -> None:
    """It is not missing content."""
    assert stored_file(server, content="").get_payload(decode=True) == b""


def test_unused_bits_are_cleared(server: ApiServer) -> None:
    """RFC 4648 §3.5: some encoders set them."""
    assert stored_file(server, content="aGl=").get_payload(decode=True) == b"hi"


@pytest.mark.parametrize("file", [{}, {"filename": "a.txt"}, {"content": None}, {"content": None, "path": None}])
def test_t6_no_content(server: ApiServer, file: dict[str, Any]) -> None:
    """A file without content is refused."""
    refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", "attachments[0].content")


def test_t7_path(server: ApiServer) -> None:
    """No URL is fetched."""
    file = {"filename": "a.pdf", "path": "http://127.0.0.1/secret"}
    body = refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", "attachments[0].path")
    assert body["reason"] == "remote_attachments_disabled"


@pytest.mark.parametrize("name", ["content_id", "contentId", "inline_content_id"])
def test_t8_inline(server: ApiServer, name: str) -> None:
    """A file with a content id is related to the html."""
    file = {"filename": "logo.png", "content": BASE64, name: "<logo@x>"}
    message = server.message(server.send(html='<img src="cid:logo@x">', attachments=[file]))
    related = next(part for part in message.walk() if part.get_content_type() == "multipart/related")
    page, image = related.iter_parts()
    assert page.get_content_type() == "text/html"
    assert image["content-id"] == "<logo@x>"
    assert (image.get_content_type(), image.get_content_disposition()) == ("image/png", "inline")
    assert image.get_payload(decode=True) == BODY


@pytest.mark.parametrize("content_id", ["a\r\nX: 1", 5])
def test_t8_bad_content_id(server: ApiServer, content_id: Any) -> None:
    """It must be text without control characters; test_content_ids has all other cases."""
    file = {"content": BASE64, "content_id": content_id}
    refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", "attachments[0].content_id")


def test_t9_generated_names(server: ApiServer) -> None:
    """From index and type."""
    given = [
        {"content": BASE64, "filename": False, "content_type": "application/pdf"},
        {"content": BASE64, "filename": None},
        {"content": BASE64, "filename": "", "contentType": "text/plain"},
    ]
    names = [part.get_filename() for part in files(server.message(server.send(attachments=given)))]
    assert names == ["attachment-1.pdf", "attachment-2.bin", "attachment-3.txt"]


@pytest.mark.parametrize("filename", ["a\r\nX: 1", "a\0b", "a" * 256, 5, True, []])
def test_bad_filenames_are_refused(server: ApiServer, filename: Any) -> None:
    """Those that could end their header field."""
    file = {"content": BASE64, "filename": filename}
    refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", "attachments[0].filename")


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("Übersicht 2026.pdf", "application/pdf"),
        ("report.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("invite.ics", "text/calendar"),
        ("archive.tar.gz", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ],
)
def test_the_type_is_guessed_from_the_name(server: ApiServer, filename: str, kind: str) -> None:
    """The same on every machine."""
    part = stored_file(server, content=BASE64, filename=filename)
    assert (part.get_content_type(), part.get_filename()) == (kind, filename)


@pytest.mark.parametrize("kind", ["text/html\r\nX-Evil: 1", 5, "ünï/x", "x" * 300])
def test_bad_types_are_refused(server: ApiServer, kind: Any) -> None:
    """A type is a short line of ASCII."""
    file = {"content": BASE64, "content_type": kind}
    refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", "attachments[0].content_type")


def test_t10_too_large(server: ApiServer) -> None:
    """The encoded size counts; nothing is stored."""
    before = server.count()
    file = {"filename": "big.bin", "content": base64.b64encode(b"x" * 900_000).decode()}
    body = refused(server.post(changed(attachments=[file])), 422, "invalid_attachment")
    assert body["reason"] == "message_too_large"
    assert server.count() == before


def test_a_large_file_is_decoded_in_a_thread(server: ApiServer) -> None:
    """With the same bytes."""
    data = random.Random(1).randbytes(600_000)
    assert stored_file(server, content=base64.b64encode(data).decode()).get_payload(decode=True) == data
