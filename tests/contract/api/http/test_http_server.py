"""Writes of responses: in one segment if possible, and the first part at once if the client waits for it."""

import json
import socket
from contextlib import suppress

import pytest

from app.http_server.server import MAX_PIPELINED
from tests.contract.api.server import MINIMAL, ApiServer, accepted, read_response

BODY = json.dumps(MINIMAL).encode()


def head(server: ApiServer, *lines: str) -> bytes:
    """Return a request up to its body."""
    fields = ["POST /emails HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, f"Content-Length: {len(BODY)}", "", ""]).encode()


def answered(connection: socket.socket, number: int) -> None:
    """Read so many responses with the status 404."""
    data = b""
    while data.count(b"HTTP/1.1 404 ") < number:
        data += connection.recv(65_536)
    assert data.count(b"HTTP/1.1 ") == number


@pytest.mark.direct("how its answers leave is its own affair")
def test_a_response_is_one_segment(server: ApiServer) -> None:
    """Head and body together."""
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(head(server) + BODY)
            first = connection.recv(65_536)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert first.endswith(b'"}')


def test_pipelined_responses_are_in_order(server: ApiServer) -> None:
    """On one connection, which the client closes with its last request."""
    with server.connect() as connection:
        connection.sendall((head(server) + BODY) * 3 + head(server, "Connection: close") + BODY)
        with connection.makefile("rb") as stream:
            data = stream.read()
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert data.count(b'{"id":"') == 4
    assert data.endswith(b'"}')


@pytest.mark.direct("a gateway opens its own connections")
def test_pipelined_requests_are_limited(server: ApiServer) -> None:
    """Each takes memory before it is authenticated: the connection is closed."""
    with server.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n" * (MAX_PIPELINED + 1))
        answered(connection, MAX_PIPELINED + 1)
    with server.connect() as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n" * 5000)
        with suppress(ConnectionError), connection.makefile("rb") as stream:
            assert stream.read().count(b"HTTP/1.1 ") <= MAX_PIPELINED


@pytest.mark.direct("a gateway sends no such field")
@pytest.mark.parametrize("size", [1, 7, 40, 65_536])
@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA"),
        ("Connection: upgrade", "Upgrade: websocket"),
    ],
)
def test_an_upgrade_is_ignored(server: ApiServer, fields: tuple[str, ...], size: int) -> None:
    """RFC 9110 §7.8: the request is processed, with its body, and the next one on the connection, too.

    Java's client sends the first kind with its first request to an http URL.
    """
    data = (head(server, *fields) + BODY) * 2 + head(server, "Connection: close") + BODY
    with server.connect() as connection:
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])
        with connection.makefile("rb") as stream:
            answers = stream.read()
    assert (answers.count(b"HTTP/1.1 200 OK\r\n"), answers.count(b'{"id":"')) == (3, 3)


@pytest.mark.direct("a gateway has its own answer")
def test_a_tunnel_is_refused(server: ApiServer) -> None:
    """An HTTP server is no proxy (RFC 9110 §9.3.6)."""
    with server.connect() as connection:
        connection.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\nUpgrade: x\r\n\r\n")
        assert read_response(connection).status_code == 400


def test_expect_100_continue_is_answered_at_once(server: ApiServer) -> None:
    """RFC 9110 §10.1.1: nothing is delayed to be combined with it."""
    with server.connect() as connection:
        connection.sendall(head(server, "Expect: 100-continue"))
        interim = connection.recv(65_536)  # a gateway may add header fields
        assert interim.startswith(b"HTTP/1.1 100 Continue\r\n")
        assert interim.find(b"\r\n\r\n") == len(interim) - 4
        connection.sendall(BODY)
        accepted(read_response(connection))
