"""`headers` of an email over HTTP: folded values, Reply-To, structured fields, read by the standard library."""

import email
from email.header import decode_header, make_header
from email.utils import getaddresses
from uuid import UUID

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, Json, changed, refused

IDS = [f"<{number:02}.{'0123456789abcdef' * 3}@mail.example.com>" for number in range(20)]
URLS = [f"https://news.example.com/leave?token={character * 480}" for character in "ab"]
BOTH = f"<{URLS[0]}>,<{URLS[1]}>"


def bytes_of(server: ApiServer, headers: Json) -> str:
    """Return the value of the one header as on the wire, unfolded."""
    (name,) = headers
    content = server.run(server.store.content(UUID(server.send(headers=headers))))
    assert content is not None
    assert max(map(len, content.split(b"\r\n"))) <= 998
    value = email.message_from_bytes(content)[name]
    return str(value).replace("\r\n", "")


def decoded(text: str) -> str:
    """Return the value decoded by RFC 2047."""
    return str(make_header(decode_header(text)))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
        ("one\r\n two\r\n\tthree", "one two\tthree"),
        ("one\r\n  \r\n two", "one   two"),
        ("\r\n one", "one"),
        ("one\r\n ", "one"),
    ],
)
def test_a_folded_value_is_unfolded(server: ApiServer, value: str, read: str) -> None:
    """CRLF before a blank or TAB is folding (RFC 5322 §2.2.3): Symfony folds every long header."""
    assert server.message(server.send(headers={"X-Note": value}))["X-Note"] == read


def test_a_folded_subject_and_name_are_unfolded(server: ApiServer) -> None:
    message = server.message(server.send(subject="Hello\r\n Anna", to="Anna\r\n Smith <anna@example.com>"))
    assert message["subject"] == "Hello Anna"
    assert message["to"] == "Anna Smith <anna@example.com>"


@pytest.mark.parametrize("separator", ["\t", " ", "\r\n\t", "\r\n "])
def test_references_keep_their_identifiers(server: ApiServer, separator: str) -> None:
    """With every separator: threads depend on them."""
    message = server.message(server.send(headers={"References": separator.join(IDS)}))
    assert str(message["References"]).split() == IDS
    assert b"=?" not in message.as_bytes()


@pytest.mark.parametrize("value", [BOTH, BOTH.replace(",", ", "), BOTH.replace(",", ",\t")])
def test_long_urls_stay_urls(server: ApiServer, value: str) -> None:
    """A list is folded after its commas; one-click unsubscribe reads the URLs (RFC 8058)."""
    message = server.message(server.send(headers={"List-Unsubscribe": value}))
    urls = [url.strip().strip("<>") for url in str(message["List-Unsubscribe"]).split(",")]
    assert urls == URLS


MANY = [f"{number:02}{'a' * 40}@x.com" for number in range(30)]  # more than 998 characters


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("Disposition-Notification-To", "Jürgen <j@contoso.com>", [("Jürgen", "j@contoso.com")]),
        ("Return-Receipt-To", '"Müller, J" <j@bücher.example>', [("Müller, J", "j@xn--bcher-kva.example")]),
        ("Errors-To", "Ä <a@x.com>, b@x.com", [("Ä", "a@x.com"), ("", "b@x.com")]),
        ("Errors-To", "a@x.com,b@x.com", [("", "a@x.com"), ("", "b@x.com")]),
        ("Errors-To", ",".join(MANY), [("", one) for one in MANY]),
        ("Return-Receipt-To", ",\t".join(f"Ä {one} <{one}>" for one in MANY), [(f"Ä {one}", one) for one in MANY]),
    ],
)
def test_address_headers_encode_the_phrase_alone(
    server: ApiServer, name: str, value: str, read: list[tuple[str, str]]
) -> None:
    """An encoded address would be unusable."""
    raw = bytes_of(server, {name: value})
    assert [(decoded(display), spec) for display, spec in getaddresses([raw])] == read


