"""Routes under /suppressions, in the form that the Resend SDKs read."""

from collections.abc import Iterator
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest

from app.mail.suppression import Origin
from app.store.keys.audit import Actor
from app.store.keys.records import Permission
from app.store.suppressions.records import Additions
from tests.contract.api.server import ApiServer, Json, check_error, open_server, refused

UNKNOWN = "nobody@example.org"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server with an empty list, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("suppressions")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def success(response: httpx.Response, status: int = 200) -> Json:
    """Check for this status with an object."""
    assert response.status_code == status, response.text
    body: Json = response.json()
    assert not {"statusCode", "error"} & body.keys()
    return body


def add(server: ApiServer, email: str) -> str:
    """Suppress an address; return the id."""
    body = success(server.post({"email": email}, "/suppressions"), 201)
    assert body == {"object": "suppression", "id": body["id"]}
    return str(UUID(body["id"]))


def by(server: ApiServer, key: str) -> httpx.Response:
    """Read one by id or address, escaped as the SDKs do."""
    return server.get(f"/suppressions/{quote(key, safe='')}")


def remove(server: ApiServer, key: str) -> httpx.Response:
    """Remove one by id or address."""
    return server.client.delete(f"/suppressions/{quote(key, safe='')}")


def test_an_added_address_is_read_by_id_and_by_address(server: ApiServer) -> None:
    """In any case of it, with all of Resend's members and ours."""
    id_ = add(server, "Anna <Anna.Lee@EXAMPLE.com>")
    read = success(by(server, id_))
    assert read == {
        "object": "suppression",
        "id": id_,
        "email": "anna.lee@example.com",
        "origin": "manual",
        "source_id": None,
        "created_at": read["created_at"],
        "expires_at": None,
        "evidence": None,
    }
    assert success(by(server, "ANNA.LEE@example.COM")) == read


def test_the_domain_is_compared_by_its_a_label(server: ApiServer) -> None:
    """An internationalized domain has two spellings."""
    id_ = add(server, "anna@bücher.example")
    assert success(by(server, "Anna@xn--bcher-kva.example"))["id"] == id_


def test_an_address_with_a_slash_is_found(server: ApiServer) -> None:
    """RFC 5322 allows it; in a path it is escaped."""
    id_ = add(server, "a/b@example.com")
    assert success(by(server, "a/b@example.com"))["id"] == id_
    assert success(remove(server, "a/b@example.com")) == {"object": "suppression", "id": id_, "deleted": True}


def test_an_address_that_is_suppressed_keeps_its_suppression(server: ApiServer) -> None:
    """The answer is that of the first addition."""
    assert add(server, "twice@example.com") == add(server, "TWICE@example.com")


def test_a_removed_address_is_gone(server: ApiServer) -> None:
    """By id or address; removing it again is a 404."""
    id_ = add(server, "gone@example.com")
    assert success(remove(server, id_)) == {"object": "suppression", "id": id_, "deleted": True}
    assert by(server, id_).status_code == by(server, "gone@example.com").status_code == 404
    assert "gone@example.com" in check_error(remove(server, "gone@example.com"))["message"]
    assert add(server, "gone@example.com") != id_


def test_a_batch_adds_in_order_without_duplicates(server: ApiServer) -> None:
    """Those that are suppressed already are in the answer, too."""
    old = add(server, "b@example.com")
    body = {"emails": ["a@example.com", "B@example.com", "A@example.com"]}
    added = success(server.post(body, "/suppressions/batch/add"), 201)
    assert [set(one) for one in added["data"]] == [{"object", "id"}] * 2
    assert added["data"][1]["id"] == old
    assert success(by(server, "a@example.com"))["id"] == added["data"][0]["id"]


def test_a_batch_removes_by_address_or_by_id(server: ApiServer) -> None:
    """The answer has those that were suppressed."""
    one, two = add(server, "one@example.com"), add(server, "two@example.com")
    gone = success(server.post({"emails": ["ONE@example.com", UNKNOWN]}, "/suppressions/batch/remove"))
    assert gone == {"data": [{"object": "suppression", "id": one, "deleted": True}]}
    gone = success(server.post({"ids": [two, str(uuid4())]}, "/suppressions/batch/remove"))
    assert gone == {"data": [{"object": "suppression", "id": two, "deleted": True}]}


def test_the_list_goes_from_the_newest_to_the_oldest_in_both_directions(server: ApiServer) -> None:
    """Its entries have no `object`, as in Resend's."""
    ids = [add(server, f"n{number}@example.com") for number in range(5)][::-1]

    def page(query: str) -> tuple[list[str], bool]:
        body = success(server.get(f"/suppressions?{query}"))
        assert body["object"] == "list"
        assert all("object" not in one for one in body["data"])
        return [one["id"] for one in body["data"]], body["has_more"]

    assert page("limit=5") == (ids, False)
    assert page("limit=2") == (ids[:2], True)
    assert page(f"limit=2&after={ids[1]}") == (ids[2:4], True)
    assert page(f"limit=2&after={ids[3]}") == (ids[4:], False)
    assert page(f"limit=2&before={ids[4]}") == (ids[2:4], True)
    assert page(f"limit=2&before={ids[1]}") == (ids[:1], False)


