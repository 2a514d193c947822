"""POST /emails: cases S1 to S20."""

import json
from typing import Any

import httpx
import pytest

from tests.contract.api.server import MINIMAL, SENDER, ApiServer, accepted, changed, refused


def test_s1_minimal_text(server: ApiServer) -> None:
    """The required members."""
    id_ = accepted(server.post(MINIMAL))
    message = server.message(id_)
    assert (message["from"], message["to"], message["subject"]) == (SENDER, "anna@example.com", "Hello")
    assert message.get_content() == "Hi Anna\r\n"


def test_s2_all_fields(server: ApiServer) -> None:
    """`to` may be one string."""
    id_ = server.send(
        from_="Contoso <noreply@contoso.com>",
        to="Anna <anna@example.com>",
        cc=["bert@example.com"],
        bcc="hidden@example.com",
        reply_to=["help@contoso.com"],
        html="<p>Hi</p>",
        headers={"X-Reference": "42"},
        tags=[{"name": "campaign", "value": "spring"}, {"name": "empty"}],
        attachments=[{"filename": "a.txt", "content": "aGk="}],
        expires_in=600,
        on_unknown="hold",
    )
    message = server.message(id_)
    assert message["cc"] == "bert@example.com"
    assert message["reply-to"] == "help@contoso.com"
    assert message["x-reference"] == "42"
    assert "bcc" not in message
    shown = server.get(f"/emails/{id_}").json()
    assert shown["bcc"] == ["hidden@example.com"]
    assert shown["tags"] == [{"name": "campaign", "value": "spring"}, {"name": "empty", "value": ""}]
    recipients = {recipient["address"] for recipient in shown["relay"]["recipients"]}
    assert recipients == {"anna@example.com", "bert@example.com", "hidden@example.com"}


def test_s3_what_laravel_sends(server: ApiServer) -> None:
    """Nulls and empty lists mean absent."""
    empty: dict[str, Any] = {
        "cc": [], "bcc": None, "reply_to": [], "html": None, "headers": [], "tags": [], "attachments": [],
        "scheduled_at": None, "template": None, "topic_id": None,
    }  # fmt: skip
    accepted(server.post(MINIMAL | empty))
    accepted(server.post(MINIMAL | {"headers": None, "tags": None, "attachments": None, "reply_to": None}))


def test_s4_camel_case(server: ApiServer) -> None:
    """As the Node SDK writes."""
    file = {"filename": "x", "content": "aGk=", "contentType": "image/png", "contentId": "logo"}
    id_ = server.send(replyTo="help@contoso.com", scheduledAt="in 1 hour", html="<img>", attachments=[file])
    message = server.message(id_)
    assert message["reply-to"] == "help@contoso.com"
    assert server.get(f"/emails/{id_}").json()["last_event"] == "scheduled"
    image = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert image["content-id"] == "<logo>"


def test_s5_unknown_members_are_ignored(server: ApiServer) -> None:
    """In the email and in an attachment; they may be those of a later version."""
    file = {"filename": "x", "content": "aGk=", "size": 2, "encoding": {"odd": []}}
    id_ = server.send(attachments=[file], colour="blue", sender="x", mailbox="y", nested={"deep": [1, None]})
    shown, message = server.get(f"/emails/{id_}").json(), server.message(id_)
    assert (shown["from"], message["from"], message["sender"]) == (SENDER, SENDER, None)
    assert "colour" not in shown
    assert [part.get_content() for part in message.iter_attachments()] == [b"hi"]


@pytest.mark.parametrize(
    "kind", [None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "ünï"]
)
def test_s6_any_content_type(server: ApiServer, kind: str | None) -> None:
    """The body is JSON, whatever Content-Type says."""
    headers = {} if kind is None else {b"content-type": kind.encode()}
    response = server.client.post("/emails", content=json.dumps(MINIMAL).encode(), headers=headers)
    accepted(response)


