"""GET /mailboxes, and the wishes of an administrator."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

import httpx
import pytest

from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.send_estimate import MailboxLimits
from app.smtp.auth.credentials import BASIC_AUTH_EXPIRY
from app.store.keys.records import Permission
from app.store.mailboxes.records import HoldRequest, MailboxRecord, Replica
from tests.contract.api.server import ApiServer, Json, check_error, open_server, refused

WHY = Explanation("SMTP AUTH is switched off for it.", "Run Set-CASMailbox.")
WAYS = ("hold", "release")
_serial = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("mailboxes")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def keep(server: ApiServer, condition: MailboxCondition | None = None) -> str:
    """A mailbox that stands so; its name."""
    name = f"box{next(_serial):03}@contoso.com"
    server.run(server.store.save_condition(name, "main", condition or MailboxCondition(since=server.clock.now())))
    return name


def listed(server: ApiServer) -> dict[str, Json]:
    """GET /mailboxes, by name."""
    response = server.get("/mailboxes")
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["object"], body["has_more"]) == ("list", False)
    return {one["name"]: one for one in body["data"]}


def record(server: ApiServer, name: str) -> MailboxRecord:
    """As its relay reads it."""
    found = server.run(server.store.mailbox(name))
    assert found is not None
    return found


def test_what_is_said_of_a_mailbox(server: ApiServer) -> None:
    """All members, always."""
    name = keep(
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
    name = keep(server)
    server.run(server.store.replicas.heartbeat(Replica(UUID(int=5), "postern-1:8025", "all", (name,), 3600.0)))
    server.run(server.store.replicas.acquire(UUID(int=5), [name], 0.0))
    well = listed(server)[name]
    assert well["owner"] == "postern-1:8025"
    assert (well["health"], well["until"], well["connections"], well["explanation"]) == ("open", None, None, None)


def test_what_its_settings_say(server: ApiServer) -> None:
    """Its limits, and what of its login ends by its date."""
    name = keep(server)
    server.capacities[name] = MailboxLimits(20, 5_000, 2)
    server.endings[name] = lambda: BASIC_AUTH_EXPIRY
    shown = listed(server)[name]
    assert shown["limits"] == {"messages_per_minute": 20, "recipients_per_day": 5_000, "connections": 2}
    assert (shown["credential"]["what"], shown["credential"]["ends_at"]) == ("password", "2026-12-31T00:00:00.000Z")
    assert "Basic authentication" in shown["credential"]["explanation"]["summary"]


def test_mailboxes_are_listed_by_name(server: ApiServer) -> None:
    """So that a page does not jump."""
    names = [keep(server) for _ in range(3)]
    assert [name for name in listed(server) if name in names] == names


def test_a_pause_that_is_over_is_over(server: ApiServer) -> None:
    """Though its relay had no reason to write that yet."""
    now = server.clock.now()
    over = keep(server, MailboxCondition(Health.PAUSED, now - 60, now - 30, 30, WHY))
    lasts = keep(server, MailboxCondition(Health.PAUSED, now, now + 3600, 3600, WHY))
    shown = listed(server)
    assert (shown[over]["health"], shown[over]["until"], shown[over]["explanation"]) == ("open", None, None)
    assert (shown[lasts]["health"], shown[lasts]["explanation"]["fix"]) == ("paused", WHY.fix)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": null, "x": 1}', b'{"reason": "  two\\n lines "}'])
def test_a_mailbox_is_to_be_held(server: ApiServer, content: bytes) -> None:
    """Its relay finds the wish, and the reason in one line."""
    name = keep(server)
    before = server.clock.now()
    response = server.post(content, f"/mailboxes/{name}/hold")
    assert (response.status_code, response.json()) == (200, {"object": "mailbox", "name": name, "wish": "hold"})
    wish = record(server, name).hold_request
    assert wish is not None
    assert (wish.hold, wish.reason) == (True, "two lines" if b"two" in content else "")
    assert before <= wish.at <= server.clock.now()
    assert listed(server)[name]["wish"] == "hold"


def test_a_mailbox_is_to_be_released(server: ApiServer) -> None:
    """The last wish counts; a body is ignored; once heard it is no wish any more."""
    name = keep(server)
    server.post(b"", f"/mailboxes/{name}/hold")
    for _ in range(2):
        response = server.post(b"no JSON", f"/mailboxes/{name}/release")
        assert (response.status_code, response.json()) == (200, {"object": "mailbox", "name": name, "wish": "release"})
    wish = record(server, name).hold_request
    assert wish is not None
    assert wish == HoldRequest(wish.at, hold=False)
    server.run(server.store.save_condition(name, "main", MailboxCondition(), wish.at))
    assert listed(server)[name]["wish"] is None


@pytest.mark.parametrize("spelled", ["box@contoso.com", "box%40contoso.com", "box%40contoso%2ecom"])
def test_the_name_in_the_path(server: ApiServer, spelled: str) -> None:
    """Raw or percent-encoded."""
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
def test_a_reason_that_cannot_be_shown(server: ApiServer, content: bytes, status: int, says: str) -> None:
    """Says what is wrong, and nothing is wished."""
    name = keep(server)
    body = refused(server.post(content, f"/mailboxes/{name}/hold"), status, "validation_error")
    assert says in body["message"]
    assert record(server, name).hold_request is None


def test_a_reason_of_200_characters(server: ApiServer) -> None:
    """The limit itself is allowed, in characters and not in octets."""
    name = keep(server)
    assert server.post({"reason": "ü" * 200}, f"/mailboxes/{name}/hold").status_code == 200
    wish = record(server, name).hold_request
    assert wish is not None
    assert wish.reason == "ü" * 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["nobody@contoso.com", "%ff", "BOX@contoso.com%20"])
def test_an_unknown_mailbox(server: ApiServer, way: str, name: str) -> None:
    """404, and where the names are."""
    assert "GET /mailboxes" in refused(server.post(b"", f"/mailboxes/{name}/{way}"), 404, "not_found")["message"]


def test_who_may(server: ApiServer) -> None:
    """A full-access key; others hear so, and wish nothing."""
    name = keep(server)
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
def test_a_wrong_method(server: ApiServer, method: str, path: str, allow: str) -> None:
    """405, with what is allowed."""
    response = server.client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_nothing_else_is_there(server: ApiServer) -> None:
    """One mailbox by itself, or another verb."""
    for path in ("/mailboxes/x@contoso.com", "/mailboxes/x@contoso.com/pause", "/mailboxes/hold"):
        assert check_error(server.post(b"", path))["name"] == "not_found"
