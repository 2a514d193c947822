"""POST /emails/{id}/retry and /confirm: decisions of an administrator, and their refusals."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.store.keys.records import Permission
from app.store.records import Claimed
from tests.contract.api.server import ApiServer, Json, open_server, refused
from tests.contract.store import build

STATES = ("queued", "active", "deferred", "held", "done", "failed", "cancelled")
AFTER = {"retry": "queued", "confirm": "done"}
REASON = {"retry": "not_retryable", "confirm": "not_held"}
POSSIBLE = {"retry": ("held", "failed"), "confirm": ("held",)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server whose queue no other test fills, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("retry")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def claim(server: ApiServer, id_: str) -> Claimed:
    """Claim as a worker does."""
    now = server.clock.now()
    claimed = server.run(build.claim(server.store, 100, now, pool="main"))
    return next(one for one in claimed if one.id == UUID(id_))


def create_in_state(server: ApiServer, to: str) -> str:
    """Create an email in this state; `failed` is one that is done and failed."""
    id_ = server.send(on_unknown="hold")
    if to == "cancelled":
        server.run(server.store.cancel(UUID(id_), server.clock.now()))
    elif to != "queued":
        end(server, claim(server, id_), to)
    return id_


def end(server: ApiServer, claimed: Claimed, to: str) -> None:
    """Settle as a worker does."""
    ends = {"deferred": build.DEFERRED, "held": build.LOST, "done": build.RELAYED, "failed": build.REFUSED}
    if attempt := ends.get(to):
        settle(server, claimed, attempt)


def settle(server: ApiServer, claimed: Claimed, attempt: Attempt) -> None:
    """Settle with the verdict of the relay."""
    assert server.run(build.settle(server.store, claimed, attempt, server.clock.now()))


def decide(server: ApiServer, id_: str, what: str, content: bytes = b"", key: str | None = None) -> httpx.Response:
    """POST the decision."""
    return server.post(content, f"/emails/{id_}/{what}", key)


def decided(response: httpx.Response, id_: str) -> None:
    """Return a success of the form of api.md §3."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"object": "email", "id": id_}


def relay(server: ApiServer, id_: str) -> Json:
    """Return the email's `relay` object without the members that change with time."""
    shown: Json = server.get(f"/emails/{id_}").json()["relay"]
    del shown["estimated_send_at"]
    return shown


@pytest.mark.parametrize("stands", STATES)
@pytest.mark.parametrize("what", list(AFTER))
def test_an_impossible_decision_is_refused_with_the_possible_ones(server: ApiServer, what: str, stands: str) -> None:
    """422 names the state and changes nothing."""
    id_ = create_in_state(server, stands)
    before = relay(server, id_)
    response = decide(server, id_, what)
    if stands in POSSIBLE[what]:
        decided(response, id_)
        assert relay(server, id_)["state"] == AFTER[what]
    else:
        body = refused(response, 422, "validation_error")
        assert body["reason"] == REASON[what]
        assert body["message"].startswith(f"The email is {before['state']}")
        assert "Only an email that is held" in body["message"]
        assert relay(server, id_) == before


def test_a_retry_goes_to_the_failed_recipients_only(server: ApiServer) -> None:
    """It reads as delayed until it is sent."""
    id_ = server.send(to=["a@example.com", "b@example.com"])
    refused_one = {"b@example.com": Reply.of(550, ["5.1.1 No such user"])}
    settle(server, claim(server, id_), Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused=refused_one))
    assert server.get(f"/emails/{id_}").json()["last_event"] == "failed"
    decided(decide(server, id_, "retry"), id_)
    shown = server.get(f"/emails/{id_}").json()
    assert shown["last_event"] == "delivery_delayed"
    assert [one["state"] for one in shown["relay"]["recipients"]] == ["relayed", "pending"]
    claimed = claim(server, id_)
    assert claimed.envelope.rcpt_to == ("b@example.com",)
    settle(server, claimed, build.RELAYED)
    assert server.get(f"/emails/{id_}").json()["last_event"] == "sent"


def test_a_confirmed_email_reads_as_sent(server: ApiServer) -> None:
    """And still as a possible duplicate."""
    id_ = create_in_state(server, "held")
    decided(decide(server, id_, "confirm"), id_)
    shown = server.get(f"/emails/{id_}").json()
    assert (shown["last_event"], shown["relay"]["possible_duplicate"]) == ("sent", True)
    assert "confirmed" in shown["relay"]["explanation"]["summary"]


@pytest.mark.parametrize("what", list(AFTER))
def test_a_second_decision_reports_the_state_of_the_first(server: ApiServer, what: str) -> None:
    id_ = create_in_state(server, "held")
    decided(decide(server, id_, what), id_)
    after = relay(server, id_)
    body = refused(decide(server, id_, what), 422, "validation_error")
    assert body["message"].startswith(f"The email is {AFTER[what]}")
    assert relay(server, id_) == after


@pytest.mark.parametrize("content", [b"{}", b"", b"{", b'{"id": 1}', b"x" * 100_000])
def test_any_body_is_ignored(server: ApiServer, content: bytes) -> None:
    """Also invalid JSON; the connection stays usable."""
    id_ = create_in_state(server, "held")
    decided(decide(server, id_, "retry", content), id_)
    assert relay(server, id_)["state"] == "queued"


@pytest.mark.parametrize("what", list(AFTER))
def test_only_a_full_access_key_may_decide(server: ApiServer, what: str) -> None:
    """For the emails of every key. The error names the permission."""
    id_ = create_in_state(server, "held")
    for permission in (Permission.SENDING_ACCESS, Permission.SEND_ONLY):
        body = refused(decide(server, id_, what, key=server.make_key(permission)), 401, "restricted_api_key")
        assert permission in body["message"]
        assert body["message"].endswith("Use a key with the permission full_access.")
    refused(decide(server, id_, what, key=server.key), 401, "restricted_api_key")
    refused(decide(server, id_, what, key="pst_wrong"), 403, "invalid_api_key")
    refused(httpx.post(f"{server.url}/emails/{id_}/{what}"), 401, "missing_api_key")
    assert relay(server, id_)["state"] == "held"


@pytest.mark.parametrize("what", list(AFTER))
def test_unknown_ids_and_methods_are_refused(server: ApiServer, what: str) -> None:
    """404 for a UUID, 422 for a malformed id, 405 for another method."""
    refused(decide(server, str(uuid4()), what), 404, "not_found")
    refused(decide(server, "nope", what), 422, "invalid_parameter", "id")
    response = server.get(f"/emails/{uuid4()}/{what}")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_a_decision_does_not_affect_a_running_attempt(server: ApiServer) -> None:
    id_ = create_in_state(server, "queued")
    claimed = claim(server, id_)
    for what in AFTER:
        refused(decide(server, id_, what), 422, "validation_error")
    settle(server, claimed, build.RELAYED)
    assert relay(server, id_)["state"] == "done"
