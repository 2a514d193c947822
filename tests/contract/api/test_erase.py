"""What a full-access key erases over HTTP, and what everybody reads of it afterwards."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from app.store.records import Permission
from tests.contract.api.door import Door, Json, accepted, open_door, refused
from tests.contract.api.test_retry import claim, settle
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
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server of its own, and a caller with full access."""
    with open_door(tmp_path_factory.mktemp("erase")) as door:
        door.client.headers["authorization"] = f"Bearer {door.make_key(Permission.FULL_ACCESS)}"
        yield door


def over(door: Door, attempt: Any = build.REFUSED, **headers: str) -> str:
    """An email that was relayed or has failed."""
    id_ = accepted(door.post(BODY, **headers))
    settle(door, claim(door, id_), attempt)
    return id_


def erase(door: Door, id_: str | UUID, key: str | None = None) -> Any:
    """POST without a body."""
    return door.post(b"", f"/emails/{id_}/erase", key)


@pytest.mark.parametrize(("attempt", "event"), [(build.RELAYED, "sent"), (build.REFUSED, "failed")])
def test_what_is_read_afterwards(door: Door, attempt: Any, event: str) -> None:
    """Every member is there, none has a name, and the explanation says why; twice is the same as once."""
    id_ = over(door, attempt)
    for _ in range(2):
        assert erase(door, id_).json() == {"object": "email", "id": id_}
    response = door.get(f"/emails/{id_}")
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
        assert refused(door.get(f"/emails/{id_}/{path}"), 404, "not_found")["reason"] == "content_not_kept"
    assert refused(door.post(b"", f"/emails/{id_}/retry"), 422, "validation_error")["reason"] in (
        "content_not_kept",
        "not_retryable",
    )
    listed = door.get("/emails").text
    assert id_ in listed
    assert "ovelace" not in listed


def test_by_address(door: Door) -> None:
    """In any case and with a name; what is not over is counted and named; a search finds nothing then."""
    done = [over(door), over(door, build.RELAYED)]
    waiting = accepted(door.post(BODY))
    found = door.post({"address": PERSON.upper(), "other": 1}, "/emails/erase")
    assert found.status_code == 200, found.text
    assert found.json() == {"object": "erasure", "erased": 2, "waiting": 1, "waiting_ids": [waiting]}
    assert PERSON not in found.text.lower()
    assert refused(erase(door, waiting), 422, "validation_error")["reason"] == "not_over"
    door.run(door.store.cancel(UUID(waiting), door.clock.now()))
    again = door.post({"address": f"Ada <{PERSON}>"}, "/emails/erase").json()
    assert (again["erased"], again["waiting"]) == (1, 0)
    assert door.get(f"/emails?to={PERSON}").json()["data"] == []
    for id_ in (*done, waiting):
        assert door.get(f"/emails/{id_}").json()["subject"] == "(erased)"
    audit = door.get("/audit").text
    assert PERSON not in audit
    assert done[0] in audit


def test_a_scheduled_one_is_cancelled_first(door: Door) -> None:
    """As the answer says."""
    id_ = accepted(door.post({**BODY, "scheduled_at": "in 1 hour"}))
    assert "postern emails cancel" in refused(erase(door, id_), 422, "validation_error")["message"]
    assert door.post(b"", f"/emails/{id_}/cancel").status_code == 200
    assert erase(door, id_).status_code == 200
    assert door.get(f"/emails/{id_}").json()["last_event"] == "canceled"


def test_one_that_is_being_relayed(door: Door) -> None:
    """Is left alone."""
    id_ = accepted(door.post(BODY))
    claimed = claim(door, id_)
    assert "being relayed now" in refused(erase(door, id_), 422, "validation_error")["message"]
    settle(door, claimed, build.RELAYED)
    assert erase(door, id_).status_code == 200


def test_an_item_of_a_batch_and_a_sink(door: Door) -> None:
    """One of a batch goes alone; what a sink has swallowed goes like any other."""
    first, second = (item["id"] for item in door.post([BODY, BODY], "/emails/batch").json()["data"])
    settle(door, claim(door, first), build.RELAYED)
    assert erase(door, first).status_code == 200
    assert door.get(f"/emails/{second}").json()["subject"] == BODY["subject"]
    sunk = accepted(door.post(BODY, key=door.make_key(sink=True)))
    assert erase(door, sunk).status_code == 200
    assert "ovelace" not in door.get(f"/emails/{sunk}").text


def test_a_repeated_request_sends_nothing(door: Door) -> None:
    """It answers the id of the erased email."""
    id_ = over(door, build.RELAYED, Idempotency_Key="erased-once")
    assert erase(door, id_).status_code == 200
    count = door.count()
    assert accepted(door.post(BODY, Idempotency_Key="erased-once")) == id_
    assert door.count() == count


@pytest.mark.parametrize(("body", "field", "name"), [
    ({}, "address", "missing_required_field"),
    ({"address": None}, "address", "missing_required_field"),
    ({"address": 5}, "address", "validation_error"),
    ({"address": "nobody"}, "address", "validation_error"),
    ({"address": ""}, "address", "validation_error"),
    ({"address": "%@example.net,x@y.zz"}, "address", "validation_error"),
    ([], None, "validation_error"),
])  # fmt: skip
def test_a_wrong_address(door: Door, body: Any, field: str | None, name: str) -> None:
    """422 that names the field; nothing is ever taken for a pattern."""
    refused(door.post(body, "/emails/erase"), 422, name, field)


def test_who_may(door: Door) -> None:
    """A full-access key alone; an unknown id is 404, what is none 422, and GET is not possible there."""
    id_ = over(door)
    for permission in (Permission.SENDING_ACCESS, Permission.SEND_ONLY):
        key = door.make_key(permission)
        refused(erase(door, id_, key), 401, "restricted_api_key")
        refused(door.post({"address": PERSON}, "/emails/erase", key), 401, "restricted_api_key")
    refused(erase(door, NOBODY), 404, "not_found")
    refused(erase(door, "nope"), 422, "invalid_parameter")
    assert refused(door.get("/emails/erase"), 405, "method_not_allowed")
    assert door.get(f"/emails/{id_}").json()["subject"] == BODY["subject"]


def test_refused_recipients_in_the_audit(door: Door) -> None:
    """The audit has their domain only."""
    key = door.make_key(recipients=("*@contoso.com",))
    refused(door.post(BODY, key=key), 403, "validation_error")
    door.post({**BODY, "from": "ada.lovelace@nowhere.example"})

    def messages() -> list[str]:
        return [one["details"].get("message", "") for one in door.get("/audit").json()["data"]]

    while not any("example.net" in message for message in messages()):
        door.run(door.store.ping())
    assert "ovelace" not in str(messages())
