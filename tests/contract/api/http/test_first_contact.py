"""Sentences for the first requests of a new caller: wrong paths, wrong places of the key, misspelt members."""

import httpx
import pytest

from app.store.keys.records import Permission
from tests.contract.api.server import ApiServer, changed, refused


@pytest.mark.direct("a gateway passes on the paths of the API alone")
@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/", "This is Postern, which sends emails: use POST /emails."),
        ("POST", "/v1/emails", "There is nothing at /v1/emails. Paths have no version here: use /emails."),
        ("GET", "/api/v2", "Paths have no version here: use /emails."),
        ("POST", "/v3/mail/send", "/v3/mail/send is a path of SendGrid. Postern has the APIs of Resend (POST /emails)"),
        ("POST", "/v3/mg.example.com/messages", "is a path of Mailgun."),
        ("POST", "/api/1.0/messages/send.json", "is a path of Mandrill."),
        ("GET", "/nothing", "There is nothing at /nothing."),
    ],
)
def test_an_unknown_path(server: ApiServer, method: str, path: str, text: str) -> None:
    """The answer names the right path and the documentation, also without an API key."""
    for headers in ({}, {"authorization": "Bearer pst_unknown"}):
        answer = httpx.request(method, f"{server.url}{path}", headers=headers)
        message = refused(answer, 404, "not_found")["message"]
        assert text in message
        assert message.endswith("The API is described at /docs.")


def test_an_error_leads_to_its_documentation(server: ApiServer) -> None:
    """The header field Link has the part of /docs about the name of the error; the members are unchanged."""
    answer = server.post(changed(to=[]))
    name = answer.json()["name"]
    assert answer.headers["link"] == f'</docs#errors-{name}>; rel="help"'
    assert answer.json().keys() <= {"statusCode", "name", "message", "reason", "details", "request_id"}
    page = server.client.get("/docs").text
    for one in (name, "not_found", "method_not_allowed", "missing_api_key", "application_error"):
        assert f'id="errors-{one}"' in page


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "There is no API key in the request."),
        ({"authorization": "SECRET"}, "The header Authorization lacks the word `Bearer` before the API key."),
        ({"authorization": "Bearer"}, "The header Authorization has no API key after `Bearer`."),
        ({"authorization": "Basic SECRET"}, "The header Authorization has another scheme than Bearer."),
        ({"x-api-key": "SECRET"}, "The header X-Api-Key is not read for an API key here."),
    ],
)
def test_a_key_in_another_place(server: ApiServer, headers: dict[str, str], text: str) -> None:
    """The sentence names the fault and the right header, and never quotes the value."""
    answer = httpx.post(f"{server.url}/emails", json={}, headers=headers)
    message = refused(answer, 401, "missing_api_key")["message"]
    assert message.startswith(text)
    assert message.endswith("Send it in the header `Authorization: Bearer <key>`.")
    assert "SECRET" not in answer.text


def test_unknown_members_are_reported(server: ApiServer) -> None:
    """An email with a misspelt member is accepted with a warning, which has the member that is most like it."""
    key = server.make_key(permission=Permission.SENDING_ACCESS)
    answer = server.post(changed(htm="<p>x</p>", Subjekt="x", zzz=1, nothing=None, replyTo="a@example.com"), key=key)
    assert answer.status_code == 200
    assert answer.json()["warnings"] == [
        {"field": "htm", "message": "`htm` is unknown and was ignored; did you mean `html`?"},
        {"field": "Subjekt", "message": "`Subjekt` is unknown and was ignored; did you mean `subject`?"},
        {"field": "zzz", "message": "`zzz` is unknown and was ignored."},
    ]


def test_warnings_of_unknown_members_are_bounded(server: ApiServer) -> None:
    """Ten of them, each with 64 characters of the name, and without control characters."""
    names = {f"\x1b{number:02d}{'x' * 5000}": number for number in range(200)}
    warnings = server.post(changed(**names)).json()["warnings"]
    assert len(warnings) == 10
    assert all(len(one["field"]) <= 70 and "\x1b" not in one["field"] for one in warnings)


@pytest.mark.parametrize(
    ("method", "path", "valid"),
    [
        ("GET", "/emails?limt=5", "limit, after, before, last_event, to, from,"),
        ("GET", "/suppressions?page=2", "origin, limit, after, before"),
        ("GET", "/mailboxes?limit=5", ""),
        ("POST", "/emails?to=a@example.com", ""),
        ("POST", "/email?to=a@example.com", ""),
    ],
)
def test_an_unknown_query_parameter(server: ApiServer, method: str, path: str, valid: str) -> None:
    """It is refused on every route that needs a key, with its name and the valid ones: a typo would select too much."""
    headers = {"authorization": f"Bearer {server.make_key(permission=Permission.FULL_ACCESS)}"}
    answer = httpx.request(method, f"{server.url}{path}", headers=headers)
    assert answer.status_code == 422
    message = answer.json().get("message") or answer.json()["Message"]
    assert message.lower().startswith(path.partition("?")[2].partition("=")[0] + ": ")
    assert (f"Valid here: {valid}" if valid else "This request has no query parameters; leave it out.") in message
