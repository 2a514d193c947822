"""Decoding of the string of an attachment: one rule, whatever the filename and the length."""

import base64
import random
from email.message import EmailMessage
from typing import Any

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, Json, changed, refused

BYTES = random.Random(5).randbytes(300)
BASE64 = base64.b64encode(BYTES).decode()
NAMES = ["a.csv", "a.txt", "a.ics", "a.png", "a"]
TEXTS = ["a.csv", "a.txt", "a.ics"]
ENCODED = {"MIME": (76, "\r\n"), "PEM": (64, "\n"), "uuencode": (60, "\n"), "joined by a shell": (76, " ")}


def sent(server: ApiServer, **file: Any) -> EmailMessage:
    """Return the one file of an email sent with it."""
    parts = server.message(server.send(attachments=[file])).walk()
    (part,) = (part for part in parts if part.get_content_disposition() is not None)
    return part


def file_of(server: ApiServer, **file: Any) -> bytes:
    """Return its bytes."""
    payload = sent(server, **file).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def is_refused(server: ApiServer, place: str = ".content", **file: Any) -> Json:
    return refused(server.post(changed(attachments=[file])), 422, "invalid_attachment", f"attachments[0]{place}")


def warned(server: ApiServer, **file: Any) -> list[str]:
    answer = server.post(changed(attachments=[file])).json()
    return [warning["field"] for warning in answer.get("warnings", [])]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("data:text/csv;base64,YSxiCg==", b"a,b\n"),
        ("data:text/csv;base64,YSxiCg", b"a,b\n"),
        ("DATA:Text/CSV;Charset=UTF-8;Base64,YSxi\r\nCg%3D%3D", b"a,b\n"),
        ("data:;base64,YSxiCg==", b"a,b\n"),
        ("data:application/octet-stream;name=a%20b.csv;base64,YSxiCg==", b"a,b\n"),
        ("data:text/plain,a%2Cb%0a%FF%", b"a,b\n\xff%"),
        ("data:,a b", b"a b"),
        (f"data:image/png;base64,{BASE64}", BYTES),
    ],
)
def test_a_data_url_is_decoded(server: ApiServer, name: str, url: str, content: bytes) -> None:
    """RFC 2397, for every filename."""
    assert file_of(server, filename=name, content=url) == content


@pytest.mark.parametrize(
    ("file", "media_type", "charset"),
    [
        ({"content": "data:image/gif;base64,aGk="}, "image/gif", None),
        (
            {"filename": "a.csv", "content": "data:text/plain;charset=iso-8859-1;base64,/A=="},
            "text/plain",
            "iso-8859-1",
        ),
        ({"filename": "a.csv", "content": "data:application/octet-stream;base64,aGk="}, "text/csv", None),
        ({"filename": "a.csv", "content": "data:;base64,aGk="}, "text/csv", None),
        ({"filename": "a", "content": "data:,hi"}, "text/plain", "us-ascii"),
        ({"filename": "a.csv", "content": "data:image/gif;base64,aGk=", "content_type": "text/csv"}, "text/csv", None),
        ({"filename": "a.csv", "content": "data:image/gif;base64,aGk=", "content_type": ""}, "image/gif", None),
    ],
)
def test_the_media_type_of_a_data_url(server: ApiServer, file: Json, media_type: str, charset: str | None) -> None:
    """It is used without a content_type, and takes precedence over the filename if it is specific."""
    part = sent(server, **file)
    assert (part.get_content_type(), part.get_content_charset()) == (media_type, charset)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("url", ["data:text/csv;base64,YSxiC", "data:text/csv;base64,_-_-", "data:;base64,\u00fc"])
def test_a_malformed_data_url_is_refused(server: ApiServer, name: str, url: str) -> None:
    """It is never sent as text."""
    is_refused(server, filename=name, content=url)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ENCODED)
def test_wrapped_base64_is_decoded(server: ApiServer, name: str, kind: str) -> None:
    """With the line lengths of common encoders, with and without padding."""
    length, separator = ENCODED[kind]
    for content in (BYTES, BYTES[:299], BYTES[:298], BYTES[:57]):
        encoded = base64.b64encode(content).decode()
        lines = [encoded[start : start + length] for start in range(0, len(encoded), length)]
        assert file_of(server, filename=name, content=separator.join(lines)) == content
        assert file_of(server, filename=name, content=f"\n {separator.join(lines)}{separator}") == content


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", ["YSxiCg", "YSxiC", "_-_-", "-_8=", "YSxiCg=", "1234567", "hello", "2024-11-30"])
def test_one_word_is_base64_or_refused(server: ApiServer, name: str, content: str) -> None:
    """Also base64url and base64 without padding: it is never sent as text. The error has the fix."""
    answer = is_refused(server, filename=name, content=content)
    assert ('"encoding": "utf-8"' in answer["message"]) is (name in TEXTS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", ["12345678", "1234", "YSxi", "abcdefgh1234", "KEY="])
def test_one_word_is_decoded(server: ApiServer, name: str, content: str) -> None:
    """For every filename."""
    assert file_of(server, filename=name, content=content) == base64.b64decode(content)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "content",
    [
        *("hello world", "Your code is 12345678", "Your code is 1234567", "Test mail", "1234 5678", "ann\nbob\ncarol"),
        *("a,b", "1;2", "KEY=value", "a = b", "12345678.", "Gr\u00fc\u00dfe", "data: 5", "data:a,b", "{}", "\u2028"),
        "\n".join(["0123456789abcdef"] * 3),
    ],
)
def test_text_of_several_words_is_sent_as_text(server: ApiServer, name: str, content: str) -> None:
    """Or with characters outside base64; every type but text refuses it."""
    assert file_of(server, filename=name, content=content) == content.encode()
    assert not warned(server, filename=name, content=content)
    if name == TEXTS[0]:  # once is enough
        is_refused(server, filename="a.png", content=content + ".")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8"])
