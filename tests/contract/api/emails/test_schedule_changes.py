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
    """Server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("changes")) as server:
        yield server


@pytest.fixture
def scheduled(server: ApiServer) -> str:
    """Email that is scheduled in an hour."""
    return server.send(scheduled_at="in 1 hour")


def patch(server: ApiServer, id_: str, body: Any, key: str | None = None) -> httpx.Response:
    """PATCH as JSON."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return server.client.patch(f"/emails/{id_}", json=body, headers=headers)


def cancel(server: ApiServer, id_: str, content: bytes = b"", key: str | None = None, **headers: str) -> httpx.Response:
    """POST the cancellation."""
    return server.post(content, f"/emails/{id_}/cancel", key, **headers)


def done(response: httpx.Response, id_: str) -> None:
    """Check the response to a change."""
    assert (response.status_code, response.json()) == (200, {"object": "email", "id": id_}), response.text


def show(server: ApiServer, id_: str) -> Json:
    """Return the email as GET has it."""
    shown: Json = server.get(f"/emails/{id_}").json()
    return shown


def unscheduled(response: httpx.Response) -> None:
    """Check for 422 with the reason."""
    assert refused(response, 422, "validation_error")["reason"] == "not_scheduled"


def epoch(text: str) -> float:
    """Return the epoch seconds of a time."""
    return datetime.fromisoformat(text).timestamp()


def test_c4_another_time(server: ApiServer, scheduled: str) -> None:
    """GET shows it; expiry and Date count from the new time."""
    done(patch(server, scheduled, {"scheduled_at": "in 2 hours"}), scheduled)
    shown = show(server, scheduled)
    at = epoch(shown["scheduled_at"])
    assert at == pytest.approx(server.clock.now() + 7200, abs=20)
    assert (shown["last_event"], shown["relay"]["next_attempt_at"]) == ("scheduled", shown["scheduled_at"])
    assert epoch(shown["relay"]["expires_at"]) == pytest.approx(at + 5 * 86_400, abs=0.01)
    assert abs(server.message(scheduled)["Date"].datetime.timestamp() - at) < 1
    assert "It is scheduled for" in shown["relay"]["explanation"]["summary"]


@pytest.mark.parametrize("time", ["2020-01-01T00:00:00Z", "in 0 seconds"])
def test_c4_a_time_that_has_passed(server: ApiServer, scheduled: str, time: str) -> None:
    """The email is sent at once and is not late."""
    done(patch(server, scheduled, {"scheduledAt": time}), scheduled)
    shown = show(server, scheduled)
    assert (shown["last_event"], shown["relay"]["state"]) == ("queued", "queued")
    assert epoch(shown["scheduled_at"]) <= server.clock.now()
    unscheduled(patch(server, scheduled, {"scheduled_at": "in 1 hour"}))


@pytest.mark.parametrize("body", [{}, {"scheduled_at": None}, {"id": "x"}, {"scheduledAt": None}])
def test_c4_without_a_time(server: ApiServer, scheduled: str, body: Json) -> None:
    """422."""
    refused(patch(server, scheduled, body), 422, "missing_required_field", "scheduled_at")


@pytest.mark.parametrize("time", ["tomorrow", "in 31 days", 5, {}, "", []])
def test_c4_a_bad_time(server: ApiServer, scheduled: str, time: Any) -> None:
    """As for POST; the old time stays."""
    before = show(server, scheduled)
    refused(patch(server, scheduled, {"scheduled_at": time}), 422, "validation_error", "scheduled_at")
    assert show(server, scheduled) == before


def test_c4_a_bad_body(server: ApiServer, scheduled: str) -> None:
    """The body must be one JSON object."""
    refused(patch(server, scheduled, []), 422, "validation_error")
    refused(server.client.patch(f"/emails/{scheduled}", content=b""), 400, "validation_error")


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"{", b"x" * 100_000])
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain"])
def test_c5_cancel(server: ApiServer, content: bytes, kind: str | None) -> None:
    """With any body: the SDKs send different empty ones."""
    id_ = server.send(scheduled_at="in 1 hour")
    done(cancel(server, id_, content, **({} if kind is None else {"content_type": kind})), id_)
    shown = show(server, id_)
    assert (shown["last_event"], shown["relay"]["state"]) == ("canceled", "cancelled")


