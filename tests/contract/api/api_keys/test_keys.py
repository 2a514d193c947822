"""Routes under /keys and /audit: creation, change, rotation and revocation of API keys, and their audit entries."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.store.keys.records import Permission
from tests.contract.api.server import MINIMAL, ApiServer, Json, accepted, changed, check_error, open_server, refused

POLICY: Json = {
    "senders": ["*@contoso.com"],
    "default_sender": "Shop <shop@contoso.com>",
    "lanes": ["bulk"],
    "recipients": ["example.com"],
    "messages_per_minute": 5,
    "messages_per_day": 50,
    "recipients_per_day": 60,
    "bytes_per_day": 10_000_000_000,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("keys")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def ask(server: ApiServer, method: str, path: str, body: Any = None) -> Json:
    """Send a request that must succeed, with an empty body or this one."""
    response = server.client.request(method, path, content=b"" if body is None else json.dumps(body))
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    assert not {"statusCode", "error"} & answer.keys()
    return answer


def made(server: ApiServer, **policy: Any) -> Json:
    """Return a new key with its secret."""
    return ask(server, "POST", "/keys", {"name": "shop", **policy})


def audit(server: ApiServer, subject: str) -> list[Json]:
    """Return the audit entries of a key, the newest first."""
    return [one for one in ask(server, "GET", "/audit?limit=100")["data"] if one["subject"] == subject]


def test_the_secret_of_a_new_key_is_only_in_its_first_response(server: ApiServer) -> None:
    """It works at once, with its policy."""
    key = made(server, **POLICY)
    secret = key.pop("key")
    assert str(UUID(key["id"])) == key["id"]
    assert key == {
        "object": "key",
        "id": key["id"],
        "name": "shop",
        "permission": "sending_access",
        **POLICY,
        "recipients": ["*@example.com"],
        "redirect_to": None,
        "sink": False,
        "ignore_suppressions": [],
        "retry_unseen": False,
        "strict": False,
        "disabled": False,
        "created_at": key["created_at"],
        "last_used_at": None,
        "revoked_at": None,
        "old_secrets_until": [],
        "recipients_per_minute": None,
        "bytes_per_minute": None,
        "used": {
            "this_minute": 0,
            "today": 0,
            "recipients_this_minute": 0,
            "recipients_today": 0,
            "bytes_this_minute": 0,
            "bytes_today": 0,
        },
    }
    assert ask(server, "GET", f"/keys/{key['id']}") == key
    assert key in ask(server, "GET", "/keys")["data"]
    assert secret not in server.get("/keys").text + server.get("/audit").text
    email = server.get(f"/emails/{accepted(server.post(changed(from_=...), key=secret))}", key=secret).json()
    assert (email["from"], email["relay"]["lane"]) == ("Shop <shop@contoso.com>", "bulk")
    assert ask(server, "GET", f"/keys/{key['id']}")["used"]["today"] == 1


def test_a_patch_changes_the_given_members_only(server: ApiServer) -> None:
    """A missing member or null changes nothing, an empty value removes a limit. A read object can be written back."""
    key = made(server, **POLICY)
    path, secret = f"/keys/{key['id']}", key.pop("key")
    for changes, differs in (
        ({}, {}),
        (dict.fromkeys(POLICY), {}),
        ({"name": "the  shop", "unknown": 5}, {"name": "the shop"}),
        ({"permission": "send_only", "disabled": True}, {"permission": "send_only", "disabled": True}),
        ({"lanes": [], "messages_per_minute": 0}, {"lanes": [], "messages_per_minute": None}),
        ({"recipients_per_minute": 7, "bytes_per_day": 0}, {"recipients_per_minute": 7, "bytes_per_day": None}),
        ({"senders": [], "default_sender": ""}, {"senders": [], "default_sender": None}),
        ({"recipients": [], "redirect_to": "x@contoso.com"}, {"recipients": [], "redirect_to": "x@contoso.com"}),
        ({"redirect_to": "", "sink": True}, {"redirect_to": None, "sink": True}),
    ):
        key |= differs
        assert ask(server, "PATCH", path, changes) == key
    assert ask(server, "PATCH", path, key) == key
    refused(server.post(MINIMAL, key=secret), 403, "invalid_api_key")


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"name": ""}, "name", "Use one such as shop."),
        ({"name": 5}, "name", "It must be a string, not a number."),
        ({"permission": "god"}, "permission", "full_access, sending_access, send_only"),
        ({"senders": "*@contoso.com"}, "senders", "a list of strings"),
        ({"senders": ["shop-*@contoso.com"]}, "senders", "is not a pattern of a sender"),
        ({"lanes": ["express"]}, "lanes", "urgent, normal, bulk"),
        ({"recipients": [5]}, "recipients", "a list of strings"),
        ({"redirect_to": "staging"}, "redirect_to", "staging@contoso.com"),
        ({"sink": "yes"}, "sink", "true or false"),
        ({"messages_per_day": -1}, "messages_per_day", "from 1"),
        ({"messages_per_minute": 1.5}, "messages_per_minute", "a whole number"),
        ({"recipients_per_minute": "9"}, "recipients_per_minute", "a whole number"),
        ({"recipients_per_day": -1}, "recipients_per_day", "Use a whole number from 1"),
        ({"bytes_per_minute": True}, "bytes_per_minute", "a whole number"),
        ({"bytes_per_day": 10**16}, "bytes_per_day", "Use a whole number from 1"),
        ({"disabled": 1}, "disabled", "true or false"),
        ({"sink": True, "redirect_to": "a@b.example"}, "", "exclude each other"),
        ({"senders": ["a@b.example"], "default_sender": "c@b.example"}, "", "may not send as its default sender"),
    ],
)
def test_an_invalid_key_is_refused_with_field_and_fix(server: ApiServer, wrong: Json, field: str, says: str) -> None:
    """At creation and at a change, which then changes nothing."""
    key = made(server)
    del key["key"]
    for response in (
        server.post({"name": "x", **wrong}, "/keys"),
        server.client.patch(f"/keys/{key['id']}", content=json.dumps(wrong)),
    ):
        error = refused(response, 422, "validation_error")
        assert error["details"][0]["field"] == field
        assert says in error["message"]
    assert ask(server, "GET", f"/keys/{key['id']}") == key


def test_all_errors_are_reported_at_once(server: ApiServer) -> None:
    """A name is required."""
    error = refused(server.post({"lanes": 5, "sink": 5}, "/keys"), 422, "validation_error", "lanes")
    assert [detail["field"] for detail in error["details"]] == ["lanes", "sink"]
    refused(server.post({}, "/keys"), 422, "missing_required_field", "name")
    refused(server.post([], "/keys"), 422, "validation_error")


def test_a_rotated_key_has_two_secrets_during_the_overlap(server: ApiServer) -> None:
    """Without an overlap the old one ends at once."""
    key = made(server)
    rotated = ask(server, "POST", f"/keys/{key['id']}/rotate")
    assert len(rotated["old_secrets_until"]) == 1
    id_ = accepted(server.post(MINIMAL, key=key["key"]))
    assert server.get(f"/emails/{id_}", key=rotated["key"]).status_code == 200
    last = ask(server, "POST", f"/keys/{key['id']}/rotate", {"overlap": 0})
    assert last["old_secrets_until"] == []
    accepted(server.post(MINIMAL, key=last["key"]))
    for overlap in (-1, 10**9, "60", True, 1.5):
        refused(server.post({"overlap": overlap}, f"/keys/{key['id']}/rotate"), 422, "validation_error", "overlap")


def test_a_revoked_key_stays_listed_and_gets_no_new_secret(server: ApiServer) -> None:
    """A second revocation changes nothing."""
    key = made(server)
    path = f"/keys/{key['id']}"
    for _ in range(2):
        assert ask(server, "DELETE", path) == {"object": "key", "id": key["id"], "deleted": True}
    assert ask(server, "GET", path)["revoked_at"]
    assert refused(server.post({}, f"{path}/rotate"), 422, "validation_error")["reason"] == "key_revoked"
    refused(server.post(MINIMAL, key=key["key"]), 403, "invalid_api_key")
    assert [one["action"] for one in audit(server, key["id"])] == ["key.revoked", "key.created"]


def test_unknown_ids_and_methods_are_refused(server: ApiServer) -> None:
    """404 for an unknown id, 422 for a malformed one, 405 for another method; Resend's own paths stay 404."""
    for id_, status, name in ((uuid4(), 404, "not_found"), ("x", 422, "invalid_parameter")):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
            refused(server.client.request(method, f"/keys/{id_}{path}", content=b"{}"), status, name)
    refused(server.client.put("/keys", content=b"{}"), 405, "method_not_allowed")
    error = refused(server.get("/api-keys"), 404, "not_found")
    assert error["reason"] == "unsupported_resource"


