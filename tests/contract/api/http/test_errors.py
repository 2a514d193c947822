"""Errors of every layer: cases S20, E1, E2, E3, E6 and E7, and request ids."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.api.server.unknown_path import METHODS, PATHS, PATHS_BEFORE_EMAIL_ID
from tests.contract.api.server import (
    MINIMAL,
    NUL,
    ApiServer,
    accepted,
    changed,
    check_error,
    open_server,
    read_response,
    refused,
    small,
)

INSIDE = pytest.mark.direct("what is for machines inside is not passed on: tests/gateway")
EARLY = pytest.mark.direct("it answers once the caller has sent something more: deploy/gateway/README.md", "caddy")
BODY = json.dumps(MINIMAL).encode()


def head(server: ApiServer, *lines: str, method: str = "POST", path: str = "/emails") -> bytes:
    """Return a request up to its body."""
    fields = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, "", ""]).encode()


@pytest.mark.parametrize("path", ["/", "/nope", "/emails/x/y/z", pytest.param("/%00", marks=NUL), "/emails/%2e%2e"])
def test_e1_unknown_path(server: ApiServer, path: str) -> None:
    """404 in the common form."""
    assert check_error(server.get(path))["name"] in ("not_found", "invalid_parameter")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/emails/x", "GET, HEAD, PATCH"),
        ("PUT", "/emails", "GET, HEAD, POST"),
        ("OPTIONS", "/emails", "GET, HEAD, POST"),
        ("GET", "/emails/x/retry", "POST"),
        pytest.param("POST", "/healthz", "GET, HEAD", marks=INSIDE),
    ],
)
def test_e1_wrong_method(server: ApiServer, method: str, path: str, allow: str) -> None:
    """405 with Allow."""
    response = server.client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_e2_a_crash(server: ApiServer) -> None:
    """500 in the common form, and the connection stays usable."""
    data = json.dumps(changed(from_="crash@contoso.com")).encode()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(data)}") + data)
        refused(read_response(connection), 500, "application_error")
        connection.sendall(head(server, f"Content-Length: {len(BODY)}") + BODY)
        accepted(read_response(connection))


def test_e3_the_store_is_down(tmp_path: Path) -> None:
    """503 with Retry-After; nothing is stored, and requests succeed once the store is back."""
    with open_server(tmp_path) as server, closing(sqlite3.connect(server.database, isolation_level=None)) as other:
        id_ = server.send()
        other.execute("ALTER TABLE contents RENAME TO away")
        for response in (
            server.post(MINIMAL),
            server.post(MINIMAL, Idempotency_Key="once"),
            server.get(f"/emails/{id_}"),
        ):
            refused(response, 503, "application_error")
            assert int(response.headers["retry-after"]) > 0
        other.execute("ALTER TABLE away RENAME TO contents")
        assert server.count() == 1
        accepted(server.post(MINIMAL, Idempotency_Key="once"))


@pytest.mark.parametrize("path", [*PATHS_BEFORE_EMAIL_ID, *PATHS])
def test_e6_what_a_relay_does_not_have(server: ApiServer, path: str) -> None:
    """A caller with a key gets an explanation."""
    path = path.replace("{rest:path}", "a/b").replace("{id}", "0c6a1b52-0f3b-7c3f-8000-000000000000")
    for method in METHODS:
        response = server.client.request(method, path)
        assert response.status_code == 404
        if method != "HEAD":
            body = refused(response, 404, "not_found")
            assert body["reason"] == "unsupported_resource"
            assert "is not available on this relay" in body["message"]
    refused(httpx.get(server.url + path), 401, "missing_api_key")


def test_e7_draining(tmp_path: Path) -> None:
    """New requests get 503; health checks are still answered."""
    with open_server(tmp_path) as server:
        id_ = server.send()
        server.draining = True
        for response in (server.post(MINIMAL), server.get(f"/emails/{id_}"), server.get("/emails/nope/nope")):
            refused(response, 503, "application_error")
            assert response.headers["retry-after"] == "5"
        assert server.inside("/healthz").json() == {"status": "ok"}
        body = refused(server.inside("/readyz"), 503, "application_error")
        assert (body["status"], [reason["summary"] for reason in body["reasons"]]) == (
            "not_ready",
            ["Postern is stopping."],
        )
        assert server.inside("/metrics").status_code == 200


@pytest.mark.direct("a gateway reads a body before it passes it on")
def test_e7_a_request_cut_by_a_stop_gets_503(tmp_path: Path) -> None:
    """With Retry-After, never a bare 500."""
    with open_server(tmp_path) as server, server.connect() as connection:
        connection.sendall(head(server, "Content-Length: 100", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        server.begin_to_stop(drain=1)
        response = read_response(connection)
        body = refused(response, 503, "application_error")
        assert "Idempotency-Key" in body["message"]
        assert response.headers["retry-after"] == "5"


def test_health(server: ApiServer) -> None:
    """Needs no key."""
    assert server.inside("/healthz").json() == {"status": "ok"}
    response = server.inside("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "relaying": True, "reasons": []})
    assert server.inside("/healthz", "HEAD").status_code == 200


def test_s20_a_body_over_the_limit(server: ApiServer) -> None:
    """413 in the common form, also to a client that writes all of it before it reads."""
    body = b'{"text": "' + b"x" * (server.limits.max_body_bytes + 1_000_000) + b'"}'
    refused(server.post(body), 413, "validation_error")
    refused(server.client.post("/emails", content=(body[i : i + 65_536] for i in range(0, len(body), 65_536))), 413,
            "validation_error")  # fmt: skip
    accepted(server.post(MINIMAL))


@EARLY
def test_s20_a_length_over_the_limit_is_refused_before_the_body(server: ApiServer) -> None:
    for expectation in ((), ("Expect: 100-continue",)):
        with server.connect() as connection:
            connection.sendall(head(server, "Content-Length: 100000000000", *expectation))
            response = read_response(connection)
        refused(response, 413, "validation_error")
        assert server.gateway or response.headers["connection"] == "close"


@EARLY
def test_an_endless_chunked_body_is_cut_at_the_limit(server: ApiServer) -> None:
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        for _ in range(server.limits.max_body_bytes // 0x10000 + 1):
            connection.sendall(piece)
        refused(read_response(connection), 413, "validation_error")


def test_a_body_at_the_limit_is_accepted(tmp_path: Path) -> None:
    with open_server(tmp_path, limits=small(max_body_bytes=len(BODY))) as server:
        accepted(server.post(BODY))
        refused(server.post(BODY + b" "), 413, "validation_error")


@EARLY
def test_a_slow_body_times_out(tmp_path: Path) -> None:
    with open_server(tmp_path, limits=small(body_seconds=0.2)) as server, server.connect() as connection:
        connection.sendall(head(server, "Content-Length: 100") + b"{")
        response = read_response(connection)
        refused(response, 408, "validation_error")
        assert server.gateway or response.headers["connection"] == "close"


def test_a_disconnect_in_the_body_stores_nothing(server: ApiServer) -> None:
    before = server.count()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(BODY)}") + BODY[:-5])
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(BODY)}", "Connection: close") + BODY)
        accepted(read_response(connection))
    assert server.count() == before + 1


@pytest.mark.direct("a gateway makes ids of its own form: tests/gateway")
def test_the_request_id_is_the_callers_or_generated(server: ApiServer) -> None:
    assert server.client.get("/healthz", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for odd in (b"a b", b"x" * 129, b'"', "ü".encode()):
        given = server.client.get("/nope", headers={b"x-request-id": odd})
        assert len(check_error(given)["request_id"]) == 24


def test_a_large_body_does_not_delay_other_requests(server: ApiServer) -> None:
    """api.md §1, rule 10."""
    large = json.dumps(changed(attachments=[{"filename": "a", "content": [1] * 500_000}])).encode()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(large)}") + large)
        began = time.monotonic()
        assert server.inside("/healthz").status_code == 200
        assert time.monotonic() - began < 5
        accepted(read_response(connection))
