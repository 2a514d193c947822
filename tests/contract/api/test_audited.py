"""Every operation over HTTP that changes something and is no submission has one entry in the audit."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from app.store.keys.records import Permission
from app.store.webhooks.records import DeliveryAttempt, DeliveryResult
from tests.contract.api.auth.test_authorization import TABLE
from tests.contract.api.emails.test_retry import create_in_state
from tests.contract.api.server import ApiServer, Json, open_server
from tests.contract.api.test_erase import PERSON, ended_email
from tests.contract.api.test_mailboxes import store_condition
from tests.contract.store import build

HOOK: Json = {
    "endpoint": "https://example.com:8443/hook/secret?token=secret",
    "events": ["email.scheduled"],
}
ENDLESS = 1e12  # epoch seconds
SUBMISSIONS = {("POST", path) for path in ("/emails", "/emails/batch", "/emails/validate", "/email", "/email/batch")}


class Case(NamedTuple):
    """Action in the audit, a function that makes the parts of the path, and the body."""

    action: str
    parts: Callable[[ApiServer], dict[str, str]] = lambda _: {}
    body: Any = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server, and a caller with full access."""
    with open_server(tmp_path_factory.mktemp("audited")) as server:
        server.client.headers["authorization"] = f"Bearer {server.make_key(Permission.FULL_ACCESS)}"
        yield server


def made(server: ApiServer, path: str, body: Json) -> dict[str, str]:
    """Create something; return its id."""
    return {"id": server.post(body, path).json()["id"]}


def hook(server: ApiServer) -> dict[str, str]:
    """Create a webhook."""
    return made(server, "/webhooks", HOOK)


def failed_event(server: ApiServer) -> dict[str, str]:
    """Create a webhook with an event that has failed."""
    parts = hook(server)
    server.send(scheduled_at="in 1 hour")
    (due,) = server.run(server.store.claim_deliveries(UUID(parts["id"]), 1, ENDLESS, ENDLESS))
    server.run(server.store.settle_delivery(DeliveryResult(due, DeliveryAttempt(0.0, 500, "no"), delivered=False)))
    return {**parts, "event_id": str(due.event_id)}


def scheduled(server: ApiServer) -> dict[str, str]:
    """Create a scheduled email."""
    return {"id": server.send(scheduled_at="in 1 hour")}


def held(server: ApiServer) -> dict[str, str]:
    """Create an email that is held."""
    return {"id": create_in_state(server, "held")}


def ended(server: ApiServer) -> dict[str, str]:
    """Create an email that was relayed to PERSON."""
    return {"id": ended_email(server, build.RELAYED)}


def key(server: ApiServer) -> dict[str, str]:
    """Create an API key."""
    return made(server, "/keys", {"name": "shop"})


def suppression(server: ApiServer) -> dict[str, str]:
    """Add gone@example.com to the list of suppressions."""
    return made(server, "/suppressions", {"email": "gone@example.com"})


def mailbox(server: ApiServer) -> dict[str, str]:
    """Store a mailbox."""
    return {"name": store_condition(server)}


CASES: dict[tuple[str, str], Case] = {
    ("PATCH", "/emails/{id}"): Case("email.rescheduled", scheduled, {"scheduled_at": "in 2 hours"}),
    ("POST", "/emails/{id}/cancel"): Case("email.canceled", scheduled),
    ("POST", "/emails/{id}/retry"): Case("email.retried", held),
    ("POST", "/emails/{id}/confirm"): Case("email.confirmed", held),
    ("POST", "/emails/{id}/erase"): Case("email.erased", ended),
    ("POST", "/emails/erase"): Case("email.erased", ended, {"address": PERSON}),
    ("POST", "/mailboxes/{name}/hold"): Case("mailbox.held", mailbox, {"reason": "a test"}),
    ("POST", "/mailboxes/{name}/release"): Case("mailbox.released", mailbox),
    ("POST", "/webhooks"): Case("webhook.created", body=HOOK),
    ("PATCH", "/webhooks/{id}"): Case("webhook.updated", hook, {"status": "disabled"}),
    ("DELETE", "/webhooks/{id}"): Case("webhook.removed", hook),
    ("POST", "/webhooks/{id}/signing-secret/rotate"): Case("webhook.rotated", hook),
    ("POST", "/webhooks/{id}/events/{event_id}/replay"): Case("webhook.replayed", failed_event),
    ("POST", "/webhooks/{id}/replay"): Case("webhook.replayed", failed_event, {"since": "2026-01-01"}),
    ("POST", "/suppressions"): Case("suppression.added", body={"email": "new@example.com"}),
    ("POST", "/suppressions/batch/add"): Case("suppression.added", body={"emails": ["a@example.com", "b@example.com"]}),
    ("DELETE", "/suppressions/{id}"): Case("suppression.removed", suppression),
    ("POST", "/suppressions/batch/remove"): Case("suppression.removed", suppression, {"emails": ["gone@example.com"]}),
    ("POST", "/keys"): Case("key.created", body={"name": "shop"}),
    ("PATCH", "/keys/{id}"): Case("key.updated", key, {"messages_per_day": 7}),
    ("DELETE", "/keys/{id}"): Case("key.revoked", key),
    ("POST", "/keys/{id}/rotate"): Case("key.rotated", key),
}


def audit(server: ApiServer) -> list[Json]:
    """Return the newest entries."""
    found: list[Json] = server.get("/audit?limit=100").json()["data"]
    return found


def test_all_operations_are_here() -> None:
    assert CASES.keys() == {place for place in TABLE if place[0] != "GET"} - SUBMISSIONS


@pytest.mark.parametrize(("method", "path"), CASES)
def test_an_operation_has_one_entry(server: ApiServer, method: str, path: str) -> None:
    """By the API key, with its request; without secrets and whole addresses."""
    action, parts, body = CASES[method, path]
    where = path.format(**parts(server))
    before = {one["id"] for one in audit(server)}
    answer = server.client.request(method, where, json=body)
    assert answer.is_success, answer.text
    (entry,) = [one for one in audit(server) if one["id"] not in before]
    assert (entry["action"], entry["times"]) == (action, 1)
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in str(entry["details"]).replace("old_secret_until", "")
    assert "new@example.com" not in str(entry)


def test_what_changes_nothing_has_none(server: ApiServer) -> None:
    """The same values again, and what does not exist."""
    webhook = hook(server)["id"]
    before = len(audit(server))
    assert server.client.patch(f"/webhooks/{webhook}", json=HOOK).is_success
    assert server.client.post(f"/webhooks/{webhook}/replay", json={"since": "2100-01-01T00:00:00Z"}).is_success
    assert server.client.delete(f"/webhooks/{UUID(int=1)}").status_code == 404
    assert len(audit(server)) == before


def test_the_values_of_a_changed_webhook(server: ApiServer) -> None:
    """The former ones, too; of the URL the server only."""
    webhook = hook(server)["id"]
    change = {"endpoint": "https://example.com:8443/other/secret", "events": ["email.sent"]}
    assert server.client.patch(f"/webhooks/{webhook}", json=change).is_success
    newest, created = [one for one in audit(server) if one["subject"] == webhook]
    assert created["details"] == {
        "endpoint": "https://example.com:8443",
        "events": ["email.scheduled"],
        "status": "enabled",
    }
    assert newest["details"] == {
        "endpoint": "https://example.com:8443",
        "events": {"before": ["email.scheduled"], "after": ["email.sent"]},
    }