def test_a_send_only_key_cannot_use_the_key_routes(server: ApiServer) -> None:
    """It cannot read even itself."""
    sender = server.make_key(Permission.SENDING_ACCESS)
    id_ = made(server)["id"]
    for method, path in (
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("GET", f"/keys/{id_}"),
        ("PATCH", f"/keys/{id_}"),
        ("DELETE", f"/keys/{id_}"),
        ("POST", f"/keys/{id_}/rotate"),
        ("GET", "/audit"),
    ):
        headers = {"authorization": f"Bearer {sender}"}
        refused(server.client.request(method, path, headers=headers), 401, "restricted_api_key")
        refused(httpx.request(method, server.url + path), 401, "missing_api_key")


def test_every_change_is_in_the_audit(server: ApiServer) -> None:
    """Actor, key, old and new value and request, the newest first."""
    key = made(server)
    path = f"/keys/{key['id']}"
    answer = server.client.patch(path, content=b'{"messages_per_day": 7}', headers={"x-request-id": "of-the-change"})
    assert answer.status_code == 200
    ask(server, "POST", f"{path}/rotate")
    ask(server, "DELETE", path)
    entries = audit(server, key["id"])
    assert [one["action"] for one in entries] == ["key.revoked", "key.rotated", "key.updated", "key.created"]
    assert {one["actor"] for one in entries} == {"key of full_access"}
    assert entries[2]["request_id"] == "of-the-change"
    assert entries[2]["details"] == {"name": "shop", "messages_per_day": {"before": None, "after": 7}}