@pytest.mark.parametrize(
    "content", ["12345678", "1234567", "aGk=", "data:text/csv;base64,YSxiCg==", "Gr\u00fc\u00dfe", ""]
)
def test_encoding_text_is_sent_as_text_without_a_warning(
    server: ApiServer, name: str, encoding: str, content: str
) -> None:
    file = {"filename": name, "content": content, "encoding": encoding}
    assert file_of(server, **file) == content.encode()
    assert not warned(server, **file)


@pytest.mark.parametrize("name", NAMES)
def test_encoding_base64_refuses_text(server: ApiServer, name: str) -> None:
    """For every filename."""
    for content in ("12345678", "1234 5678", "YSxi", "data:text/csv;base64,YSxi"):
        file = {"filename": name, "content": content, "encoding": "base64"}
        assert file_of(server, **file) == base64.b64decode(content.rpartition(",")[2])
        assert not warned(server, **file)
    for content in ("a,b", "hello world", "YSxiCg", "_-_-"):
        is_refused(server, filename=name, content=content, encoding="base64")


@pytest.mark.parametrize("encoding", ["hex", "base64url", "utf-16", "7bit", " "])
def test_another_encoding_is_refused(server: ApiServer, encoding: str) -> None:
    is_refused(server, ".encoding", content="aGk=", encoding=encoding)


@pytest.mark.parametrize("encoding", [None, "", 5, [], {}, True])
def test_a_null_encoding_is_absent(server: ApiServer, encoding: Any) -> None:
    """Other programs use this name for something else."""
    assert file_of(server, filename="a.txt", content="aGk=", encoding=encoding) == b"hi"


def test_a_list_of_numbers_ignores_encoding(server: ApiServer) -> None:
    assert file_of(server, filename="a.txt", content=[104, 105], encoding="utf-8") == b"hi"


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ({"filename": "code.txt", "content": "12345678"}, ["attachments[0].content"]),
        ({"filename": "code.txt", "content": "test"}, ["attachments[0].content"]),
        ({"filename": "code.txt", "content": "aGVsbG8h"}, []),
        ({"filename": "code.txt", "content": "/A=="}, []),
        ({"filename": "code.bin", "content": "12345678"}, []),
        ({"filename": "code.txt", "content": base64.b64encode(bytes(range(255))).decode()}, []),
    ],
)
def test_an_ambiguous_short_word_gives_a_warning(server: ApiServer, file: Json, fields: list[str]) -> None:
    """If the type is text and the decoded bytes are no text."""
    assert warned(server, **file) == fields


def test_a_warning_names_the_place(server: ApiServer) -> None:
    """The second file of the second email of a batch, and in Postmark's names."""
    files = [{"filename": "a.txt", "content": text} for text in ("aGVsbG8h", "12345678")]
    answer = server.post([MINIMAL, changed(attachments=files)], "/emails/batch").json()
    assert [one["field"] for one in answer["data"][1]["warnings"]] == ["attachments[1].content"]
    theirs = {"From": MINIMAL["from"], "To": "a@example.com", "Subject": "x", "TextBody": "x"}
    theirs["Attachments"] = [{"Name": "a.txt", "Content": "12345678", "ContentType": "text/plain"}]
    answer = server.post(theirs, "/email").json()
    assert [one["field"] for one in answer["warnings"]] == ["Attachments[0].Content"]
    theirs["Attachments"][0]["Encoding"] = "utf-8"
    assert "warnings" not in server.post(theirs, "/email").json()


@pytest.mark.parametrize("content_type", ["text/plain", "Text/Plain", "TEXT/CSV; header=present"])
def test_text_gets_its_charset(server: ApiServer, content_type: str) -> None:
    """For every case of its type."""
    part = sent(server, filename="a", content="a, b", content_type=content_type)
    assert part.get_payload(decode=True) == b"a, b"
    assert part.get_content_charset() == "utf-8"
    assert sent(server, filename="a.json", content="{}", encoding="utf-8").get_content_charset() is None


@pytest.mark.parametrize("place", [0, 65_535, 65_536])
@pytest.mark.parametrize("number", [256, 1.5, "1", True])
def test_a_bad_number_gives_one_sentence(server: ApiServer, place: int, number: Any) -> None:
    """However long the list is."""
    numbers: list[Any] = [1] * 70_001
    numbers[place] = number
    answer = is_refused(server, content=numbers)
    assert len(answer["details"]) == 1


def test_integers_and_floats_give_the_same_bytes(server: ApiServer) -> None:
    content = random.Random(6).randbytes(140_000)
    assert file_of(server, content=list(content)) == content
    assert file_of(server, content=[float(number) for number in content]) == content
