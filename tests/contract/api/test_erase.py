"""Erasure with a full-access key over HTTP, and responses afterwards."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from app.store.keys.records import Permission
from tests.contract.api.emails.test_retry import claim, settle
from tests.contract.api.server import ApiServer, Json, accepted, open_server, refused
from tests.contract.store import build

PERSON = "ada.lovelace@example.net"
FILE = {"filename": "ada-lovelace.txt", "content": "aGk="}
BODY: Json = {
    "from": "Ada Lovelace <noreply@contoso.com>",
    "to": [f"Ada Lovelace <{PERSON}>", "bob@example.net"],
    "subject": "Dear Ada Lovelace",
    "text": "Dear Ada Lovelace",
    "html": "<p>Dear Ada Lovelace</p>",
    "headers": {"X-Person": PERSON},
    "tags": [{"name": "person", "value": "lovelace"}],
    "attachments": [FILE],
}
NOBODY = UUID(int=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server of its own, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("erase")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def ended_email(server: ApiServer, attempt: Any = build.REFUSED, **headers: str) -> str:
    """Create an email that was relayed or has failed."""
    id_ = accepted(server.post(BODY, **headers))
    settle(server, claim(server, id_), attempt)
    return id_


def erase(server: ApiServer, id_: str | UUID, key: str | None = None) -> Any:
    """POST without a body."""
    return server.post(b"", f"/emails/{id_}/erase", key)


@pytest.mark.parametrize(("attempt", "event"), [(build.RELAYED, "sent"), (build.REFUSED, "failed")])
def test_an_erased_email_has_all_members_without_names(server: ApiServer, attempt: Any, event: str) -> None:
    """The explanation has the reason; a second erasure changes nothing."""
    id_ = ended_email(server, attempt)
    for _ in range(2):
        assert erase(server, id_).json() == {"object": "email", "id": id_}
    response = server.get(f"/emails/{id_}")
    shown = response.json()
    assert "ovelace" not in response.text
    assert (shown["html"], shown["text"], shown["tags"]) == (None, None, [])
    assert (shown["from"], shown["subject"], shown["last_event"]) == ("noreply@contoso.com", "(erased)", event)
    assert shown["to"] == ["erased@erased.invalid"] * 2
    relay = shown["relay"]
    assert relay["content_removed_at"] is not None
    assert relay["explanation"]["summary"].startswith("It was erased")
    assert [one["address"] for one in relay["recipients"]] == ["erased-1@erased.invalid", "erased-2@erased.invalid"]
    assert [attempt["dialogue"] for attempt in relay["attempts"]] == [[]]
    for path in ("attachments", f"attachments/{NOBODY}", f"attachments/{NOBODY}/content"):
        assert refused(server.get(f"/emails/{id_}/{path}"), 404, "not_found")["reason"] == "content_not_kept"
    assert refused(server.post(b"", f"/emails/{id_}/retry"), 422, "validation_error")["reason"] in (
        "content_not_kept",
        "not_retryable",
    )
    listed = server.get("/emails").text
    assert id_ in listed
    assert "ovelace" not in listed


def test_erasure_by_address(server: ApiServer) -> None:
    """In any case and with a display name. Unfinished emails are counted and listed; a search finds nothing."""
    done = [ended_email(server), ended_email(server, build.RELAYED)]
    waiting = accepted(server.post(BODY))
    found = server.post({"address": PERSON.upper(), "other": 1}, "/emails/erase")
    assert found.status_code == 200, found.text
    assert found.json() == {"object": "erasure", "erased": 2, "waiting": 1, "waiting_ids": [waiting]}
    assert PERSON not in found.text.lower()
    assert refused(erase(server, waiting), 422, "validation_error")["reason"] == "not_over"
    server.run(server.store.cancel(UUID(waiting), server.clock.now()))
    again = server.post({"address": f"Ada <{PERSON}>"}, "/emails/erase").json()
    assert (again["erased"], again["waiting"]) == (1, 0)
    assert server.get(f"/emails?to={PERSON}").json()["data"] == []
    for id_ in (*done, waiting):
        assert server.get(f"/emails/{id_}").json()["subject"] == "(erased)"
    audit = server.get("/audit").text
    assert PERSON not in audit
    assert done[0] in audit


def test_a_scheduled_email_must_be_cancelled_first(server: ApiServer) -> None:
    """As the error says."""
    id_ = accepted(server.post({**BODY, "scheduled_at": "in 1 hour"}))
    assert "postern emails cancel" in refused(erase(server, id_), 422, "validation_error")["message"]
    assert server.post(b"", f"/emails/{id_}/cancel").status_code == 200
    assert erase(server, id_).status_code == 200
    assert server.get(f"/emails/{id_}").json()["last_event"] == "canceled"


def test_an_email_in_flight_is_not_erased(server: ApiServer) -> None:
    id_ = accepted(server.post(BODY))
    claimed = claim(server, id_)
    assert "being relayed now" in refused(erase(server, id_), 422, "validation_error")["message"]
    settle(server, claimed, build.RELAYED)
    assert erase(server, id_).status_code == 200


def test_an_item_of_a_batch_and_an_email_of_a_sink_are_erased(server: ApiServer) -> None:
    first, second = (item["id"] for item in server.post([BODY, BODY], "/emails/batch").json()["data"])
    settle(server, claim(server, first), build.RELAYED)
    assert erase(server, first).status_code == 200
    assert server.get(f"/emails/{second}").json()["subject"] == BODY["subject"]
    discarded = accepted(server.post(BODY, key=server.make_key(sink=True)))
    assert erase(server, discarded).status_code == 200
    assert "ovelace" not in server.get(f"/emails/{discarded}").text


def test_an_idempotent_repetition_returns_the_erased_email(server: ApiServer) -> None:
    id_ = ended_email(server, build.RELAYED, Idempotency_Key="erased-once")
    assert erase(server, id_).status_code == 200
    count = server.count()
    assert accepted(server.post(BODY, Idempotency_Key="erased-once")) == id_
    assert server.count() == count


@pytest.mark.parametrize(("body", "field", "name"), [
    ({}, "address", "missing_required_field"),
    ({"address": None}, "address", "missing_required_field"),
    ({"address": 5}, "address", "validation_error"),
    ({"address": "nobody"}, "address", "validation_error"),
    ({"address": ""}, "address", "validation_error"),
    ({"address": "%@example.net,x@y.zz"}, "address", "validation_error"),
    ([], None, "validation_error"),
])  # fmt: skip
def test_a_malformed_address_is_422(server: ApiServer, body: Any, field: str | None, name: str) -> None:
    """No address is a pattern."""
    refused(server.post(body, "/emails/erase"), 422, name, field)


def test_only_a_full_access_key_may_erase(server: ApiServer) -> None:
    """404 for an unknown id, 422 for a malformed one, 405 for GET."""
    id_ = ended_email(server)
    for permission in (Permission.SENDING_ACCESS, Permission.SEND_ONLY):
        key = server.make_key(permission)
        refused(erase(server, id_, key), 401, "restricted_api_key")
        refused(server.post({"address": PERSON}, "/emails/erase", key), 401, "restricted_api_key")
    refused(erase(server, NOBODY), 404, "not_found")
    refused(erase(server, "nope"), 422, "invalid_parameter")
    assert refused(server.get("/emails/erase"), 405, "method_not_allowed")
    assert server.get(f"/emails/{id_}").json()["subject"] == BODY["subject"]


def test_the_audit_has_only_the_domain_of_refused_recipients(server: ApiServer) -> None:
    key = server.make_key(recipients=("*@contoso.com",))
    refused(server.post(BODY, key=key), 403, "validation_error")
    server.post({**BODY, "from": "ada.lovelace@nowhere.example"})

    def messages() -> list[str]:
        return [one["details"].get("message", "") for one in server.get("/audit").json()["data"]]

    while not any("example.net" in message for message in messages()):
        server.run(server.store.write_probe())
    assert "ovelace" not in str(messages())