def test_the_list_is_filtered_by_origin(server: ApiServer) -> None:
    """A complaint is recorded by the command line."""
    add(server, "manual@example.com")
    now, actor = server.clock.now(), Actor("tests")
    (complaint,) = server.run(
        server.store.add_suppressions(Additions(("angry@example.com",), Origin.COMPLAINT, now, actor))
    )
    body = success(server.get("/suppressions?origin=complaint"))
    assert [one["id"] for one in body["data"]] == [str(complaint.id)]
    assert success(server.get("/suppressions?origin=bounce"))["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "name", "field"),
    [
        ("/suppressions", {}, "missing_required_field", "email"),
        ("/suppressions", {"email": None}, "missing_required_field", "email"),
        ("/suppressions", {"email": 5}, "validation_error", "email"),
        ("/suppressions", {"email": "nope"}, "validation_error", "email"),
        ("/suppressions", {"email": "a@example.com, b@example.com"}, "validation_error", "email"),
        ("/suppressions/batch/add", {}, "missing_required_field", "emails"),
        ("/suppressions/batch/add", {"emails": []}, "validation_error", "emails"),
        ("/suppressions/batch/add", {"emails": ["a@example.com"] * 101}, "validation_error", "emails"),
        ("/suppressions/batch/add", {"emails": "a@example.com"}, "validation_error", "emails"),
        ("/suppressions/batch/add", {"emails": ["a@example.com", "nope"]}, "validation_error", "emails[1]"),
        ("/suppressions/batch/add", {"emails": ["a@example.com", 5]}, "validation_error", "emails[1]"),
        ("/suppressions/batch/remove", {}, "validation_error", "emails"),
        ("/suppressions/batch/remove", {"ids": ["x"]}, "validation_error", "ids[0]"),
        ("/suppressions/batch/remove", {"ids": [5]}, "validation_error", "ids[0]"),
        (
            "/suppressions/batch/remove",
            {"ids": [str(UUID(int=1))], "emails": ["a@example.com"]},
            "validation_error",
            "emails",
        ),
    ],
)
def test_a_wrong_body_names_the_member(server: ApiServer, path: str, body: Json, name: str, field: str) -> None:
    """And nothing of it is done."""
    refused(server.post(body, path), 422, name, field)
    assert success(server.get("/suppressions"))["data"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("origin=spam", "origin"),
        ("after=x", "after"),
        (f"after={UUID(int=1)}&before={UUID(int=2)}", "after"),
    ],
)
def test_a_wrong_page_names_the_parameter(server: ApiServer, query: str, field: str) -> None:
    """As in the other lists."""
    refused(server.get(f"/suppressions?{query}"), 422, "validation_error", field)


@pytest.mark.parametrize("key", ["nope", "a@b@c", "1"])
def test_a_path_that_is_neither_an_id_nor_an_address(server: ApiServer, key: str) -> None:
    """It is a 422 of the parameter."""
    for response in (by(server, key), remove(server, key)):
        refused(response, 422, "invalid_parameter", "id")


def test_other_methods_are_refused(server: ApiServer) -> None:
    """A batch is no id."""
    assert server.get("/suppressions/batch/add").status_code == 405
    assert server.client.patch(f"/suppressions/{uuid4()}", json={}).status_code == 405


def test_only_full_access_may_see_and_change_the_list(server: ApiServer) -> None:
    """The list is one for all keys."""
    for permission in (Permission.SENDING_ACCESS, Permission.SEND_ONLY):
        key = server.make_key(permission)
        for response in (
            server.get("/suppressions", key),
            server.get(f"/suppressions/{UNKNOWN}", key),
            server.post({"email": UNKNOWN}, "/suppressions", key),
            server.post({"emails": [UNKNOWN]}, "/suppressions/batch/add", key),
            server.post({"emails": [UNKNOWN]}, "/suppressions/batch/remove", key),
        ):
            refused(response, 401, "restricted_api_key")


def test_changes_are_in_the_audit_without_the_local_part(server: ApiServer) -> None:
    """Nothing is recorded when nothing has changed."""
    id_ = add(server, "anna@example.com")
    add(server, "anna@example.com")
    two = success(server.post({"emails": ["a@example.net", "b@example.net"]}, "/suppressions/batch/add"), 201)
    remove(server, id_)
    remove(server, id_)
    entries = success(server.get("/audit"))["data"]
    assert [(one["action"], one["subject"]) for one in entries] == [
        ("suppression.removed", id_),
        ("suppression.added", "2 suppressions"),
        ("suppression.added", id_),
    ]
    assert entries[1]["details"] == {"ids": [one["id"] for one in two["data"]]}
    assert entries[2]["details"]["origin"] == "manual"
    assert "anna" not in str(entries)
    assert "example.com" in entries[2]["details"]["address"]
