"""How answers leave: in one piece where they can, at once where somebody waits for the first piece."""

import json

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, read_response

OCTETS = json.dumps(MINIMAL).encode()


def head(server: ApiServer, *lines: str) -> bytes:
    """A request up to its body."""
    fields = ["POST /emails HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, f"Content-Length: {len(OCTETS)}", "", ""]).encode()


@pytest.mark.direct("how its answers leave is its own affair")
def test_an_answer_is_one_segment(server: ApiServer) -> None:
    """Head and body together, so that the caller is woken once."""
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(head(server) + OCTETS)
            first = connection.recv(65_536)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert first.endswith(b'"}')


def test_pipelined_answers_come_in_order(server: ApiServer) -> None:
    """Each whole, on one connection, which the caller closes with the last request."""
    with server.connect() as connection:
        connection.sendall((head(server) + OCTETS) * 3 + head(server, "Connection: close") + OCTETS)
        with connection.makefile("rb") as stream:
            octets = stream.read()
    assert octets.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert octets.count(b'{"id":"') == 4
    assert octets.endswith(b'"}')


def test_who_asks_before_sending_is_told_to_go_on(server: ApiServer) -> None:
    """100 Continue (RFC 9110 §10.1.1) is followed by nothing, and does not wait for it."""
    with server.connect() as connection:
        connection.sendall(head(server, "Expect: 100-continue"))
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(OCTETS)
        accepted(read_response(connection))