def test_c5_it_is_never_sent(server: ApiServer, scheduled: str) -> None:
    """No worker claims it at its time."""
    done(cancel(server, scheduled), scheduled)
    soon = server.clock.now() + 2 * 86_400
    claimed = server.run(build.claim(server.store, 1000, soon, pool="main"))
    assert UUID(scheduled) not in {one.id for one in claimed}
    server.run(server.store.give_back(claimed))


def test_c6_twice(server: ApiServer, scheduled: str) -> None:
    """The second finds it cancelled."""
    done(cancel(server, scheduled), scheduled)
    unscheduled(cancel(server, scheduled))
    unscheduled(patch(server, scheduled, {"scheduled_at": "in 1 hour"}))
    assert show(server, scheduled)["last_event"] == "canceled"


@pytest.mark.parametrize("permission", [Permission.SENDING_ACCESS, Permission.FULL_ACCESS])
def test_c6_an_unscheduled_email(server: ApiServer, permission: Permission) -> None:
    """It may be in flight at any moment, so no change is possible."""
    id_ = server.send()
    key = None if permission is Permission.SENDING_ACCESS else server.make_key(permission)
    unscheduled(cancel(server, id_, key=key))
    unscheduled(patch(server, id_, {"scheduled_at": "in 1 hour"}, key=key))
    assert show(server, id_)["last_event"] == "queued"


def test_c6_after_it_was_sent(server: ApiServer, scheduled: str) -> None:
    """And while it is being sent."""
    at = server.clock.now() + 3601
    claimed = server.run(build.claim(server.store, 1000, at, pool="main"))
    assert show(server, scheduled)["relay"]["state"] == "active"
    for ended in (False, True):
        if ended:
            one = next(one for one in claimed if one.id == UUID(scheduled))
            assert server.run(build.settle(server.store, one, build.RELAYED, server.clock.now()))
        unscheduled(cancel(server, scheduled))
        unscheduled(patch(server, scheduled, {"scheduled_at": "in 1 hour"}))
    assert show(server, scheduled)["last_event"] == "sent"
    server.run(server.store.give_back(claimed))


def test_c7_more_members(server: ApiServer, scheduled: str) -> None:
    """Some SDKs repeat the id in the body; the path counts."""
    body = {"id": str(uuid4()), "email_id": "x", "emailId": 5, "scheduled_at": "in 3 hours", "subject": "no"}
    done(patch(server, scheduled, body), scheduled)
    assert epoch(show(server, scheduled)["scheduled_at"]) > server.clock.now() + 10_000
    assert show(server, scheduled)["subject"] == "Hello"


def test_the_email_of_another_key_is_not_found(server: ApiServer, scheduled: str) -> None:
    """A full-access key may change it."""
    other = server.make_key()
    refused(patch(server, scheduled, {"scheduled_at": "in 1 hour"}, other), 404, "not_found")
    refused(cancel(server, scheduled, key=other), 404, "not_found")
    refused(cancel(server, str(uuid4())), 404, "not_found")
    refused(patch(server, "nope", {"scheduled_at": "in 1 hour"}), 422, "invalid_parameter", "id")
    refused(cancel(server, "nope"), 422, "invalid_parameter", "id")
    done(cancel(server, scheduled, key=server.make_key(Permission.FULL_ACCESS)), scheduled)


def test_a_send_only_key_cannot_change_its_email(server: ApiServer) -> None:
    key = server.make_key(Permission.SEND_ONLY)
    id_ = server.post(changed(scheduled_at="in 1 hour"), key=key).json()["id"]
    refused(cancel(server, id_, key=key), 401, "restricted_api_key")
    refused(patch(server, id_, {"scheduled_at": "in 1 hour"}, key), 401, "restricted_api_key")


@settings(QUICK, max_examples=100)
@given(st.binary(max_size=50) | VALUES.map(lambda value: json.dumps({"scheduled_at": value}).encode()))
def test_e5_any_body(server: ApiServer, data: bytes) -> None:
    """A success or a 4xx error, in the documented form."""
    own = server.make_key()  # reschedules are limited for each key
    id_ = accepted(server.post(changed(scheduled_at="in 1 hour"), key=own))
    response = server.client.patch(f"/emails/{id_}", content=data, headers={"authorization": f"Bearer {own}"})
    if response.status_code == 200:
        done(response, id_)
    else:
        assert response.status_code < 500, response.text
        check_error(response)
