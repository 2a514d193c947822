"""Authentication with API keys: cases A1 to A4, and the sender rules of a key's policy."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from app.api.auth.authenticator import digest
from app.store.keys.records import Permission
from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, refused


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "pst_something"])
def test_a1_no_key(server: ApiServer, header: str | None) -> None:
    """Without `Bearer <key>` the request has no key."""
    head = "" if header is None else f"Authorization: {header}\r\n"
    response = server.raw(f"GET /emails/x HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    refused(response, 401, "missing_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a2_wrong_key(server: ApiServer) -> None:
    """An unknown key is refused."""
    refused(server.post(MINIMAL, key="pst_wrong"), 403, "invalid_api_key")


def test_a2_revoked_key(server: ApiServer) -> None:
    """A revoked key is refused within about a second, without a restart."""
    secret = server.make_key()
    accepted(server.post(MINIMAL, key=secret))
    key = server.run(server.store.find_key(digest(secret)))
    assert key is not None
    assert server.run(server.store.revoke_key(key.key.id, server.clock.now()))
    deadline = time.monotonic() + 5
    while server.get("/emails/x", key=secret).status_code != 403:
        assert time.monotonic() < deadline
    refused(server.post(MINIMAL, key=secret), 403, "invalid_api_key")


def test_a_failed_lookup_is_not_cached(tmp_path: Path) -> None:
    """503 while the store cannot look the key up, and not longer."""
    with open_server(tmp_path) as server, closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        other.execute("ALTER TABLE api_keys RENAME TO away")
        for _ in range(2):
            refused(server.post(MINIMAL), 503, "application_error")
        other.execute("ALTER TABLE away RENAME TO api_keys")
        accepted(server.post(MINIMAL))


def test_a3_send_only_key_reads_nothing(server: ApiServer) -> None:
    """It may POST emails, and not even read them."""
    secret = server.make_key(Permission.SEND_ONLY)
    id_ = accepted(server.post(MINIMAL, key=secret))
    refused(server.get(f"/emails/{id_}", key=secret), 401, "restricted_api_key")
    refused(server.get("/domains", key=secret), 401, "restricted_api_key")


def test_a4_the_scheme_in_any_case(server: ApiServer) -> None:
    """RFC 9110 §11.1."""
    for scheme in ("bearer", "BEARER", "Bearer"):
        response = server.client.get("/emails/x", headers={"authorization": f"{scheme} {server.key}"})
        refused(response, 422, "invalid_parameter")


@pytest.mark.direct("it answers once the caller has sent something more: deploy/gateway/README.md", "caddy")
def test_the_key_is_checked_before_the_body_is_read(server: ApiServer) -> None:
    """A caller without a key cannot make Postern hold a body in memory."""
    head = "POST /emails HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    refused(server.raw(head.encode()), 401, "missing_api_key")


@pytest.mark.parametrize("sender", ["billing@contoso.com", "Billing@CONTOSO.com", "x@news.contoso.com"])
def test_a_key_with_senders_may_send_as_them(server: ApiServer, sender: str) -> None:
    """Patterns and whole addresses, in any case. The routing of pools still applies."""
    secret = server.make_key(senders=("BILLING@contoso.com", "*@news.contoso.com"))
    response = server.post(changed(from_=sender), key=secret)
    if "news" in sender:
        assert "settings" in refused(response, 403, "validation_error")["message"]
    else:
        accepted(response)


def test_a_sender_outside_the_policy_is_refused_with_the_allowed_ones(server: ApiServer) -> None:
    secret = server.make_key(senders=("billing@contoso.com",))
    body = refused(server.post(MINIMAL, key=secret), 403, "validation_error", "from")
    assert body["reason"] == "sender_not_allowed"
    assert "noreply@contoso.com" in body["message"]
    assert "billing@contoso.com" in body["message"]


def test_a_sender_of_no_pool_is_refused(server: ApiServer) -> None:
    """At the POST, never after DATA."""
    body = refused(server.post(changed(from_="x@elsewhere.example")), 403, "validation_error", "from")
    assert body["reason"] == "sender_not_allowed"


def test_the_default_sender_of_a_key_replaces_a_missing_from(server: ApiServer) -> None:
    """Also a `from` of null."""
    secret = server.make_key(default_sender="Contoso Billing <billing@contoso.com>")
    for sender in (..., None):
        id_ = accepted(server.post(changed(from_=sender), key=secret))
        assert server.message(id_)["from"] == "Contoso Billing <billing@contoso.com>"


def test_a_full_access_key_reads_all_emails(server: ApiServer) -> None:
    """Other keys read only their own."""
    id_ = server.send()
    full = server.make_key(Permission.FULL_ACCESS)
    assert server.get(f"/emails/{id_}", key=full).json()["id"] == id_


def test_ids_are_in_the_order_of_acceptance(server: ApiServer) -> None:
    """They are UUIDv7 of the server's clock."""
    ids = [UUID(server.send()) for _ in range(5)]
    assert ids == sorted(ids)
    assert {id_.version for id_ in ids} == {7}
