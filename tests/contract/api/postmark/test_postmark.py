"""POST /email and POST /email/batch: requests and responses of Postmark's SDKs, through a real socket."""

import base64
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings, strategies

from app.api.postmark.email import split_addresses
from app.store.keys.records import Permission
from tests.contract.api.http.test_fuzz import QUICK, VALUES
from tests.contract.api.server import SENDER, ApiServer, Json, open_server, refused, small

MINIMAL: Json = {"From": SENDER, "To": "anna@example.com", "Subject": "Hello", "TextBody": "Hi Anna"}
LOGO = bytes(range(256))
NAMES = strategies.sampled_from(
    [
        "From",
        "To",
        "Cc",
        "Bcc",
        "ReplyTo",
        "Subject",
        "HtmlBody",
        "TextBody",
        "Headers",
        "Attachments",
        "Tag",
        "Metadata",
        "TemplateId",
    ]
)


def post(server: ApiServer, content: Any, path: str = "/email", **headers: str) -> httpx.Response:
    """POST with Postmark's header, unless another is given."""
    given = {name.replace("_", "-"): value for name, value in headers.items()} or {
        "x-postmark-server-token": server.key
    }
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = server.client.build_request("POST", path, content=data, headers=given)
    if "authorization" not in given:
        del request.headers["authorization"]
    return server.client.send(request)


def email(**changes: Any) -> Json:
    """Return the minimal email with changes; `...` removes a member."""
    return {name: value for name, value in (MINIMAL | changes).items() if value is not ...}


def sent(response: httpx.Response) -> str:
    """Return the MessageID after a check of the form of a success."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return checked(response.json())


def checked(body: Json) -> str:
    """Return it after the same check of one item of a batch."""
    assert body.keys() - {"warnings"} == {"To", "SubmittedAt", "MessageID", "ErrorCode", "Message"}
    assert (body["ErrorCode"], body["Message"]) == (0, "OK")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(body["SubmittedAt"])).total_seconds()) < 600
    assert str(UUID(body["MessageID"])) == body["MessageID"]
    return str(body["MessageID"])


def wrong(response: httpx.Response, status: int, code: int) -> str:
    """Return the Message after a check of the form of an error, which has no member of the native form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body: Json = response.json()
    assert body.keys() == {"ErrorCode", "Message"}
    assert body["ErrorCode"] == code, body
    assert response.headers["x-request-id"]
    return str(body["Message"])


def parts(message: EmailMessage) -> dict[str, tuple[str | None, str | None, bytes]]:
    """Return disposition, Content-ID and bytes by filename."""
    return {
        str(part.get_filename()): (part.get_content_disposition(), part["Content-ID"], part.get_content())
        for part in message.walk()
        if part.get_content_disposition()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"To": ..., "Bcc": "bob@example.com"},
        {"To": ..., "Cc": "bob@example.com"},
        {"To": "", "Cc": "bob@example.com", "Bcc": "eve@example.com"},
        {"To": None, "Bcc": '"Doe, Jane" <jane@example.com>, bob@example.com'},
        {"To": " , ", "Bcc": "bob@example.com"},
    ],
)
def test_cc_or_bcc_alone_is_enough(server: ApiServer, changes: Json) -> None:
    """As for Postmark; in a batch, too."""
    body = email(**changes)
    answers = [post(server, body).json(), *post(server, [body, email()], "/email/batch").json()]
    assert [checked(answer) and answer["To"] for answer in answers] == ["", "", "anna@example.com"]
    message = server.message(answers[0]["MessageID"])
    assert ("to" in message, "cc" in message, "bcc" in message) == (False, "Cc" in changes, False)
    shown = server.get(f"/emails/{answers[0]['MessageID']}").json()
    assert shown["to"] == []
    assert len(shown["relay"]["recipients"]) == sum(str(changes.get(name, "")).count("@") for name in ("Cc", "Bcc"))


@pytest.mark.parametrize(
    "changes", [{"To": ...}, {"To": "", "Cc": "", "Bcc": ""}, {"To": ..., "Bcc": " , "}, {"To": ..., "Cc": [""]}]
)
def test_no_recipient_is_refused(server: ApiServer, changes: Json) -> None:
    assert wrong(post(server, email(**changes)), 422, 300).startswith("To: The recipient is missing")


def test_warnings_use_postmarks_names(server: ApiServer) -> None:
    """Present only if something was changed."""
    assert "warnings" not in post(server, email()).json()
    answer = post(server, email(To="An\u202ena <anna@example.com>", Subject="Hi\0", TextBody="a\ud83d")).json()
    assert [one["field"] for one in answer["warnings"]] == ["To[0]", "Subject", "TextBody"]
    (item,) = post(server, [email(Headers=[{"Name": "Resent-To", "Value": "a@x.com"}])], "/email/batch").json()
    assert [one["field"] for one in item["warnings"]] == ["Headers.Resent-To"]


