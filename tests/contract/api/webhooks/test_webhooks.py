"""Routes under /webhooks, in the form that the Resend SDKs read."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import standardwebhooks

from app.mail.webhook.rules import EventType
from app.store.keys.records import Permission
from app.store.webhooks.records import DeliveryAttempt, DeliveryResult
from tests.contract.api.server import ApiServer, Json, check_error, open_server, refused

URL = "https://example.com/hook"
ENDLESS = 1e12  # epoch seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("webhooks")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


@pytest.fixture
def webhook(server: ApiServer) -> Iterator[Json]:
    """Webhook as its creator reads it; deleted afterwards."""
    made = success(server.post({"endpoint": URL, "events": ["email.scheduled", "email.delivered"]}, "/webhooks"))
    yield made
    server.client.delete(f"/webhooks/{made['id']}")


def success(response: httpx.Response) -> Json:
    """Check for 200 with an object."""
    assert response.status_code == 200, response.text
    body: Json = response.json()
    assert not {"statusCode", "error"} & body.keys()
    return body


def ask(server: ApiServer, method: str, path: str, body: Any = None) -> httpx.Response:
    """Send a request with an empty body, or this one."""
    return server.client.request(method, path, content=b"" if body is None else json.dumps(body))


def events(server: ApiServer, webhook: Json, count: int) -> list[Json]:
    """Create this many events of it; return them, the newest first."""
    for _ in range(count):
        server.send(scheduled_at="in 1 hour")
    listed: list[Json] = success(server.get(f"/webhooks/{webhook['id']}/events?limit=100"))["data"]
    assert len(listed) == count
    return listed


def test_a_created_webhook_has_all_members(server: ApiServer, webhook: Json) -> None:
    """Its secret, too, which a list omits."""
    assert webhook["object"] == "webhook"
    assert str(UUID(webhook["id"])) == webhook["id"]
    standardwebhooks.Webhook(webhook["signing_secret"])
    assert len(webhook["signing_secret"]) == 6 + 44
    read = success(server.get(f"/webhooks/{webhook['id']}"))
    assert read == webhook == {
        "object": "webhook",
        "id": webhook["id"],
        "created_at": webhook["created_at"],
        "status": "enabled",
        "endpoint": URL,
        "events": ["email.scheduled", "email.delivered"],
        "never_sent": ["email.delivered"],
        "disabled_reason": None,
        "signing_secret": webhook["signing_secret"],
    }  # fmt: skip
    listed = success(server.get("/webhooks"))
    assert (listed["object"], listed["has_more"]) == ("list", False)
    del read["signing_secret"]
    assert listed["data"] == [read]


def test_each_member_is_updated_alone(server: ApiServer, webhook: Json) -> None:
    """Additional members of the SDKs are ignored."""
    path = f"/webhooks/{webhook['id']}"
    for changes in ({"endpoint": URL + "2"}, {"events": ["email.sent"]}, {"status": "disabled"}, {}):
        assert success(ask(server, "PATCH", path, {**changes, "webhook_id": "x"})) == {
            "object": "webhook",
            "id": webhook["id"],
        }
        read = success(server.get(path))
        assert {name: read[name] for name in changes} == changes
    assert read["endpoint"] == URL + "2"
    success(ask(server, "PATCH", path, {"status": "enabled"}))
    assert success(server.get(path))["status"] == "enabled"


def test_a_webhook_is_deleted_once(server: ApiServer, webhook: Json) -> None:
    path = f"/webhooks/{webhook['id']}"
    assert success(ask(server, "DELETE", path)) == {"object": "webhook", "id": webhook["id"], "deleted": True}
    refused(ask(server, "DELETE", path), 404, "not_found")
    refused(server.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "name", "field"),
    [
        ({"events": ["email.sent"]}, "missing_required_field", "endpoint"),
        ({"endpoint": URL}, "missing_required_field", "events"),
        ({"endpoint": 5, "events": ["email.sent"]}, "validation_error", "endpoint"),
        ({"endpoint": "http://example.com/", "events": ["email.sent"]}, "validation_error", "endpoint"),
        ({"endpoint": "https://10.1.2.3/", "events": ["email.sent"]}, "validation_error", "endpoint"),
        ({"endpoint": URL, "events": []}, "validation_error", "events"),
        ({"endpoint": URL, "events": "email.sent"}, "validation_error", "events"),
        ({"endpoint": URL, "events": ["email.sent", "contact.created"]}, "validation_error", "events[1]"),
        ({"endpoint": URL, "events": [None]}, "validation_error", "events[0]"),
        ([], "validation_error", None),
    ],
)
def test_an_invalid_webhook_is_refused_with_field_and_fix(
    server: ApiServer, body: Any, name: str, field: str | None
) -> None:
    refused(server.post(body, "/webhooks"), 422, name, field)


def test_an_invalid_change_changes_nothing(server: ApiServer, webhook: Json) -> None:
    path = f"/webhooks/{webhook['id']}"
    refused(ask(server, "PATCH", path, {"status": "asleep"}), 422, "validation_error", "status")
    refused(ask(server, "PATCH", path, {"endpoint": "https://127.0.0.1/"}), 422, "validation_error", "endpoint")
    refused(ask(server, "PATCH", path, {"events": ["x"]}), 422, "validation_error", "events[0]")
    refused(ask(server, "PATCH", f"/webhooks/{uuid4()}", {"status": "enabled"}), 404, "not_found")
    refused(ask(server, "PATCH", "/webhooks/x", {"status": "enabled"}), 422, "invalid_parameter", "id")
    refused(ask(server, "PUT", path, {}), 405, "method_not_allowed")
    assert success(server.get(path)) == webhook


def test_the_number_of_webhooks_is_limited(server: ApiServer) -> None:
    """Each adds a cost to every email."""
    made = []
    while (response := server.post({"endpoint": URL, "events": ["email.sent"]}, "/webhooks")).status_code == 200:
        made.append(response.json()["id"])
    assert len(made) == 50
    check_error(response)
    for id_ in made:
        success(ask(server, "DELETE", f"/webhooks/{id_}"))


def test_webhooks_need_a_full_access_key(server: ApiServer, webhook: Json) -> None:
    sender = server.make_key(Permission.SENDING_ACCESS)
    for path in ("/webhooks", f"/webhooks/{webhook['id']}", f"/webhooks/{webhook['id']}/events"):
        refused(server.get(path, sender), 401, "restricted_api_key")
    refused(server.post({"endpoint": URL, "events": ["email.sent"]}, "/webhooks", sender), 401, "restricted_api_key")
    refused(server.post(None, f"/webhooks/{webhook['id']}/signing-secret/rotate", sender), 401, "restricted_api_key")
    refused(httpx.get(f"{server.url}/webhooks"), 401, "missing_api_key")


def test_a_rotation_returns_the_new_secret(server: ApiServer, webhook: Json) -> None:
    """It is the one that is shown from then on."""
    rotated = success(server.post(None, f"/webhooks/{webhook['id']}/signing-secret/rotate"))
    assert rotated.keys() == {"object", "id", "signing_secret"}
    assert rotated["signing_secret"] not in (webhook["signing_secret"], "")
    assert success(server.get(f"/webhooks/{webhook['id']}"))["signing_secret"] == rotated["signing_secret"]
    refused(server.post(None, f"/webhooks/{uuid4()}/signing-secret/rotate"), 404, "not_found")


def test_events_are_paged(server: ApiServer, webhook: Json) -> None:
    """The newest first; `after` is the last one of the previous page."""
    path, all_of_them = f"/webhooks/{webhook['id']}/events", events(server, webhook, 5)
    assert all(
        event.keys() == {"id", "type", "created_at", "status"}
        and (event["type"], event["status"]) == ("email.scheduled", "pending")
        for event in all_of_them
    )
    page = success(server.get(f"{path}?limit=2"))
    assert (page["data"], page["has_more"]) == (all_of_them[:2], True)
    page = success(server.get(f"{path}?limit=3&after={page['data'][-1]['id']}"))
    assert (page["data"], page["has_more"]) == (all_of_them[2:], False)
    for query in ("limit=0", "limit=101", "limit=x", "limit=", "after=x"):
        refused(server.get(f"{path}?{query}"), 422, "validation_error", query.split("=")[0])


def test_an_event_has_its_attempts_and_can_be_replayed(server: ApiServer, webhook: Json) -> None:
    """As the SDKs read them."""
    (listed,) = events(server, webhook, 1)
    path = f"/webhooks/{webhook['id']}/events/{listed['id']}"
    event = success(server.get(path))
    assert event.items() >= {**listed, "object": "webhook_event"}.items()
    assert event["payload"]["type"] == "email.scheduled"
    assert event["next_attempt_at"]
    assert success(server.get(f"{path}/attempts")) == {"object": "list", "has_more": False, "data": []}
    (due,) = server.run(server.store.claim_deliveries(UUID(webhook["id"]), 1, ENDLESS, ENDLESS))
    attempt = DeliveryAttempt(1_800_000_000.0, 500, "broken")
    server.run(server.store.settle_delivery(DeliveryResult(due, attempt, delivered=False)))
    failed = success(server.get(path))
    assert (failed["status"], failed["next_attempt_at"]) == ("failed", None)
    (tried,) = success(server.get(f"{path}/attempts"))["data"]
    assert tried == {
        "id": f"{listed['id']}-1",
        "http_status_code": 500,
        "response": "broken",
        "sent_at": "2027-01-15T08:00:00.000Z",
    }
    assert success(server.post(None, f"{path}/replay")) == {"object": "webhook_event", "id": listed["id"]}
    assert success(server.get(path))["status"] == "attempting"
    for other in (f"/webhooks/{uuid4()}/events/{listed['id']}", f"/webhooks/{webhook['id']}/events/{uuid4()}"):
        refused(server.get(other), 404, "not_found")
        refused(server.get(f"{other}/attempts"), 404, "not_found")
        refused(server.post(None, f"{other}/replay"), 404, "not_found")


def test_failed_events_since_a_time_are_replayed(server: ApiServer, webhook: Json) -> None:
    """The time is required."""
    path = f"/webhooks/{webhook['id']}/replay"
    events(server, webhook, 2)
    for due in server.run(server.store.claim_deliveries(UUID(webhook["id"]), 2, ENDLESS, ENDLESS)):
        server.run(
            server.store.settle_delivery(DeliveryResult(due, DeliveryAttempt(0.0, 0, "nobody there"), delivered=False))
        )
    for since, count in (("2100-01-01T00:00:00Z", 0), ("2026-01-01", 2), ("2026-01-01", 0)):
        assert success(server.post({"since": since}, path)) == {
            "object": "webhook",
            "id": webhook["id"],
            "replayed": count,
        }
    wrong: list[Any] = ["yesterday", 5, [], "9999-99-99"]
    for since in wrong:
        refused(server.post({"since": since}, path), 422, "validation_error", "since")
    refused(server.post({}, path), 422, "missing_required_field", "since")
    refused(server.post({"since": "2026-01-01"}, f"/webhooks/{uuid4()}/replay"), 404, "not_found")


def test_every_event_type_can_be_subscribed(server: ApiServer) -> None:
    made = success(server.post({"endpoint": URL, "events": [*EventType, *EventType]}, "/webhooks"))
    assert made["events"] == [*EventType]
    assert made["never_sent"] == [EventType.DELIVERED, EventType.BOUNCED]  # the message trace is not read
    success(ask(server, "DELETE", f"/webhooks/{made['id']}"))


def test_a_part_of_the_list(server: ApiServer) -> None:
    """`limit`, `after` and `before`, which Resend's SDKs send; an unknown id is refused."""
    made = [success(server.post({"endpoint": URL, "events": ["email.sent"]}, "/webhooks"))["id"] for _ in range(3)]
    every = [one["id"] for one in success(server.get("/webhooks"))["data"]]
    assert set(made) <= set(every)

    def part(query: str) -> tuple[list[str], bool]:
        page = success(server.get(f"/webhooks?{query}"))
        return [one["id"] for one in page["data"]], page["has_more"]

    assert part("limit=100") == (every, False)
    assert part("limit=2") == (every[:2], True)
    assert part(f"after={every[0]}") == (every[1:], False)
    assert part(f"limit=1&after={every[0]}") == (every[1:2], len(every) > 2)
    assert part(f"before={every[2]}&limit=1") == (every[1:2], True)
    refused(server.get("/webhooks?limit=0"), 422, "validation_error", "limit")
    for query in (f"after={uuid4()}", "before=x"):
        assert query.partition("=")[0] in refused(server.get(f"/webhooks?{query}"), 404, "not_found")["message"]
    for id in made:
        server.client.delete(f"/webhooks/{id}")