def test_s7_chunked(server: ApiServer) -> None:
    """As Go sends it: in chunks, without Content-Length."""
    data = json.dumps(MINIMAL).encode()
    response = server.client.post("/emails", content=(data[i : i + 7] for i in range(0, len(data), 7)))
    assert "content-length" not in response.request.headers
    accepted(response)


@pytest.mark.parametrize("path", ["//emails", "/emails/", "///emails//"])
def test_s8_slashes(server: ApiServer, path: str) -> None:
    """No redirect, which most clients would turn into a GET."""
    accepted(server.client.post(httpx.URL(server.url + path), content=json.dumps(MINIMAL)))


def test_s9_a_success_is_200(server: ApiServer) -> None:
    """Never 201 or 202, and an object with the id alone."""
    response = server.post(MINIMAL)
    assert response.status_code == 200
    assert response.json().keys() == {"id"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (changed(from_=...), "from"),
        (changed(to=...), "to"),
        (changed(to=None), "to"),
        (changed(to=[]), "to"),
        (changed(subject=...), "subject"),
        (changed(subject=""), "subject"),
        (changed(text=...), "text"),
        (changed(text="", html=""), "text"),
        (changed(text=None, html=None), "text"),
    ],
)
def test_s10_missing_field(server: ApiServer, body: dict[str, Any], field: str) -> None:
    """The error names it."""
    refused(server.post(body), 422, "missing_required_field", field)


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to"])
def test_s11_fifty_recipients(server: ApiServer, field: str) -> None:
    """In each field; one more is refused."""
    many = [f"r{number}@example.com" for number in range(51)]
    refused(server.post(changed(**{field: many})), 422, "validation_error", field)
    server.send(**{field: many[:50]})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": "nope"}, "to[0]"),
        ({"to": ["anna@example.com", "a@example.com, b@example.com"]}, "to[1]"),
        ({"cc": "A <a@example.com> <b@example.com>"}, "cc[0]"),
        ({"bcc": ["Anna\r\nX-Evil: 1 <a@example.com>"]}, "bcc[0]"),
        ({"replyTo": 5}, "replyTo"),
        ({"to": [None]}, "to[0]"),
        ({"to": {"email": "a@example.com"}}, "to"),
        ({"from": "a@x.com, b@contoso.com"}, "from"),
        ({"subject": "Hi\r\nBcc: x@example.com"}, "subject"),
        ({"subject": ["Hi"]}, "subject"),
        ({"subject": "Hi\r\n\r\nX-Evil: 1"}, "subject"),
        ({"subject": "Hi\n there"}, "subject"),
        ({"subject": "Hi\r there"}, "subject"),
        ({"html": 5}, "html"),
        ({"text": ["a"]}, "text"),
        ({"headers": {"X-A": "1\r\nBcc: x@example.com"}}, "headers.X-A"),
        ({"headers": {"X-A": "1\r\n\r\n body"}}, "headers.X-A"),
        ({"headers": {"X-A": "1\n 2"}}, "headers.X-A"),
        ({"headers": {"X-A": "1\r 2"}}, "headers.X-A"),
        ({"headers": {"X-A": "1\0"}}, "headers.X-A"),
        ({"headers": {"Reply-To": "nope"}}, "headers.Reply-To"),
        ({"headers": {"reply-to": "a@example.com, nope"}}, "headers.reply-to"),
        ({"headers": {"Reply-To": "a@example.com\r\nX-Evil: 1"}}, "headers.Reply-To"),
        ({"headers": {"Reply-To": ", ".join(["a@example.com"] * 51)}}, "headers.Reply-To"),
        ({"headers": {"References": "<" + "a" * 1000 + "@example.com>"}}, "headers.References"),
        ({"headers": {"In-Reply-To": "<ü@example.com>"}}, "headers.In-Reply-To"),
        ({"headers": {"Errors-To": "Jürgen"}}, "headers.Errors-To"),
        ({"headers": {"X A": "1"}}, "headers.X A"),
        ({"headers": {"X-A": ["1"]}}, "headers.X-A"),
        ({"headers": ["X-A: 1"]}, "headers"),
        ({"headers": {"Message-ID": "<a@b>\r\nBcc: x"}}, "headers.Message-ID"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"expires_in": 604_801}, "expires_in"),
        ({"on_unknown": "guess"}, "on_unknown"),
        ({"on_unknown": []}, "on_unknown"),
        ({"headers": {"X-Postern-Expires-In": "soon"}}, "headers.X-Postern-Expires-In"),
        ({"lane": "express"}, "lane"),
        ({"lane": 0}, "lane"),
        ({"headers": {"X-Postern-Lane": "express"}}, "headers.X-Postern-Lane"),
        ({"coalesce": ""}, "coalesce"),
        ({"coalesce": "x" * 129}, "coalesce"),
        ({"coalesce": "a\nb"}, "coalesce"),
        ({"coalesce": 5}, "coalesce"),
        ({"tags": {"name": "x"}}, "tags"),
        ({"attachments": {"content": "aGk="}}, "attachments"),
    ],
)
def test_s12_wrong_value(server: ApiServer, change: dict[str, Any], field: str) -> None:
    """The error has its place; nothing is stored."""
    refused(server.post(MINIMAL | change), 422, "validation_error", field)


