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

from app.store.keys.records import Permission
from tests.contract.api.http.test_fuzz import QUICK, VALUES
from tests.contract.api.server import ApiServer, Json, accepted, changed, check_error, open_server, refused
from tests.contract.store import build


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("changes")) as server:
        yield server


@pytest.fixture
def later(server: ApiServer) -> str:
    """An email that is to be sent in an hour."""
    return server.send(scheduled_at="in 1 hour")


def patch(server: ApiServer, id_: str, body: Any, key: str | None = None) -> httpx.Response:
    """PATCH as JSON."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return server.client.patch(f"/emails/{id_}", json=body, headers=headers)


def cancel(server: ApiServer, id_: str, content: bytes = b"", key: str | None = None, **headers: str) -> httpx.Response:
    """POST it."""
    return server.post(content, f"/emails/{id_}/cancel", key, **headers)


def done(response: httpx.Response, id_: str) -> None:
    """The answer to a change."""
    assert (response.status_code, response.json()) == (200, {"object": "email", "id": id_}), response.text


def show(server: ApiServer, id_: str) -> Json:
    """As GET has it."""
    shown: Json = server.get(f"/emails/{id_}").json()
    return shown


def unscheduled(response: httpx.Response) -> None:
    """422, with the reason."""
    assert refused(response, 422, "validation_error")["reason"] == "not_scheduled"


def moment(text: str) -> float:
    """Epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def test_c4_another_time(server: ApiServer, later: str) -> None:
    """GET shows it; the life of the email counts from then, and so does its Date."""
    done(patch(server, later, {"scheduled_at": "in 2 hours"}), later)
    shown = show(server, later)
    at = moment(shown["scheduled_at"])
    assert at == pytest.approx(server.clock.now() + 7200, abs=20)
    assert (shown["last_event"], shown["relay"]["next_attempt_at"]) == ("scheduled", shown["scheduled_at"])
    assert moment(shown["relay"]["expires_at"]) == pytest.approx(at + 5 * 86_400, abs=0.01)
    assert abs(server.message(later)["Date"].datetime.timestamp() - at) < 1
    assert "It is scheduled for" in shown["relay"]["explanation"]["summary"]


@pytest.mark.parametrize("time", ["2020-01-01T00:00:00Z", "in 0 seconds"])
def test_c4_a_time_that_has_passed(server: ApiServer, later: str, time: str) -> None:
    """Sends it at once. It is not late: it was to be sent now."""
    done(patch(server, later, {"scheduledAt": time}), later)
    shown = show(server, later)
    assert (shown["last_event"], shown["relay"]["state"]) == ("queued", "queued")
    assert moment(shown["scheduled_at"]) <= server.clock.now()
    unscheduled(patch(server, later, {"scheduled_at": "in 1 hour"}))


@pytest.mark.parametrize("body", [{}, {"scheduled_at": None}, {"id": "x"}, {"scheduledAt": None}])
def test_c4_without_a_time(server: ApiServer, later: str, body: Json) -> None:
    """There is nothing to do."""
    refused(patch(server, later, body), 422, "missing_required_field", "scheduled_at")


@pytest.mark.parametrize("time", ["tomorrow", "in 31 days", 5, {}, "", []])
def test_c4_a_bad_time(server: ApiServer, later: str, time: Any) -> None:
    """As for POST; the old one stays."""
    before = show(server, later)
    refused(patch(server, later, {"scheduled_at": time}), 422, "validation_error", "scheduled_at")
    assert show(server, later) == before


