"""GET /mailboxes, and hold and release by an administrator."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

import httpx
import pytest

from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.limits import MailboxLimits
from app.mail.outcome.verdict import Explanation
from app.smtp.auth.credentials import BASIC_AUTH_EXPIRY
from app.store.keys.records import Permission
from app.store.mailboxes.records import HoldRequest, MailboxRecord, Replica
from tests.contract.api.server import ApiServer, Json, check_error, open_server, refused

WHY = Explanation("SMTP AUTH is switched off for it.", "Run Set-CASMailbox.")
WAYS = ("hold", "release")
_serial = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("mailboxes")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def store_condition(server: ApiServer, condition: MailboxCondition | None = None) -> str:
    """Store a mailbox in this condition; return its name."""
    name = f"box{next(_serial):03}@contoso.com"
    server.run(server.store.save_condition(name, "main", condition or MailboxCondition(since=server.clock.now())))
    return name


def listed(server: ApiServer) -> dict[str, Json]:
    """Return GET /mailboxes by name."""
    response = server.get("/mailboxes")
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["object"], body["has_more"]) == ("list", False)
    return {one["name"]: one for one in body["data"]}


def record(server: ApiServer, name: str) -> MailboxRecord:
    """Return the record as its relay reads it."""
    found = server.run(server.store.mailbox(name))
    assert found is not None
    return found


def test_a_mailbox_has_all_members(server: ApiServer) -> None:
    name = store_condition(
        server, MailboxCondition(Health.HELD, 1_800_000_000.0, 1_800_000_300.25, 300, WHY, 1, True, 2, 1_800_000_060.0)
    )
    assert listed(server)[name] == {
        "object": "mailbox",
        "name": name,
        "pool": "main",
        "health": "held",
        "since": "2027-01-15T08:00:00.000Z",
        "until": "2027-01-15T08:05:00.250Z",
        "connections": 2,
        "owner": None,
        "wish": None,
        "usage": {"connections": 0, "messages_last_minute": 0, "recipients_last_day": 0},
        "limits": None,
        "credential": None,
        "explanation": {"summary": WHY.summary, "fix": WHY.fix},
    }
    name = store_condition(server)
    server.run(server.store.replicas.heartbeat(Replica(UUID(int=5), "postern-1:8025", "all", (name,), 3600.0)))
    server.run(server.store.replicas.acquire(UUID(int=5), [name], 0.0))
    well = listed(server)[name]
    assert well["owner"] == "postern-1:8025"
    assert (well["health"], well["until"], well["connections"], well["explanation"]) == ("open", None, None, None)


def test_a_mailbox_has_its_limits_and_credential_expiry(server: ApiServer) -> None:
    name = store_condition(server)
    server.capacities[name] = MailboxLimits(20, 5_000, 2)
    server.endings[name] = lambda: BASIC_AUTH_EXPIRY
    shown = listed(server)[name]
    assert shown["limits"] == {"messages_per_minute": 20, "recipients_per_day": 5_000, "connections": 2}
    assert (shown["credential"]["what"], shown["credential"]["ends_at"]) == ("password", "2026-12-31T00:00:00.000Z")
    assert "Basic authentication" in shown["credential"]["explanation"]["summary"]


def test_mailboxes_are_sorted_by_name(server: ApiServer) -> None:
    names = [store_condition(server) for _ in range(3)]
    assert [name for name in listed(server) if name in names] == names


def test_an_elapsed_pause_reads_as_open(server: ApiServer) -> None:
    """Though its relay has not stored that yet."""
    now = server.clock.now()
    over = store_condition(server, MailboxCondition(Health.PAUSED, now - 60, now - 30, 30, WHY))
    lasts = store_condition(server, MailboxCondition(Health.PAUSED, now, now + 3600, 3600, WHY))
    shown = listed(server)
    assert (shown[over]["health"], shown[over]["until"], shown[over]["explanation"]) == ("open", None, None)
    assert (shown[lasts]["health"], shown[lasts]["explanation"]["fix"]) == ("paused", WHY.fix)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": null, "x": 1}', b'{"reason": "  two\\n lines "}'])
def test_a_hold_request_reaches_the_relay(server: ApiServer, content: bytes) -> None:
    """With the reason in one line."""
    name = store_condition(server)
    before = server.clock.now()
    response = server.post(content, f"/mailboxes/{name}/hold")
    assert (response.status_code, response.json()) == (200, {"object": "mailbox", "name": name, "wish": "hold"})
    request = record(server, name).hold_request
    assert request is not None
    assert (request.hold, request.reason) == (True, "two lines" if b"two" in content else "")
    assert before <= request.at <= server.clock.now()
    assert listed(server)[name]["wish"] == "hold"


def test_the_last_hold_request_counts(server: ApiServer) -> None:
    """A body is ignored; an applied request is removed."""
    name = store_condition(server)
    server.post(b"", f"/mailboxes/{name}/hold")
    for _ in range(2):
        response = server.post(b"no JSON", f"/mailboxes/{name}/release")
        assert (response.status_code, response.json()) == (200, {"object": "mailbox", "name": name, "wish": "release"})
    request = record(server, name).hold_request
    assert request is not None
    assert request == HoldRequest(request.at, hold=False)
    server.run(server.store.save_condition(name, "main", MailboxCondition(), request.at))
    assert listed(server)[name]["wish"] is None


@pytest.mark.parametrize("spelled", ["box@contoso.com", "box%40contoso.com", "box%40contoso%2ecom"])
def test_the_name_in_the_path_may_be_encoded(server: ApiServer, spelled: str) -> None:
    server.run(server.store.save_condition("box@contoso.com", "main", MailboxCondition()))
    head = f"POST /mailboxes/{spelled}/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    response = server.raw(f"{head}Authorization: {server.client.headers['authorization']}\r\n\r\n".encode())
    assert (response.status_code, response.json()["name"]) == (200, "box@contoso.com")


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[]", 422, "not a list"),
        (b'{"reason": 7}', 422, "reason: It must be a string, not a number."),
        (b'{"reason": "%s"}' % (b"x" * 201), 422, "reason: It has 201 characters; use at most 200."),
        (b'{"reason": "a\\u0000b"}', 422, "reason: It contains unprintable characters; remove them."),
        (b'{"reason": "\\ud800"}', 422, "reason"),
    ],
)
def test_an_invalid_reason_is_refused(server: ApiServer, content: bytes, status: int, says: str) -> None:
    """And no request is stored."""
    name = store_condition(server)
    body = refused(server.post(content, f"/mailboxes/{name}/hold"), status, "validation_error")
    assert says in body["message"]
    assert record(server, name).hold_request is None


def test_a_reason_of_200_characters_is_accepted(server: ApiServer) -> None:
    """The limit counts characters, not bytes."""
    name = store_condition(server)
    assert server.post({"reason": "ü" * 200}, f"/mailboxes/{name}/hold").status_code == 200
    request = record(server, name).hold_request
    assert request is not None
    assert request.reason == "ü" * 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["nobody@contoso.com", "%ff", "BOX@contoso.com%20"])
def test_an_unknown_mailbox_is_404(server: ApiServer, way: str, name: str) -> None:
    """With the place of the list."""
    assert "GET /mailboxes" in refused(server.post(b"", f"/mailboxes/{name}/{way}"), 404, "not_found")["message"]


def test_only_a_full_access_key_may_hold_and_release(server: ApiServer) -> None:
    name = store_condition(server)
    for permission in (Permission.SENDING_ACCESS, Permission.SEND_ONLY):
        key = server.make_key(permission)
        answers = [server.get("/mailboxes", key), *(server.post(b"", f"/mailboxes/{name}/{way}", key) for way in WAYS)]
        for answer in answers:
            assert "full_access" in refused(answer, 401, "restricted_api_key")["message"]
    refused(httpx.get(f"{server.url}/mailboxes"), 401, "missing_api_key")
    assert record(server, name).hold_request is None


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/mailboxes", "GET, HEAD"),
        ("GET", "/mailboxes/x@contoso.com/hold", "POST"),
        ("DELETE", "/mailboxes/x@contoso.com/release", "POST"),
    ],
)
def test_a_wrong_method_is_405(server: ApiServer, method: str, path: str, allow: str) -> None:
    """With Allow."""
    response = server.client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_other_paths_are_404(server: ApiServer) -> None:
    """One mailbox by itself, or another verb."""
    for path in ("/mailboxes/x@contoso.com", "/mailboxes/x@contoso.com/pause", "/mailboxes/hold"):
        assert check_error(server.post(b"", path))["name"] == "not_found"
