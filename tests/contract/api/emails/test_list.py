"""GET /emails: case R4, filters and listed members."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store.keys.records import Permission
from tests.contract.api.http.test_fuzz import QUICK
from tests.contract.api.server import MINIMAL, ApiServer, Json, accepted, changed, check_error, open_server, refused
from tests.contract.store import build

KEYS = [
    *("id", "message_id", "from", "to", "cc", "bcc", "reply_to", "subject", "created_at", "last_event"),
    "scheduled_at",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("list")) as server:
        yield server


@pytest.fixture
def key(server: ApiServer) -> str:
    """Key without emails."""
    return server.make_key()


def page(server: ApiServer, key: str, **parameters: Any) -> Json:
    """Return one page after a check of its form."""
    given = {name.rstrip("_"): value for name, value in parameters.items()}
    response = server.client.get("/emails", params=given, headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body: Json = response.json()
    assert body.keys() == {"object", "has_more", "data", "next"}
    assert (body["object"], body["has_more"]) == ("list", body["next"] is not None)
    assert all(list(one) == KEYS for one in body["data"])
    return body


def ids(server: ApiServer, key: str, **parameters: Any) -> list[str]:
    """Return the ids of one page."""
    return [one["id"] for one in page(server, key, **parameters)["data"]]


def send(server: ApiServer, key: str, **changes: Any) -> str:
    """Send an email with this key."""
    return accepted(server.post(changed(**changes), key=key))


def bad(server: ApiServer, **parameters: Any) -> httpx.Response:
    """Return the error of an invalid query."""
    return server.client.get("/emails", params={name.rstrip("_"): value for name, value in parameters.items()})


def test_r4_one_by_one(server: ApiServer, key: str) -> None:
    """The newest first; `after` continues to older ones, `before` to newer ones."""
    one, two, three = (send(server, key) for _ in range(3))
    assert ids(server, key) == [three, two, one]
    first = page(server, key, limit=1)
    assert ([first["data"][0]["id"], first["has_more"], first["next"]]) == [three, True, three]
    second = page(server, key, limit=1, after=three)
    assert ([second["data"][0]["id"], second["has_more"]]) == [two, True]
    last = page(server, key, limit=1, after=two)
    assert ([last["data"][0]["id"], last["has_more"], last["next"]]) == [one, False, None]
    assert page(server, key, limit=1, after=one)["data"] == []
    back = page(server, key, limit=1, before=one)
    assert ([back["data"][0]["id"], back["has_more"], back["next"]]) == [two, True, two]
    assert ids(server, key, limit=1, before=two) == [three]
    assert ids(server, key, before=one) == [three, two]
    assert not page(server, key, before=one)["has_more"]
    assert page(server, key, before=three)["data"] == []


def test_r4_twenty_unless_asked(server: ApiServer, key: str) -> None:
    """And a hundred at most."""
    response = server.post([MINIMAL] * 100, "/emails/batch", key=key)
    sent = [one["id"] for one in response.json()["data"]]
    assert ids(server, key) == sent[:-21:-1]
    assert ids(server, key, limit=100) == sent[::-1]
    assert not page(server, key, limit=100)["has_more"]


def test_r4_any_id_is_a_cursor(server: ApiServer, key: str) -> None:
    """A cursor is a position in time, also with the id of a deleted or another key's email."""
    one, other, two = send(server, key), server.send(), send(server, key)
    assert ids(server, key, after=other) == [one]
    assert ids(server, key, before=other) == [two]
    assert ids(server, key, after="00000000-0000-0000-0000-000000000000") == []
    assert ids(server, key, before="ffffffff-ffff-ffff-ffff-ffffffffffff") == []
    assert ids(server, key, after=two.replace("-", "").upper()) == [one]


@pytest.mark.parametrize("limit", ["0", "101", "abc", "-1", "1.5", "", " 5", "١", "1" * 50])
def test_r4_bad_limit(server: ApiServer, limit: str) -> None:
    """1 to 100."""
    refused(bad(server, limit=limit), 422, "validation_error", "limit")


def test_r4_bad_cursors(server: ApiServer) -> None:
    """At most one, and a UUID."""
    id_ = str(uuid4())
    refused(bad(server, after=id_, before=id_), 422, "validation_error", "after")
    refused(bad(server, after="x"), 422, "validation_error", "after")
    refused(bad(server, before=""), 422, "validation_error", "before")


@pytest.mark.parametrize(
    "parameters",
    [
        {"last_event": "opened"},
        {"last_event": ""},
        {"to": "nope"},
        {"from_": "a@example.com, b@example.com"},
        {"tag": "a b"},
        {"tag": ":x"},
        {"lane": "fast"},
        {"created_after": "yesterday"},
        {"created_before": "in 1 hour"},
        {"q": ""},
        {"q": "x" * 201},
        {"q": "\0"},
    ],
)
def test_all_bad_filters_are_reported(server: ApiServer, parameters: dict[str, str]) -> None:
    (name,) = (name.rstrip("_") for name in parameters)
    refused(bad(server, **parameters), 422, "validation_error", name)
    error = refused(bad(server, limit=0, **parameters), 422, "validation_error", "limit")
    assert [detail["field"] for detail in error["details"]] == ["limit", name]


def test_a_listed_email_has_the_members_of_get_but_the_bodies(server: ApiServer, key: str) -> None:
    id_ = send(server, key, cc="b@example.com", scheduled_at="in 1 hour", tags=[{"name": "a"}])
    (listed,) = page(server, key)["data"]
    shown = server.get(f"/emails/{id_}", key=key).json()
    assert listed == {name: shown[name] for name in KEYS}
    assert listed["last_event"] == "scheduled"