def test_c4_a_bad_body(server: ApiServer, later: str) -> None:
    """One JSON object."""
    refused(patch(server, later, []), 422, "validation_error")
    refused(server.client.patch(f"/emails/{later}", content=b""), 400, "validation_error")


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"{", b"x" * 100_000])
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain"])
def test_c5_cancel(server: ApiServer, content: bytes, kind: str | None) -> None:
    """Whatever the body is: the SDKs send all sorts of nothing."""
    id_ = server.send(scheduled_at="in 1 hour")
    done(cancel(server, id_, content, **({} if kind is None else {"content_type": kind})), id_)
    shown = show(server, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("canceled", "cancelled")


def test_c5_it_is_never_sent(server: ApiServer, later: str) -> None:
    """Nobody claims it when its time has come."""
    done(cancel(server, later), later)
    soon = server.clock.now() + 2 * 86_400
    claimed = server.run(build.claim(server.store, 1000, soon, pool="main"))
    assert UUID(later) not in {one.id for one in claimed}
    server.run(server.store.give_back(claimed))


def test_c6_twice(server: ApiServer, later: str) -> None:
    """The second finds it cancelled."""
    done(cancel(server, later), later)
    unscheduled(cancel(server, later))
    unscheduled(patch(server, later, {"scheduled_at": "in 1 hour"}))


@pytest.mark.parametrize("permission", [Permission.SENDING_ACCESS, Permission.FULL_ACCESS])
def test_c6_what_was_never_scheduled(server: ApiServer, permission: Permission) -> None:
    """It may be on its way at any moment. It stays as it is, whoever asks."""
    id_ = server.send()
    key = None if permission is Permission.SENDING_ACCESS else server.make_key(permission)
    unscheduled(cancel(server, id_, key=key))
    unscheduled(patch(server, id_, {"scheduled_at": "in 1 hour"}, key=key))
    assert show(server, id_)["last_event"] == "queued"


def test_c6_after_it_was_sent(server: ApiServer, later: str) -> None:
    """And while it is being sent."""
    at = server.clock.now() + 3601
    claimed = server.run(build.claim(server.store, 1000, at, pool="main"))
    for ended in (False, True):
        if ended:
            one = next(one for one in claimed if one.id == UUID(later))
            assert server.run(build.settle(server.store, one, build.RELAYED, server.clock.now()))
        unscheduled(cancel(server, later))
        unscheduled(patch(server, later, {"scheduled_at": "in 1 hour"}))
    assert show(server, later)["last_event"] == "sent"
    server.run(server.store.give_back(claimed))


def test_c7_more_members(server: ApiServer, later: str) -> None:
    """Some SDKs repeat the id in the body; whatever it says, the path counts."""
    body = {"id": str(uuid4()), "email_id": "x", "emailId": 5, "scheduled_at": "in 3 hours", "subject": "no"}
    done(patch(server, later, body), later)
    assert moment(show(server, later)["scheduled_at"]) > server.clock.now() + 10_000
    assert show(server, later)["subject"] == "Hello"


def test_of_another_key(server: ApiServer, later: str) -> None:
    """As if there were none; an administrator may."""
    other = server.make_key()
    refused(patch(server, later, {"scheduled_at": "in 1 hour"}, other), 404, "not_found")
    refused(cancel(server, later, key=other), 404, "not_found")
    refused(cancel(server, str(uuid4())), 404, "not_found")
    refused(patch(server, "nope", {"scheduled_at": "in 1 hour"}), 422, "invalid_parameter", "id")
    refused(cancel(server, "nope"), 422, "invalid_parameter", "id")
    done(cancel(server, later, key=server.make_key(Permission.FULL_ACCESS)), later)


def test_a_send_only_key(server: ApiServer) -> None:
    """Sends, and that is that."""
    key = server.make_key(Permission.SEND_ONLY)
    id_ = server.post(changed(scheduled_at="in 1 hour"), key=key).json()["id"]
    refused(cancel(server, id_, key=key), 401, "restricted_api_key")
    refused(patch(server, id_, {"scheduled_at": "in 1 hour"}, key), 401, "restricted_api_key")


@settings(QUICK, max_examples=100)
@given(st.binary(max_size=50) | VALUES.map(lambda value: json.dumps({"scheduled_at": value}).encode()))
def test_e5_any_body(server: ApiServer, octets: bytes) -> None:
    """A success or an error of the caller's, in the form of either."""
    own = server.make_key()  # reschedules are limited for each key
    id_ = accepted(server.post(changed(scheduled_at="in 1 hour"), key=own))
    response = server.client.patch(f"/emails/{id_}", content=octets, headers={"authorization": f"Bearer {own}"})
    if response.status_code == 200:
        done(response, id_)
    else:
        assert response.status_code < 500, response.text
        check_error(response)