@pytest.mark.parametrize(
    ("given", "name", "spec"),
    [
        ("Doe, John <j@example.com>", "Doe, John", "j@example.com"),
        ('"Doe, John" <j@example.com>', "Doe, John", "j@example.com"),
        ("=?utf-8?q?J=C3=B6rg?= <j@example.com>", "Jörg", "j@example.com"),
        ("Ünï Cödé <u@example.com>", "Ünï Cödé", "u@example.com"),
        ("u@bücher.example", "", "u@xn--bcher-kva.example"),
        (f"reply+{'0f' * 40}@reply.example.com", "", f"reply+{'0f' * 40}@reply.example.com"),
        (f"A <{'a' * 315}@example.com>", "A", f"{'a' * 315}@example.com"),
        ('"A -> B Logistics" <a@example.com>', "A -> B Logistics", "a@example.com"),
        ('"a <b> c" <a@example.com>', "a <b> c", "a@example.com"),
        ("=?punycode?q?abc-?= <a@example.com>", "=?punycode?q?abc-?=", "a@example.com"),
    ],
)
def test_s13_names_and_domains(server: ApiServer, given: str, name: str, spec: str) -> None:
    """Accepted in the usual spellings, written as the RFCs require."""
    message = server.message(server.send(to=given))
    (address,) = message["to"].addresses
    assert (address.display_name, address.addr_spec) == (name, spec)


def test_s14_numbers_in_headers(server: ApiServer) -> None:
    """Numbers become text; null means absent."""
    message = server.message(server.send(headers={"X-Int": 5, "X-Float": 0.5, "X-Bool": True, "X-Null": None}))
    assert (message["x-int"], message["x-float"], message["x-bool"]) == ("5", "0.5", "true")
    assert "x-null" not in message


def test_s15_reserved_headers_are_ignored(server: ApiServer) -> None:
    """Rails and Symfony repeat the members as headers."""
    reserved = [
        "From",
        "To",
        "Cc",
        "Bcc",
        "Subject",
        "Sender",
        "Return-Path",
        "Received",
        "DKIM-Signature",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ]
    before = server.message(server.send())
    after = server.message(server.send(headers=dict.fromkeys(reserved, "evil@example.com") | {"X-Kept": "1"}))
    assert [name for name in after if name != "X-Kept"] == before.keys()
    assert "evil@example.com" not in after.as_string()
    assert after["x-kept"] == "1"