@pytest.mark.parametrize(
    ("name", "value", "wire"),
    [
        ("List-Id", "Über uns <list.example.com>", "=?utf-8?b?w5xiZXIgdW5z?= <list.example.com>"),
        ("List-Id", '"Über uns" <list.example.com>', "=?utf-8?b?w5xiZXIgdW5z?= <list.example.com>"),
        ("List-Id", "News <liste.bücher.example>", "News <liste.xn--bcher-kva.example>"),
        ("List-Unsubscribe", "<https://x.example/ä?b=ü>", "<https://x.example/%C3%A4?b=%C3%BC>"),
        ("List-Unsubscribe", "<https://bücher.example:8443/a>", "<https://xn--bcher-kva.example:8443/a>"),
        (
            "List-Unsubscribe",
            "<mailto:weg@bücher.example?subject=ü>",
            "<mailto:weg@xn--bcher-kva.example?subject=%C3%BC>",
        ),
        ("List-Help", "<https://x.example/ä>, <mailto:a@x.com>", "<https://x.example/%C3%A4>, <mailto:a@x.com>"),
        ("List-Archive", "https://x.example/ä", "https://x.example/%C3%A4"),
        ("In-Reply-To", "<a@b.example> (ü)", "<a@b.example> =?utf-8?b?KMO8KQ==?="),
        ("List-Unsubscribe", "<https://x.example/a>,<mailto:a@x.com>", "<https://x.example/a>,<mailto:a@x.com>"),
    ],
)
def test_structure_is_not_encoded(server: ApiServer, name: str, value: str, wire: str) -> None:
    """Encoded words are for phrases, never for URLs and identifiers (RFC 2047 §5)."""
    assert bytes_of(server, {name: value}) == wire


def test_free_text_is_encoded(server: ApiServer) -> None:
    """A value that is no list and no URL reads as written."""
    for value in ("Größe 42", "ü" * 2000, "t" * 2000):
        assert server.message(server.send(headers={"X-Note": value}))["X-Note"] == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("support@contoso.com", ["support@contoso.com"]),
        ("Contoso Support <support@contoso.com>", ["Contoso Support <support@contoso.com>"]),
        ("a@x.com, B <b@x.com>", ["a@x.com", "B <b@x.com>"]),
        ('"B, A" <b@x.com>,\r\n c@x.com', ['"B, A" <b@x.com>', "c@x.com"]),
        ("=?utf-8?q?J=C3=B6rg?= <j@x.com>", ["Jörg <j@x.com>"]),
        ("", []),
    ],
)
@pytest.mark.parametrize("name", ["Reply-To", "reply-to", "REPLY-TO"])
def test_a_reply_to_header_replaces_a_missing_reply_to(
    server: ApiServer, name: str, value: str, read: list[str]
) -> None:
    absences: list[Json] = [{}, {"reply_to": None}, {"reply_to": []}, {"reply_to": ""}]
    for absent in absences:
        id_ = server.send(headers={name: value}, **absent)
        assert server.get(f"/emails/{id_}").json()["reply_to"] == read
        assert len(server.message(id_).get_all("Reply-To", [])) == bool(read)


def test_the_member_takes_precedence_over_a_reply_to_header(server: ApiServer) -> None:
    """A different address in the header gives a warning."""
    same = changed(reply_to="a@x.com", headers={"Reply-To": "a@x.com"})
    assert "warnings" not in server.post(same).json()
    for other in ("b@x.com", "A <a@x.com>"):
        answer = server.post(changed(reply_to="a@x.com", headers={"Reply-To": other})).json()
        assert [one["field"] for one in answer["warnings"]] == ["headers.Reply-To"]
        assert server.message(answer["id"])["Reply-To"] == "a@x.com"
    refused(server.post(MINIMAL | {"headers": {"Reply-To": "x"}}), 422, "validation_error", "headers.Reply-To")


def test_a_reply_to_header_on_the_postmark_route(server: ApiServer) -> None:
    """The same rule."""
    body = {"From": MINIMAL["from"], "To": "a@x.com", "Subject": "s", "TextBody": "t"}
    answer = server.post(body | {"Headers": [{"Name": "reply-to", "Value": "support@contoso.com"}]}, "/email").json()
    assert server.message(answer["MessageID"])["Reply-To"] == "support@contoso.com"