def test_every_member(server: ApiServer) -> None:
    """The message equals Postmark's; GET /emails/{id} reads it, too."""
    id_ = sent(
        post(
            server,
            email(
                From=f'"Größe, Inc." <{SENDER}>',
                To='"Doe, Jane" <jane@example.com>, bob@example.com,',
                Cc="Łukasz <lukasz@example.net>",
                Bcc="audit@example.org, \t archive@example.org",
                ReplyTo="help@contoso.com, Sales <sales@contoso.com>",
                Subject="Größe",
                HtmlBody="<p>Hi <img src='cid:logo.png'></p>",
                Headers=[{"Name": "X-Order", "Value": "18"}, {"Name": "Message-ID", "Value": "<18@contoso.com>"}],
                Tag='Welcome, "friend" ü!',
                Metadata={"customer id": "42", "vip": True},
                Attachments=[
                    {"Name": "a.txt", "Content": "aGk=", "ContentType": "text/plain"},
                    {
                        "Name": "logo.png",
                        "Content": base64.b64encode(LOGO).decode(),
                        "ContentType": "image/png",
                        "ContentID": "cid:logo.png",
                    },
                ],
                TrackOpens=True,
                TrackLinks="HtmlAndText",
                MessageStream="outbound",
            ),
        )
    )
    message = server.message(id_)
    assert message["From"] == f'"Größe, Inc." <{SENDER}>'
    assert message["To"] == '"Doe, Jane" <jane@example.com>, bob@example.com'
    assert (message["Cc"], message["Bcc"]) == ("Łukasz <lukasz@example.net>", None)
    assert message["Reply-To"] == "help@contoso.com, Sales <sales@contoso.com>"
    assert (message["X-Order"], message["Message-ID"]) == ("18", "<18@contoso.com>")
    assert parts(message) == {
        "a.txt": ("attachment", None, "hi"),
        "logo.png": ("inline", "<logo.png>", LOGO),
    }
    assert b"Welcome" not in message.as_bytes()
    assert b"customer" not in message.as_bytes()
    shown = server.get(f"/emails/{id_}").json()
    assert shown["bcc"] == ["audit@example.org", "archive@example.org"]
    assert [(tag["name"], tag["value"]) for tag in shown["tags"]] == [
        ("tag", 'Welcome, "friend" ü!'),
        ("customer id", "42"),
        ("vip", "true"),
    ]
    assert id_ in [one["id"] for one in server.get("/emails?tag=tag:Welcome,%20%22friend%22%20%C3%BC!").json()["data"]]


def test_the_response_has_to_as_text(server: ApiServer) -> None:
    body = post(server, email(To="Anna <anna@example.com>,bob@example.com", Cc=None, Headers=None)).json()
    assert body["To"] == "Anna <anna@example.com>, bob@example.com"


def test_either_header_may_have_the_key(server: ApiServer) -> None:
    """Postmark's takes precedence over Bearer, which a gateway may use."""
    sent(post(server, MINIMAL, x_postmark_server_token=server.key, authorization="Basic eDp5"))
    sent(post(server, MINIMAL, authorization=f"Bearer {server.key}"))
    sent(post(server, MINIMAL, x_postmark_server_token=server.make_key(Permission.SEND_ONLY)))
    assert "X-Postmark-Server-Token" in wrong(post(server, MINIMAL, x="y"), 401, 10)
    wrong(post(server, MINIMAL, x_postmark_server_token=""), 401, 10)
    wrong(post(server, MINIMAL, x_postmark_server_token="wrong"), 401, 10)
    wrong(post(server, MINIMAL, "/email/batch", x_postmark_server_token="wrong"), 401, 10)