def test_s15_headers_for_postern_are_not_forwarded(server: ApiServer) -> None:
    """Typed SDKs set headers instead of members."""
    headers = {"X-Postern-Expires-In": "60", "x-postern-on-unknown": "hold", "X-Postern-Lane": "urgent"}
    id_ = server.send(headers=headers, scheduled_at="in 1 hour")
    assert not [name for name in server.message(id_) if name.lower().startswith("x-postern")]
    shown = server.get(f"/emails/{id_}").json()
    assert shown["relay"]["expires_at"] > shown["scheduled_at"]


@pytest.mark.parametrize(("given", "stored"), [("<a.b@example.com>", True), ("a.b@example.com", True), ("a b", False)])
def test_a_valid_message_id_is_used(server: ApiServer, given: str, stored: bool) -> None:
    """Also twice: anymail's batches repeat one. An invalid one is replaced."""
    for _ in range(2):
        id_ = server.send(headers={"message-id": given})
        assert (server.message(id_)["message-id"] == "<a.b@example.com>") is stored
        assert (server.get(f"/emails/{id_}").json()["message_id"] == "<a.b@example.com>") is stored


def test_s16_tags(server: ApiServer) -> None:
    """Letters, digits, underscores and hyphens; a name is required."""
    refused(server.post(changed(tags=[{"name": "b c"}])), 422, "validation_error", "tags[0].name")
    refused(server.post(changed(tags=[{"name": "b\n"}])), 422, "validation_error", "tags[0].name")
    refused(server.post(changed(tags=[{"name": "a", "value": "ü"}])), 422, "validation_error", "tags[0].value")
    refused(server.post(changed(tags=[{"name": "a"}, {}])), 422, "missing_required_field", "tags[1].name")
    refused(server.post(changed(tags=[{"name": "a" * 257}])), 422, "validation_error", "tags[0].name")


@pytest.mark.parametrize("field", ["template", "topic_id"])
def test_s17_members_that_change_content_or_consent_are_refused(server: ApiServer, field: str) -> None:
    """Before the other checks, because such an email has no subject and no content."""
    body = refused(server.post(changed(subject=..., text=..., **{field: {}})), 422, "validation_error", field)
    assert body["reason"] == "unsupported_field"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{'a': 1}", b'{"a": NaN}', b"\xff\xfe", b'{"a": "\xff"}', b"[" * 100_000, b'{"a": 1}{']
)
def test_s18_no_json(server: ApiServer, data: bytes) -> None:
    """400, also for any depth of nesting."""
    refused(server.post(data), 400, "validation_error")


def test_a_lone_surrogate_is_reported(server: ApiServer) -> None:
    """JSON can express it, but it is no character (RFC 8259 §8.2)."""
    data = json.dumps(changed(headers={"X-A": "\ud800"})).encode()
    refused(server.post(data), 422, "validation_error", "headers.X-A")


@pytest.mark.parametrize("body", [[], [MINIMAL], "text", 5, None, True])
def test_s19_no_object(server: ApiServer, body: Any) -> None:
    """The body must be one object."""
    refused(server.post(body), 422, "validation_error")


def test_all_errors_of_an_email_are_reported(server: ApiServer) -> None:
    """The first one decides the status and name."""
    body = refused(server.post({"from": "x", "to": ["y", "z@example.com"], "html": 1}), 422, "validation_error", "from")
    fields = [detail["field"] for detail in body["details"]]
    assert fields == ["from", "to[0]", "subject", "html"]


def test_html_alone_gets_a_generated_text(server: ApiServer) -> None:
    """An empty `text` prevents it."""
    both = server.message(server.send(text=None, html="<p>Hi <b>Anna</b></p>"))
    assert [part.get_content_type() for part in both.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert server.message(server.send(text="", html="<p>Hi</p>")).get_content_type() == "text/html"


def test_s20_composed_size(server: ApiServer) -> None:
    """The size on the wire counts; nothing is stored."""
    before = server.count()
    body = refused(server.post(changed(text="x" * 1_100_000)), 422, "validation_error")
    assert body["reason"] == "message_too_large"
    assert "1048576" in body["message"]
    assert server.count() == before
