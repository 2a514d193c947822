"""PATCH /emails/{id} and POST /emails/{id}/cancel: cases C4 to C7."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store.records import Permission
from tests.contract.api.door import Door, Json, accepted, changed, check_error, open_door, refused
from tests.contract.api.test_fuzz import QUICK, VALUES
from tests.contract.store import build


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server whose queue no other test fills."""
    with open_door(tmp_path_factory.mktemp("changes")) as door:
        yield door


@pytest.fixture
def later(door: Door) -> str:
    """An email that is to be sent in an hour."""
    return door.send(scheduled_at="in 1 hour")


def patch(door: Door, id_: str, body: Any, key: str | None = None) -> httpx.Response:
    """PATCH as JSON."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return door.client.patch(f"/emails/{id_}", json=body, headers=headers)


def cancel(door: Door, id_: str, content: bytes = b"", key: str | None = None, **headers: str) -> httpx.Response:
    """POST it."""
    return door.post(content, f"/emails/{id_}/cancel", key, **headers)


def done(response: httpx.Response, id_: str) -> None:
    """The answer to a change."""
    assert (response.status_code, response.json()) == (200, {"object": "email", "id": id_}), response.text


def show(door: Door, id_: str) -> Json:
    """As GET has it."""
    shown: Json = door.get(f"/emails/{id_}").json()
    return shown


def unscheduled(response: httpx.Response) -> None:
    """422, with the reason."""
    assert refused(response, 422, "validation_error")["reason"] == "not_scheduled"


def moment(text: str) -> float:
    """Epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def test_c4_another_time(door: Door, later: str) -> None:
    """GET shows it; the life of the email counts from then, and so does its Date."""
    done(patch(door, later, {"scheduled_at": "in 2 hours"}), later)
    shown = show(door, later)
    at = moment(shown["scheduled_at"])
    assert at == pytest.approx(door.clock.now() + 7200, abs=20)
    assert (shown["last_event"], shown["relay"]["next_attempt_at"]) == ("scheduled", shown["scheduled_at"])
    assert moment(shown["relay"]["expires_at"]) == pytest.approx(at + 5 * 86_400, abs=0.01)
    assert abs(door.message(later)["Date"].datetime.timestamp() - at) < 1
    assert "It is to be sent at" in shown["relay"]["explanation"]["summary"]


@pytest.mark.parametrize("time", ["2020-01-01T00:00:00Z", "in 0 seconds"])
def test_c4_a_time_that_has_passed(door: Door, later: str, time: str) -> None:
    """Sends it at once. It is not late: it was to be sent now."""
    done(patch(door, later, {"scheduledAt": time}), later)
    shown = show(door, later)
    assert (shown["last_event"], shown["relay"]["state"]) == ("queued", "queued")
    assert moment(shown["scheduled_at"]) <= door.clock.now()
    unscheduled(patch(door, later, {"scheduled_at": "in 1 hour"}))


@pytest.mark.parametrize("body", [{}, {"scheduled_at": None}, {"id": "x"}, {"scheduledAt": None}])
def test_c4_without_a_time(door: Door, later: str, body: Json) -> None:
    """There is nothing to do."""
    refused(patch(door, later, body), 422, "missing_required_field", "scheduled_at")


@pytest.mark.parametrize("time", ["tomorrow", "in 31 days", 5, {}, "", []])
def test_c4_a_bad_time(door: Door, later: str, time: Any) -> None:
    """As for POST; the old one stays."""
    before = show(door, later)
    refused(patch(door, later, {"scheduled_at": time}), 422, "validation_error", "scheduled_at")
    assert show(door, later) == before


