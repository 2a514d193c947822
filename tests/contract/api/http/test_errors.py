"""Whatever goes wrong, whoever finds it: cases S20, E1, E2, E3, E6 and E7, and the entrance."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.api.server.unsupported import METHODS, PATHS, PATHS_BEFORE_EMAIL_ID
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
OCTETS = json.dumps(MINIMAL).encode()


def head(server: ApiServer, *lines: str, method: str = "POST", path: str = "/emails") -> bytes:
    """A request up to its body."""
    fields = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, "", ""]).encode()


@pytest.mark.parametrize("path", ["/", "/nope", "/emails/x/y/z", pytest.param("/%00", marks=NUL), "/emails/%2e%2e"])
def test_e1_unknown_path(server: ApiServer, path: str) -> None:
    """404 in the same form as all else."""
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
    """405, with what is allowed."""
    response = server.client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_e2_a_crash(server: ApiServer) -> None:
    """Is an answer, and the same connection still works."""
    octets = json.dumps(changed(from_="crash@contoso.com")).encode()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(octets)}") + octets)
        refused(read_response(connection), 500, "application_error")
        connection.sendall(head(server, f"Content-Length: {len(OCTETS)}") + OCTETS)
        accepted(read_response(connection))


def test_e3_the_store_is_down(tmp_path: Path) -> None:
    """503 with when to come back; the email was not kept, and all is well once the store is."""
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
    """Says so, to callers with a key."""
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
    """New requests go elsewhere; whoever watches the process still hears."""
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
def test_e7_what_a_stop_cuts_is_told_so(tmp_path: Path) -> None:
    """A request that has not ended when a stop has waited long enough: 503 and when to come back, never a bare 500."""
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


def test_s20_a_body_over_the_cap(server: ApiServer) -> None:
    """413 in the wire form, also to a client that writes all of it before it reads."""
    body = b'{"text": "' + b"x" * (server.limits.max_body_bytes + 1_000_000) + b'"}'
    refused(server.post(body), 413, "validation_error")
    refused(server.client.post("/emails", content=(body[i : i + 65_536] for i in range(0, len(body), 65_536))), 413,
            "validation_error")  # fmt: skip
    accepted(server.post(MINIMAL))


@EARLY
def test_s20_a_length_over_the_cap_is_refused_before_it_is_sent(server: ApiServer) -> None:
    """The answer comes while nothing of the body was written."""
    for expectation in ((), ("Expect: 100-continue",)):
        with server.connect() as connection:
            connection.sendall(head(server, "Content-Length: 100000000000", *expectation))
            response = read_response(connection)
        refused(response, 413, "validation_error")
        assert server.gateway or response.headers["connection"] == "close"


@EARLY
def test_a_chunked_body_is_counted_while_it_comes(server: ApiServer) -> None:
    """An endless one is cut off at the cap."""
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        for _ in range(server.limits.max_body_bytes // 0x10000 + 1):
            connection.sendall(piece)
        refused(read_response(connection), 413, "validation_error")


def test_a_body_at_the_cap_is_read(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    with open_server(tmp_path, limits=small(max_body_bytes=len(OCTETS))) as server:
        accepted(server.post(OCTETS))
        refused(server.post(OCTETS + b" "), 413, "validation_error")


@EARLY
def test_a_slow_body(tmp_path: Path) -> None:
    """Does not keep the relay waiting for ever."""
    with open_server(tmp_path, limits=small(body_seconds=0.2)) as server, server.connect() as connection:
        connection.sendall(head(server, "Content-Length: 100") + b"{")
        response = read_response(connection)
        refused(response, 408, "validation_error")
        assert server.gateway or response.headers["connection"] == "close"


def test_half_a_body(server: ApiServer) -> None:
    """A caller that goes away keeps nothing and breaks nothing."""
    kept = server.count()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(OCTETS)}") + OCTETS[:-5])
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(OCTETS)}", "Connection: close") + OCTETS)
        accepted(read_response(connection))
    assert server.count() == kept + 1


@pytest.mark.direct("a gateway makes ids of its own form: tests/gateway")
def test_the_request_id(server: ApiServer) -> None:
    """The caller's own, or one made here."""
    assert server.client.get("/healthz", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for odd in (b"a b", b"x" * 129, b'"', "ü".encode()):
        given = server.client.get("/nope", headers={b"x-request-id": odd})
        assert len(check_error(given)["request_id"]) == 24


def test_a_large_body_does_not_stop_the_others(server: ApiServer) -> None:
    """Nobody waits for 5 s, api.md §1, rule 10: here the answer to both comes at once."""
    large = json.dumps(changed(attachments=[{"filename": "a", "content": [1] * 500_000}])).encode()
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(large)}") + large)
        began = time.monotonic()
        assert server.inside("/healthz").status_code == 200
        assert time.monotonic() - began < 5
        accepted(read_response(connection))