def test_a_cancellation_over_http_is_in_the_audit(tmp_path: Path) -> None:
    """A refused one is not."""
    with open_server(tmp_path) as server:
        full = server.make_key(Permission.FULL_ACCESS)
        id_ = server.send(scheduled_at="in 1 hour")
        for status in (200, 422):
            assert server.post(path=f"/emails/{id_}/cancel").status_code == status
        refused(server.post(path=f"/emails/{id_}/retry", key=full), 422, "validation_error")
        (entry,) = server.get("/audit", key=full).json()["data"]
        assert (entry["action"], entry["subject"], entry["actor"]) == ("email.canceled", id_, "key of sending_access")
        assert entry["details"] == {"was": "queued"}


def test_cancellations_of_a_key_are_one_entry(tmp_path: Path) -> None:
    """With the id of the first and their number. Another key has its own entry, a retry always a separate one."""
    with open_server(tmp_path) as server:
        full, other = server.make_key(Permission.FULL_ACCESS), server.make_key()
        first, *rest = (server.send(scheduled_at="in 1 hour") for _ in range(40))
        others = accepted(server.post(changed(scheduled_at="in 1 hour"), key=other))
        for id_ in (first, *rest[:20]):
            assert server.post(path=f"/emails/{id_}/cancel").status_code == 200
        assert server.post(path=f"/emails/{others}/cancel", key=other).status_code == 200
        for id_ in rest[20:]:
            assert server.post(path=f"/emails/{id_}/cancel", key=full).status_code == 200
        entries = server.get("/audit", key=full).json()["data"]
        found = {(one["action"], one["subject"], one["times"]) for one in entries}
        assert found == {
            ("email.canceled", first, 21),
            ("email.canceled", others, 1),
            ("email.canceled", rest[20], 19),
        }
        for name in ("a", "b"):
            assert server.post({"name": name}, "/keys", full).status_code == 200
        assert [one["times"] for one in server.get("/audit", key=full).json()["data"]][:2] == [1, 1]


def test_the_audit_is_read_page_by_page(server: ApiServer) -> None:
    """`after` is the last entry of the previous page."""
    for _ in range(5):
        made(server)
    whole = ask(server, "GET", "/audit?limit=100")["data"]
    first = ask(server, "GET", "/audit?limit=2")
    second = ask(server, "GET", f"/audit?limit=2&after={first['data'][-1]['id']}")
    assert first["data"] + second["data"] == whole[:4]
    assert first["has_more"]
    for query in ("limit=0", "limit=101", "limit=x", "after=x"):
        check_error(server.get(f"/audit?{query}"))
