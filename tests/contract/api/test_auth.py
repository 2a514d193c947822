"""API keys at the door: cases A1 to A4, and what follows from a key's policy."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from app.api.keys import digest
from app.store.records import Permission
from tests.contract.api.door import MINIMAL, Door, accepted, changed, open_door, refused


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "pst_something"])
def test_a1_no_key(door: Door, header: str | None) -> None:
    """Without `Bearer <key>` there is no key."""
    head = "" if header is None else f"Authorization: {header}\r\n"
    response = door.raw(f"GET /emails/x HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    refused(response, 401, "missing_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a2_wrong_key(door: Door) -> None:
    """A key that nobody made."""
    refused(door.post(MINIMAL, key="pst_wrong"), 403, "invalid_api_key")


def test_a2_revoked_key(door: Door) -> None:
    """A revoked key ends within a second or so, without a restart."""
    secret = door.make_key()
    accepted(door.post(MINIMAL, key=secret))
    key = door.run(door.store.find_key(digest(secret)))
    assert key is not None
    assert door.run(door.store.revoke_key(key.key.id, door.clock.now()))
    deadline = time.monotonic() + 5
    while door.get("/emails/x", key=secret).status_code != 403:
        assert time.monotonic() < deadline
    refused(door.post(MINIMAL, key=secret), 403, "invalid_api_key")


def test_a_lookup_that_failed_is_not_remembered(tmp_path: Path) -> None:
    """503 while the store cannot say whose a key is, and never longer."""
    with open_door(tmp_path) as door, closing(sqlite3.connect(door.database, isolation_level=None)) as other:
        other.execute("ALTER TABLE api_keys RENAME TO away")
        for _ in range(2):
            refused(door.post(MINIMAL), 503, "application_error")
        other.execute("ALTER TABLE away RENAME TO api_keys")
        accepted(door.post(MINIMAL))


def test_a3_send_only_key_reads_nothing(door: Door) -> None:
    """It may POST and nothing else, not even read its own mail."""
    secret = door.make_key(Permission.SEND_ONLY)
    id_ = accepted(door.post(MINIMAL, key=secret))
    refused(door.get(f"/emails/{id_}", key=secret), 401, "restricted_api_key")
    refused(door.get("/domains", key=secret), 401, "restricted_api_key")


def test_a4_the_scheme_in_any_case(door: Door) -> None:
    """RFC 9110 §11.1."""
    for scheme in ("bearer", "BEARER", "Bearer"):
        response = door.client.get("/emails/x", headers={"authorization": f"{scheme} {door.key}"})
        refused(response, 422, "invalid_parameter")


@pytest.mark.direct("it answers once the caller has sent something more: deploy/gateway/README.md", "caddy")
def test_the_key_is_checked_before_the_body_is_read(door: Door) -> None:
    """Nobody without a key can make the relay keep octets in memory."""
    head = "POST /emails HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    refused(door.raw(head.encode()), 401, "missing_api_key")


@pytest.mark.parametrize("sender", ["billing@contoso.com", "Billing@CONTOSO.com", "x@news.contoso.com"])
def test_a_key_with_senders_sends_as_they_say(door: Door, sender: str) -> None:
    """Patterns and whole addresses, in any case. The pools have the last word."""
    secret = door.make_key(senders=("BILLING@contoso.com", "*@news.contoso.com"))
    response = door.post(changed(from_=sender), key=secret)
    if "news" in sender:
        assert "settings" in refused(response, 403, "validation_error")["message"]
    else:
        accepted(response)


def test_a_sender_beyond_the_key_is_refused_by_name(door: Door) -> None:
    """With what would be right."""
    secret = door.make_key(senders=("billing@contoso.com",))
    body = refused(door.post(MINIMAL, key=secret), 403, "validation_error", "from")
    assert body["reason"] == "sender_not_allowed"
    assert "noreply@contoso.com" in body["message"]
    assert "billing@contoso.com" in body["message"]


def test_a_sender_of_no_pool_is_refused(door: Door) -> None:
    """At the POST, never after DATA."""
    body = refused(door.post(changed(from_="x@elsewhere.example")), 403, "validation_error", "from")
    assert body["reason"] == "sender_not_allowed"


def test_the_default_sender_of_the_key(door: Door) -> None:
    """Stands in for a missing `from`, and for null."""
    secret = door.make_key(default_sender="Contoso Billing <billing@contoso.com>")
    for sender in (..., None):
        id_ = accepted(door.post(changed(from_=sender), key=secret))
        assert door.message(id_)["from"] == "Contoso Billing <billing@contoso.com>"


def test_a_full_access_key_reads_all(door: Door) -> None:
    """The others see only their own."""
    id_ = door.send()
    full = door.make_key(Permission.FULL_ACCESS)
    assert door.get(f"/emails/{id_}", key=full).json()["id"] == id_


def test_ids_are_in_the_order_of_acceptance(door: Door) -> None:
    """UUIDv7, from the clock."""
    ids = [UUID(door.send()) for _ in range(5)]
    assert ids == sorted(ids)
    assert {id_.version for id_ in ids} == {7}