def test_filters_combine(server: ApiServer, key: str) -> None:
    """With the names of the request."""
    plain = send(server, key)
    special = send(
        server,
        key,
        from_="Billing <Billing@contoso.com>",
        to=["x@example.com"],
        bcc="Zoë <ZOE@Example.com>",
        subject="Rechnung № 5",
        lane="urgent",
        scheduled_at="in 1 hour",
        tags=[{"name": "kind", "value": "invoice"}, {"name": "bare"}],
    )
    every = {
        "last_event": "scheduled",
        "to": "zoe@example.com",
        "from_": "billing@CONTOSO.com",
        "tag": "kind:invoice",
        "lane": "Urgent",
        "created_after": server.get(f"/emails/{special}", key=key).json()["created_at"].replace("Z", "+00:00"),
        "q": "rechnung №",
    }
    for name in ("last_event", "to", "from_", "tag", "lane", "q"):
        assert ids(server, key, **{name: every[name]}) == [special], name
    assert ids(server, key, **every) == [special]
    assert ids(server, key, tag="kind") == ids(server, key, tag="bare:") == [special]
    assert ids(server, key, tag="kind:") == ids(server, key, tag="invoice") == []
    assert ids(server, key, last_event="queued") == [plain]
    assert ids(server, key, **every, after=special) == []
    refused(bad(server, unknown="x"), 422, "validation_error", "unknown")


def test_a_time_filter_includes_its_start_and_excludes_its_end(server: ApiServer, key: str) -> None:
    """A time without an offset is UTC."""

    def created_at(id_: str) -> str:
        return str(server.get(f"/emails/{id_}", key=key).json()["created_at"])

    one, two = send(server, key), send(server, key)
    while UUID(one).int >> 80 == UUID(two).int >> 80:
        two = send(server, key)
    first, last = created_at(one), created_at(two)
    assert one in ids(server, key, created_after=first, created_before=last)
    assert two not in ids(server, key, created_before=last)
    assert two in ids(server, key, created_after=last)
    assert one not in ids(server, key, created_after=last)
    assert ids(server, key, created_before=first[:10]) == []
    assert ids(server, key, created_after=first.rstrip("Z"))[-1] == one
    assert ids(server, key, created_after="9999-12-31") == ids(server, key, created_before="0001-01-01") == []


def test_a_key_lists_its_own_emails(server: ApiServer, key: str) -> None:
    """A full-access key lists all."""
    mine, theirs = send(server, key), server.send()
    assert ids(server, key) == [mine]
    assert ids(server, server.make_key(Permission.FULL_ACCESS), limit=2) == [theirs, mine]
    refused(server.get("/emails", key=server.make_key(Permission.SEND_ONLY)), 401, "restricted_api_key")


def test_failed_emails_are_found_by_state_and_sender(server: ApiServer, key: str) -> None:
    id_ = send(server, key, to="gone@example.com")
    now = server.clock.now()
    for claimed in server.run(build.claim(server.store, 100, now, pool="main")):
        attempt = build.REFUSED if claimed.id == UUID(id_) else build.RELAYED
        assert server.run(build.settle(server.store, claimed, attempt, now))
    sent = send(server, key)
    assert ids(server, key, last_event="failed") == ids(server, key, to="Gone@example.com") == [id_]
    assert ids(server, key, last_event="queued") == [sent]


def test_r1_a_body_and_a_slash(server: ApiServer, key: str) -> None:
    """Python's SDK sends a body; some clients join base URL and path with two slashes."""
    id_ = send(server, key)
    for path in ("/emails", "//emails", "/emails/", "/emails?limit=5"):
        response = server.client.request(
            "GET", server.url + path, content=b"{}", headers={"authorization": f"Bearer {key}"}
        )
        assert [one["id"] for one in response.json()["data"]] == [id_]
    assert server.client.head("/emails").status_code == 200


NAMES = st.sampled_from(
    ["limit", "after", "before", "last_event", "to", "from", "tag", "lane", "created_after", "created_before", "q"]
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["5", "a@b.co", "sent", "bulk", "2026-01-01", "%", "_", "'", "\\", str(uuid4())]
)


@settings(QUICK, max_examples=200)
@given(st.dictionaries(NAMES, TEXTS, max_size=4))
def test_e5_any_query(server: ApiServer, parameters: dict[str, str]) -> None:
    """A page, or a 4xx error."""
    response = server.client.get("/emails", params=httpx.QueryParams(parameters))
    if response.status_code == 200:
        assert response.json()["object"] == "list"
    else:
        assert response.status_code == 422, response.text
        check_error(response)


@settings(QUICK, max_examples=50)
@given(st.binary(max_size=20))
def test_e5_any_bytes_in_a_query(server: ApiServer, data: bytes) -> None:
    """Also invalid UTF-8."""
    coded = "".join(f"%{byte:02x}" for byte in data)
    response = server.client.get(f"/emails?q={coded}")
    assert response.status_code in (200, 422), response.text


def test_emails_of_one_key(server: ApiServer, key: str) -> None:
    """`key` selects a key. Another key's emails are not in the list of a key without full access."""
    one = send(server, key)
    other = server.make_key()
    send(server, other)
    found = server.run(server.store.get(UUID(one)))
    assert found is not None
    full = server.make_key(permission=Permission.FULL_ACCESS)
    assert ids(server, full, key_=found.key_id) == ids(server, key, key_=found.key_id) == [one]
    assert ids(server, other, key_=found.key_id) == []
    refused(bad(server, key_="shop"), 422, "validation_error", "key")