def test_postmarks_header_is_not_accepted_by_native_routes(server: ApiServer) -> None:
    refused(post(server, MINIMAL, "/emails"), 401, "missing_api_key")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"To": ...}, 300, "To: "),
        ({"To": "nope"}, 300, "To[0]: "),
        ({"To": "a@example.com, b"}, 300, "To[1]: "),
        ({"To": "Doe, Jane <a@example.com>"}, 300, "To[0]: "),
        ({"To": 5}, 300, "To: "),
        ({"To": ",".join(["a@example.com"] * 51)}, 300, "To: "),
        ({"To": "a@example.com" + "," * 256 * 1024}, 300, "To: "),
        ({"Bcc": "," * 256 * 1024 + "a@example.com"}, 300, "Bcc: "),
        ({"Cc": "x@y@z.example"}, 300, "Cc[0]: "),
        ({"ReplyTo": "nope"}, 300, "ReplyTo[0]: "),
        ({"From": ...}, 300, "From: "),
        ({"From": "x@elsewhere.example"}, 400, "From: x@elsewhere.example"),
        ({"Subject": ""}, 300, "Subject: "),
        ({"Subject": "a\r\nBcc: b@example.com"}, 300, "Subject: "),
        ({"TextBody": ...}, 300, "TextBody: "),
        ({"HtmlBody": 5}, 300, "HtmlBody: "),
        ({"Headers": "x"}, 300, "Headers: "),
        ({"Headers": ["x"]}, 300, "Headers[0]: "),
        ({"Headers": [{"Name": "A", "Value": "b\nc"}]}, 300, "Headers.A: "),
        ({"Headers": [{"Name": "A", "Value": "b"}] * 2}, 300, "Headers[1]: "),
        ({"Headers": [{"Name": str(n), "Value": ""} for n in range(1001)]}, 300, "Headers: "),
        ({"Attachments": [{"Name": "a", "Content": "?"}]}, 300, "Attachments[0].Content: "),
        ({"Attachments": [{"Name": "a"}]}, 300, "Attachments[0].Content: "),
        ({"Attachments": [{"Content": "aGk=", "ContentID": "cid:a\nb"}]}, 300, "Attachments[0].ContentID: "),
        ({"Attachments": ["a"]}, 300, "Attachments[0]: "),
        ({"Attachments": {}}, 300, "Attachments: "),
        ({"Tag": []}, 300, "Tag: "),
        ({"Tag": "x" * 1001}, 300, "Tag: "),
        ({"Metadata": []}, 300, "Metadata: "),
        ({"Metadata": {"": "x"}}, 300, "Metadata: "),
        ({"Metadata": {str(n): "" for n in range(1001)}}, 300, "Metadata: "),
        ({"Metadata": {"a": {}}}, 300, "Metadata.a: "),
        ({"Metadata": {"a": "\0"}}, 300, "Metadata.a: "),
        ({"TemplateId": 5}, 1101, "TemplateId: "),
        ({"TemplateAlias": "welcome"}, 1101, "TemplateId: "),
        ({"TemplateModel": {}}, 1101, "TemplateId: "),
    ],
)
def test_an_invalid_email_is_422_with_postmarks_code(server: ApiServer, changes: Json, code: int, words: str) -> None:
    """With the member's name in Postmark's spelling, alone and in a batch."""
    before = server.count()
    message = wrong(post(server, email(**changes)), 422, code)
    assert message.startswith(words)
    response = post(server, [email(**changes)], "/email/batch")
    assert (response.status_code, response.json()) == (200, [{"ErrorCode": code, "Message": message}])
    assert server.count() == before


def test_invalid_json_has_postmarks_code(server: ApiServer) -> None:
    """402 for invalid JSON, 403 for JSON of another type."""
    for path in ("/email", "/email/batch"):
        wrong(post(server, b"{", path), 422, 402)
        wrong(post(server, 5, path), 422, 403)
    wrong(post(server, [MINIMAL]), 422, 403)
    wrong(post(server, MINIMAL, "/email/batch"), 422, 403)
    wrong(post(server, [], "/email/batch"), 422, 403)
    assert post(server, [5], "/email/batch").json()[0]["ErrorCode"] == 403


def test_a_batch_stores_the_valid_items_in_one_commit(server: ApiServer) -> None:
    """Each item has its own result, in order."""
    before = server.count()
    response = post(server, [email(Subject="one"), email(To="nope"), email(Subject="two")], "/email/batch")
    assert response.status_code == 200
    first, bad, second = response.json()
    assert bad["ErrorCode"] == 300
    assert [server.get(f"/emails/{checked(one)}").json()["subject"] for one in (first, second)] == ["one", "two"]
    assert server.count() == before + 2


def test_a_batch_of_five_hundred(server: ApiServer) -> None:
    """The largest batch of Postmark's SDKs; one more is refused."""
    body = post(server, [MINIMAL] * 500, "/email/batch").json()
    assert len({checked(one) for one in body}) == 500
    wrong(post(server, [MINIMAL] * 501, "/email/batch"), 422, 410)