def test_c4_a_bad_body(door: Door, later: str) -> None:
    """One JSON object."""
    refused(patch(door, later, []), 422, "validation_error")
    refused(door.client.patch(f"/emails/{later}", content=b""), 400, "validation_error")


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"{", b"x" * 100_000])
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain"])
def test_c5_cancel(door: Door, content: bytes, kind: str | None) -> None:
    """Whatever the body is: the SDKs send all sorts of nothing."""
    id_ = door.send(scheduled_at="in 1 hour")
    done(cancel(door, id_, content, **({} if kind is None else {"content_type": kind})), id_)
    shown = show(door, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("canceled", "cancelled")


def test_c5_it_is_never_sent(door: Door, later: str) -> None:
    """Nobody claims it when its time has come."""
    done(cancel(door, later), later)
    soon = door.clock.now() + 2 * 86_400
    claimed = door.run(build.claim(door.store, 1000, soon, pool="main"))
    assert UUID(later) not in {one.id for one in claimed}
    door.run(door.store.give_back(claimed))


def test_c6_twice(door: Door, later: str) -> None:
    """The second finds it cancelled."""
    done(cancel(door, later), later)
    unscheduled(cancel(door, later))
    unscheduled(patch(door, later, {"scheduled_at": "in 1 hour"}))


@pytest.mark.parametrize("permission", [Permission.SENDING_ACCESS, Permission.FULL_ACCESS])
def test_c6_what_was_never_scheduled(door: Door, permission: Permission) -> None:
    """It may be on its way at any moment. It stays as it is, whoever asks."""
    id_ = door.send()
    key = None if permission is Permission.SENDING_ACCESS else door.make_key(permission)
    unscheduled(cancel(door, id_, key=key))
    unscheduled(patch(door, id_, {"scheduled_at": "in 1 hour"}, key=key))
    assert show(door, id_)["last_event"] == "queued"


def test_c6_after_it_was_sent(door: Door, later: str) -> None:
    """And while it is being sent."""
    at = door.clock.now() + 3601
    claimed = door.run(build.claim(door.store, 1000, at, pool="main"))
    for ended in (False, True):
        if ended:
            one = next(one for one in claimed if one.id == UUID(later))
            assert door.run(build.settle(door.store, one, build.RELAYED, door.clock.now()))
        unscheduled(cancel(door, later))
        unscheduled(patch(door, later, {"scheduled_at": "in 1 hour"}))
    assert show(door, later)["last_event"] == "sent"
    door.run(door.store.give_back(claimed))


def test_c7_more_members(door: Door, later: str) -> None:
    """Some SDKs repeat the id in the body; whatever it says, the path counts."""
    body = {"id": str(uuid4()), "email_id": "x", "emailId": 5, "scheduled_at": "in 3 hours", "subject": "no"}
    done(patch(door, later, body), later)
    assert moment(show(door, later)["scheduled_at"]) > door.clock.now() + 10_000
    assert show(door, later)["subject"] == "Hello"


def test_of_another_key(door: Door, later: str) -> None:
    """As if there were none; an administrator may."""
    other = door.make_key()
    refused(patch(door, later, {"scheduled_at": "in 1 hour"}, other), 404, "not_found")
    refused(cancel(door, later, key=other), 404, "not_found")
    refused(cancel(door, str(uuid4())), 404, "not_found")
    refused(patch(door, "nope", {"scheduled_at": "in 1 hour"}), 422, "invalid_parameter", "id")
    refused(cancel(door, "nope"), 422, "invalid_parameter", "id")
    done(cancel(door, later, key=door.make_key(Permission.FULL_ACCESS)), later)


def test_a_send_only_key(door: Door) -> None:
    """Sends, and that is that."""
    key = door.make_key(Permission.SEND_ONLY)
    id_ = door.post(changed(scheduled_at="in 1 hour"), key=key).json()["id"]
    refused(cancel(door, id_, key=key), 401, "restricted_api_key")
    refused(patch(door, id_, {"scheduled_at": "in 1 hour"}, key), 401, "restricted_api_key")


@settings(QUICK, max_examples=100)
@given(st.binary(max_size=50) | VALUES.map(lambda value: json.dumps({"scheduled_at": value}).encode()))
def test_e5_any_body(door: Door, octets: bytes) -> None:
    """A success or an error of the caller's, in the form of either."""
    own = door.make_key()  # reschedules are limited for each key
    id_ = accepted(door.post(changed(scheduled_at="in 1 hour"), key=own))
    response = door.client.patch(f"/emails/{id_}", content=octets, headers={"authorization": f"Bearer {own}"})
    if response.status_code == 200:
        done(response, id_)
    else:
        assert response.status_code < 500, response.text
        check_error(response)
