"""Warnings in a response: changes of the submitted email by field, and none without a change."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.api.server import MINIMAL, SENDER, ApiServer, Json, changed, refused

EMPTY = "The value is empty and was taken as absent."


def warned(server: ApiServer, body: Json, path: str = "/emails") -> list[tuple[str, str]]:
    """Return the warnings of an accepted email as field and message."""
    response = server.post(body, path)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.get("warnings") != []
    return [(one["field"], one["message"]) for one in answer.get("warnings", [])]


def test_an_unchanged_email_has_no_warnings(server: ApiServer) -> None:
    """The member is absent."""
    for path in ("/emails", "/emails/validate"):
        assert "warnings" not in server.post(MINIMAL, path).json()
    assert server.post([MINIMAL], "/emails/batch").json()["data"][0].keys() == {"id"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"cc": ""}, ["cc"]),
        ({"bcc": [""]}, ["bcc[0]"]),
        ({"cc": ["bert@example.com", " "]}, ["cc[1]"]),
        ({"reply_to": ""}, ["reply_to"]),
        ({"replyTo": " \t"}, ["reply_to"]),
        ({"cc": "", "bcc": "", "reply_to": [""]}, ["cc", "bcc", "reply_to[0]"]),
    ],
)
def test_empty_form_values_are_absent(server: ApiServer, change: Json, fields: list[str]) -> None:
    """A form sends an empty string for an empty address field."""
    for path in ("/emails", "/emails/validate"):
        assert warned(server, MINIMAL | change, path) == [(field, EMPTY) for field in fields]
    shown = server.get(f"/emails/{server.send(**change)}").json()
    stored = [value for name in ("cc", "bcc", "reply_to") for value in shown[name]]
    assert stored == [value for value in change.get("cc", []) if value.strip()]


@pytest.mark.parametrize(
    ("change", "read", "field"),
    [
        ({"subject": "Hi\0 Anna"}, ("subject", "Hi Anna"), "subject"),
        ({"text": "a\0b\0"}, ("text", "ab"), "text"),
        ({"html": "<p>a\0b</p>"}, ("html", "<p>ab</p>"), "html"),
        ({"subject": "Hi \ud83d"}, ("subject", "Hi \ufffd"), "subject"),
        ({"subject": "\ude00 Hi \ud83d\ude00"}, ("subject", "\ufffd Hi 😀"), "subject"),
        ({"text": "a\ud83d\ud83d\ude00b"}, ("text", "a\ufffd😀b"), "text"),
        ({"html": "<p>\ud83d</p>"}, ("html", "<p>\ufffd</p>"), "html"),
        ({"to": ["A \ud83d <a@example.com>"]}, ("to", ["A \ufffd <a@example.com>"]), "to[0]"),
        ({"from": f"A\udc00 <{SENDER}>"}, ("from", f"A\ufffd <{SENDER}>"), "from"),
        ({"from": f"Anna\tSmith <{SENDER}>"}, ("from", f"Anna Smith <{SENDER}>"), "from"),
        ({"cc": "=?utf-8?q?Anna=09Smith?= <a@example.com>"}, ("cc", ["Anna Smith <a@example.com>"]), "cc"),
        ({"to": ["b@x.com", "\u202eannA <a@x.com>"]}, ("to", ["b@x.com", "annA <a@x.com>"]), "to[1]"),
        ({"bcc": ["An\u200bna <a@x.com>"]}, ("bcc", ["Anna <a@x.com>"]), "bcc[0]"),
        ({"reply_to": "Anna\u200e\ufeff <a@x.com>"}, ("reply_to", ["Anna <a@x.com>"]), "reply_to"),
    ],
    ids=ascii,
)
def test_characters_that_mail_cannot_have_are_replaced(
    server: ApiServer, change: Json, read: tuple[str, Any], field: str
) -> None:
    assert [place for place, _ in warned(server, MINIMAL | change)] == [field]
    shown = server.get(f"/emails/{server.post(MINIMAL | change).json()['id']}").json()
    assert shown[read[0]] == read[1]


def test_a_whole_surrogate_pair_is_a_character(server: ApiServer) -> None:
    """It is unchanged, and so are text that resembles an escape and a submitted U+FFFD."""
    subject = "😀 \\ud83d \ufffd"
    assert warned(server, changed(subject=subject)) == []
    assert server.get(f"/emails/{server.send(subject=subject)}").json()["subject"] == subject


def test_a_lone_surrogate_in_a_file_is_replaced(server: ApiServer) -> None:
    """In its name and in text content."""
    file = {"filename": "r\ud83d.txt", "content": "a - \ud83d", "content_type": "text/plain"}
    fields = [field for field, _ in warned(server, changed(attachments=[{"content": "aGk="}, file]))]
    assert fields == ["attachments[1].filename", "attachments[1].content"]


@pytest.mark.parametrize("path", ["/emails", "/emails/validate"])
def test_a_lone_surrogate_deep_in_a_large_body_is_found(server: ApiServer, path: str) -> None:
    """Also in an ignored member."""
    assert warned(server, changed(text="😀" * 50_000 + "\ud83d"), path) != []
    assert warned(server, changed(ignored=[["x"] * 10_000, {"deep": "\ud83d"}]), path) == [
        ("ignored", "`ignored` is unknown and was ignored.")
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": "a\ud83d@example.com"}, "to[0]"),
        ({"to": "a@exam\ud83dple.com"}, "to[0]"),
        ({"from": "no\ud83dreply@contoso.com"}, "from"),
        ({"headers": {"X-A": "a\ud83d"}}, "headers.X-A"),
        ({"headers": {"X\ud83d": "a"}}, "headers.X\ufffd"),
        ({"tags": [{"name": "a\ud83d"}]}, "tags[0].name"),
    ],
    ids=ascii,
)
def test_a_lone_surrogate_in_an_identifier_is_refused(server: ApiServer, change: Json, field: str) -> None:
    """A changed address, header or tag would be a different one."""
    refused(server.post(MINIMAL | change), 422, "validation_error", field)


@pytest.mark.parametrize(
    "name",
    [
        *("Resent-From", "resent-to", "Resent-Bcc", "Resent-Message-ID", "Authentication-Results", "ARC-Seal"),
        *("ARC-Authentication-Results", "Received-SPF", "DKIM-Signature", "X-MS-Exchange-Organization-SCL"),
        *("x-ms-exchange-organization-authas", "X-Microsoft-Antispam", "X-Forefront-Antispam-Report"),
    ],
)
def test_trace_headers_are_removed_with_a_warning(server: ApiServer, name: str) -> None:
    headers = {name: "evil@example.com", "X-Kept": "1"}
    ((field, message),) = warned(server, changed(headers=headers))
    assert field == f"headers.{name}"
    assert message.startswith("The header was not sent. ")
    sent = server.message(server.send(headers=headers))
    assert name not in sent
    assert sent["x-kept"] == "1"
    assert "evil@example.com" not in sent.as_string()


def test_each_item_of_a_batch_has_its_own_warnings(server: ApiServer) -> None:
    data = server.post([MINIMAL, changed(cc=""), changed(bcc=[""])], "/emails/batch").json()["data"]
    assert [[one["field"] for one in item.get("warnings", [])] for item in data] == [[], ["cc"], ["bcc[0]"]]


def test_an_idempotent_repetition_has_the_same_warnings(server: ApiServer) -> None:
    """The request is validated again."""
    once = str(uuid4())
    first, second = (server.post(changed(cc=""), Idempotency_Key=once).json() for _ in range(2))
    assert first == second
    assert first["warnings"]


def test_an_email_has_at_most_20_warnings(server: ApiServer) -> None:
    assert len(warned(server, changed(cc=[""] * 50))) == 20


@pytest.mark.parametrize("empty", ["", [""]])
def test_an_empty_to_is_no_recipient(server: ApiServer, empty: Any) -> None:
    assert server.post(changed(to=empty)).status_code == 422


@pytest.mark.parametrize("path", ["/emails", "/emails/validate", "/emails/batch"])
def test_a_strict_key_refuses_unknown_members(server: ApiServer, path: str) -> None:
    """Each with the nearest member, before other errors, which it often causes. Null is still as absent."""
    key = server.make_key(strict=True)

    def post(email: Json) -> httpx.Response:
        return server.post([email] if path == "/emails/batch" else email, path, key)

    assert post(changed(unknown=None)).status_code == 200
    at = "[0]." if path == "/emails/batch" else ""
    answer = refused(post({**MINIMAL, "subject": "", "Subjekt": "Hello", "zzz": 1}), 422, "validation_error")
    assert answer["message"].endswith("`Subjekt` is unknown; did you mean `subject`?")
    assert [one["field"] for one in answer["details"]] == [f"{at}Subjekt", f"{at}zzz", f"{at}subject"]
    assert answer["details"][1]["message"] == "`zzz` is unknown; leave it out."