@pytest.mark.parametrize("path", ["/email", "/email/batch"])
def test_idempotency_keys_are_per_path(server: ApiServer, path: str) -> None:
    """An extension: Postmark has none."""
    content = MINIMAL if path == "/email" else [MINIMAL, email(To="nope"), MINIMAL]
    once = {"x_postmark_server_token": server.key, "idempotency_key": str(uuid4())}
    first = post(server, content, path, **once)
    before = server.count()
    assert post(server, content, path, **once).json() == first.json()
    wrong(post(server, email(Subject="x") if path == "/email" else [MINIMAL], path, **once), 409, 300)
    wrong(post(server, content, path, **once | {"idempotency_key": "x" * 257}), 422, 300)
    assert server.count() == before
    sent(post(server, MINIMAL, "/email", **once | {"idempotency_key": once["idempotency_key"] + path}))


def test_concurrent_requests_with_one_idempotency_key_store_one_email(server: ApiServer) -> None:
    """The others wait for it."""
    once = {"x_postmark_server_token": server.key, "idempotency_key": str(uuid4())}
    before = server.count()
    with ThreadPoolExecutor(4) as pool, closing(sqlite3.connect(server.database, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        first = pool.submit(post, server, MINIMAL, **once)
        second = pool.submit(post, server, MINIMAL, **once)
        done = next(one for one in iter(lambda: first if first.done() else second, None) if one.done())
        wrong(done.result(), 409, 300)
        lock.execute("ROLLBACK")
        sent((second if done is first else first).result())
    assert server.count() == before + 1


def test_unsupported_routes_require_a_key_and_have_postmarks_form(server: ApiServer) -> None:
    """Templates, bulk, other methods."""
    for path in ("/email/withTemplate", "/email/batchWithTemplates", "/email/withTemplate/"):
        wrong(post(server, {"TemplateId": 1}, path), 422, 1101)
        wrong(post(server, {"TemplateId": 1}, path, x="y"), 401, 10)
    wrong(post(server, {}, "/email/bulk"), 404, 300)
    wrong(server.client.get("/email/bulk/x"), 404, 300)
    gone = server.client.get("/email")
    wrong(gone, 405, 300)
    assert gone.headers["allow"] == "POST"
    refused(server.client.get("/emailx"), 404, "not_found")


def test_transport_errors_have_postmarks_form(tmp_path: Path) -> None:
    """Too large, a crash, an unavailable store, a stop: with Retry-After where it applies."""
    with open_server(tmp_path, limits=small(max_body_bytes=2000, max_message_bytes=1000)) as server:
        wrong(post(server, email(TextBody="x" * 3000)), 413, 300)
        wrong(post(server, email(TextBody="x" * 1500)), 422, 300)
        wrong(post(server, email(From="crash@contoso.com")), 500, 100)
        server.draining = True
        stopping = post(server, MINIMAL)
        wrong(stopping, 503, 100)
        assert stopping.headers["retry-after"].isdecimal()
        server.draining = False
        sent(post(server, MINIMAL))
        server.run(server.store.close())
        away = post(server, MINIMAL)
        wrong(away, 503, 100)
        assert away.headers["retry-after"].isdecimal()


def test_a_large_email_is_read_in_a_thread(server: ApiServer) -> None:
    """With the same result."""
    message = server.message(sent(post(server, email(TextBody="x" * 400_000))))
    assert message.get_content() == "x" * 400_000 + "\r\n"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        (" , ,", []),
        ("a@x.example", ["a@x.example"]),
        ("a@x.example,b@x.example ,", ["a@x.example", "b@x.example"]),
        ('"Doe, \\"J\\", x" <a@x.example>, B <b@x.example>', ['"Doe, \\"J\\", x" <a@x.example>', "B <b@x.example>"]),
        ('"open, <a@x.example>', ['"open, <a@x.example>']),
    ],
)
def test_commas_separate_addresses(text: str, addresses: list[str]) -> None:
    """Except in a quoted display name."""
    assert split_addresses(text) == addresses


@settings(QUICK)
@given(strategies.dictionaries(NAMES, VALUES, max_size=4))
def test_anything_at_all(server: ApiServer, changes: Json) -> None:
    """Is sent or refused, never a crash; and a batch says of it what the single request says. (What is no JSON, or no
    Unicode, makes the whole batch unreadable.)"""
    own = server.make_key()  # refused requests are limited for each key
    single = post(server, MINIMAL | changes, x_postmark_server_token=own)
    batch = post(server, [MINIMAL | changes], "/email/batch", x_postmark_server_token=own)
    if batch.status_code != 200:
        code = batch.json()["ErrorCode"]
        assert wrong(batch, 422, code)
        assert wrong(single, 422, code)
        return
    (batched,) = batch.json()
    if single.status_code == 200:
        sent(single)
        checked(batched)
    else:
        assert single.status_code == 422
        assert wrong(single, 422, batched["ErrorCode"]) == batched["Message"]
