"""Writes of responses: in one segment if possible, and the first part at once if the client waits for it."""

import json

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, read_response

OCTETS = json.dumps(MINIMAL).encode()


def head(server: ApiServer, *lines: str) -> bytes:
    """Return a request up to its body."""
    fields = ["POST /emails HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, f"Content-Length: {len(OCTETS)}", "", ""]).encode()


@pytest.mark.direct("how its answers leave is its own affair")
def test_a_response_is_one_segment(server: ApiServer) -> None:
    """Head and body together."""
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(head(server) + OCTETS)
            first = connection.recv(65_536)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert first.endswith(b'"}')


def test_pipelined_responses_are_in_order(server: ApiServer) -> None:
    """On one connection, which the client closes with its last request."""
    with server.connect() as connection:
        connection.sendall((head(server) + OCTETS) * 3 + head(server, "Connection: close") + OCTETS)
        with connection.makefile("rb") as stream:
            octets = stream.read()
    assert octets.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert octets.count(b'{"id":"') == 4
    assert octets.endswith(b'"}')


def test_expect_100_continue_is_answered_at_once(server: ApiServer) -> None:
    """RFC 9110 §10.1.1: nothing is delayed to be combined with it."""
    with server.connect() as connection:
        connection.sendall(head(server, "Expect: 100-continue"))
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(OCTETS)
        accepted(read_response(connection))
