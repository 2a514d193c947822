"""Limits on size and time of a caller's requests: an error names the limit, or the connection is cut."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.http_server.server import MAX_FIELDS
from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, read_response, refused, small

LARGE = 100_000  # bytes of a body that counts against the memory budget
CUT = 0.3  # seconds until these servers cut a connection


@pytest.fixture(scope="module")
def short_timeouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server with short timeouts."""
    with open_server(tmp_path_factory.mktemp("impatient"), timeout=CUT) as server:
        yield server


def head(server: ApiServer, *lines: str, path: str = "/emails", method: str = "POST") -> bytes:
    """Return a request up to its body."""
    fields = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, "", ""]).encode()


def ended(connection: socket.socket) -> bytes:
    """Return the bytes until the other side closes."""
    with connection.makefile("rb") as stream:
        return stream.read()


def pour(connection: socket.socket, first: bytes, more: bytes) -> None:
    """Write without end."""
    connection.sendall(first)
    while True:
        connection.sendall(more)


def bare(response: bytes) -> tuple[int, dict[str, object]]:
    """Return status and body of a response below the application, which has no request id."""
    first, _, content = response.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in first
    assert b"\r\nconnection: close" in first
    body = json.loads(content)
    assert int(first.split()[1]) == body["statusCode"]
    return body["statusCode"], body


@pytest.mark.direct("a gateway waits for its own callers")
@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n"])
def test_a_silent_connection_is_cut_without_a_response(short_timeouts: ApiServer, data: bytes) -> None:
    with short_timeouts.connect() as connection:
        connection.sendall(data)
        assert ended(connection) == b""


@pytest.mark.direct("a gateway waits for its own callers")
@pytest.mark.parametrize("data", [b"P", b"POST /emails HTTP/1.1\r\nHost: x\r\nAuthor"])
def test_half_a_head_gets_408(short_timeouts: ApiServer, data: bytes) -> None:
    """As the first request of a connection and as a later one."""
    for before in (b"", head(short_timeouts, path="/healthz", method="GET")):
        with short_timeouts.connect() as connection:
            if before:
                connection.sendall(before)
                assert read_response(connection).status_code == 200
            connection.sendall(data)
            status, body = bare(ended(connection))
            assert (status, body["name"]) == (408, "validation_error")


@pytest.mark.direct("a gateway waits for its own callers")
def test_a_trickled_head_is_cut(short_timeouts: ApiServer) -> None:
    """The time limit is for the whole head."""
    with short_timeouts.connect() as connection:
        connection.settimeout(CUT / 10)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = b""
        while not answer:
            try:
                answer = connection.recv(65_536)
            except TimeoutError:
                connection.sendall(b"X: y\r\n")
        assert bare(answer)[0] == 408


@pytest.mark.direct("a gateway waits for its own callers")
def test_an_unread_rest_of_a_body_is_cut_soon_after_the_response(short_timeouts: ApiServer) -> None:
    with short_timeouts.connect() as connection:
        connection.sendall(head(short_timeouts, "Content-Length: 10", path="/healthz", method="GET"))
        assert read_response(connection).status_code == 200
        assert ended(connection) == b""


def test_a_client_that_waits_for_a_response_is_not_cut(short_timeouts: ApiServer) -> None:
    """Whatever it sends meanwhile."""
    id_ = short_timeouts.send(scheduled_at="in 1 hour")
    with short_timeouts.connect() as connection:
        connection.sendall(head(short_timeouts, "Prefer: wait=1", path=f"/emails/{id_}", method="GET") + b"GET /hea")
        assert read_response(connection).status_code == 200


@pytest.mark.direct("a gateway reads for its own callers")
def test_a_client_that_does_not_read_is_cut(tmp_path: Path) -> None:
    """With more in flight than the kernel buffers. Any progress of reading renews the time."""
    content = bytes(range(256)) * 32_768
    limits = small(max_body_bytes=16 << 20, max_message_bytes=16 << 20)
    with open_server(tmp_path, limits=limits, timeout=CUT) as server:
        id_ = server.send(attachments=[{"filename": "a", "content": base64.b64encode(content).decode()}])
        (file,) = server.get(f"/emails/{id_}/attachments").json()["data"]
        with server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head(server, path=file["download_url"], method="GET"))
            assert connection.recv(1)
            server.clients(1)
        assert server.get(file["download_url"]).content == content


@pytest.mark.direct("a gateway has its own bounds")
def test_an_endless_head_is_431(server: ApiServer) -> None:
    """One field, many, a path, or trailers after a body."""
    chunked = head(server, "Transfer-Encoding: chunked") + b"0\r\n"
    for first, more in (
        (b"GET / HTTP/1.1\r\nX: ", b"y" * 4096),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 512),
        (b"GET /", b"y" * 4096),
        (chunked, b"X: y\r\n" * 512),
        (chunked + b"X: ", b"y" * 4096),
    ):
        with server.connect() as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
            pour(connection, first, more)


@pytest.mark.direct("a gateway has its own bounds")
def test_a_large_head_gets_the_common_error_form(server: ApiServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        for data in (327_600, 100):  # all of it is read: what is left unread would reset the connection
            connection.sendall(b"y" * data)
        status, body = bare(ended(connection))
        assert (status, body["name"], body["reason"]) == (431, "validation_error", "head_too_large")


@pytest.mark.direct("a gateway has its own bounds")
def test_the_number_of_header_fields_is_limited(server: ApiServer) -> None:
    """Of a complete head and of one without an end: a field of three bytes takes more than a hundred in memory."""
    start, one = b"GET /x HTTP/1.1\r\nConnection: close\r\n", b"a:\r\n"
    for fields, end, expected in ((MAX_FIELDS - 1, b"\r\n", 404), (MAX_FIELDS, b"\r\n", 431), (2000, b"", 431)):
        with server.connect() as connection:
            connection.sendall(start + one * fields + end)
            assert bare(ended(connection))[0] == expected


def test_trailers_are_ignored(server: ApiServer) -> None:
    body = json.dumps(MINIMAL).encode()
    chunk = b"%x\r\n%s\r\n0\r\nIdempotency-Key: x\r\nX-Request-Id: y\r\n\r\n" % (len(body), body)
    before = server.count()
    for _ in range(2):
        response = server.raw(head(server, "Transfer-Encoding: chunked") + chunk)
        accepted(response)
        assert response.headers["x-request-id"] != "y"
    assert server.count() == before + 2


@pytest.mark.direct("a gateway has its own bounds")
def test_too_many_connections_get_503(tmp_path: Path) -> None:
    """With Retry-After, until others close."""
    with open_server(tmp_path, connections=4) as server, ExitStack() as stack:
        server.client.close()
        held = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in held:
            connection.sendall(head(server, path="/healthz", method="GET"))
            assert read_response(connection).status_code == 200
        with server.connect() as one_more:
            status, body = bare(ended(one_more))
        assert (status, body["name"], body["reason"]) == (503, "application_error", "too_many_connections")
        held[0].close()
        server.clients(3)
        accepted(server.raw(head(server, f"Content-Length: {len(json.dumps(MINIMAL))}") + json.dumps(MINIMAL).encode()))


@pytest.mark.direct("a gateway reads a body before it passes it on")
def test_the_memory_limit_of_bodies(tmp_path: Path) -> None:
    """A large body beyond it gets 503; a small one needs none; a finished one returns its share."""
    with open_server(tmp_path, limits=small(max_bytes_in_flight=250_000)) as server, ExitStack() as stack:
        large = json.dumps(changed(text="x" * LARGE)).encode()
        held = [stack.enter_context(server.connect()) for _ in range(2)]
        for connection in held:
            connection.sendall(head(server, f"Content-Length: {len(large)}", "Expect: 100-continue"))
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(large[:-10])
        while (first := server.post(large)).status_code == 200:  # until what was sent has arrived
            pass
        for response in (first, server.client.post("/emails", content=iter([large[:70_000], large[70_000:]]))):
            body = refused(response, 503, "application_error")
            assert body["reason"] == "too_much_in_flight"
            assert response.headers["retry-after"] == "1"
        server.send()
        for connection in held:
            connection.sendall(large[-10:])
            accepted(read_response(connection))
        for _ in range(5):
            accepted(server.post(large))


@pytest.mark.direct("a gateway reads a body before it passes it on")
def test_memory_is_released_after_every_end(tmp_path: Path) -> None:
    """A refusal, a crash, a disconnect, a slow or too large body."""
    limits = small(max_bytes_in_flight=150_000, max_body_bytes=120_000, body_seconds=CUT)
    with open_server(tmp_path, limits=limits) as server:
        large = changed(text="x" * LARGE)
        for wrong, status in ((large | {"to": "nope"}, 422), (large | {"from": "crash@contoso.com"}, 500)):
            assert server.post(wrong).status_code == status
            accepted(server.post(large))
        with server.connect() as connection:
            connection.sendall(head(server, f"Content-Length: {LARGE}") + b"x" * 70_000)
            refused(read_response(connection), 408, "validation_error")
        accepted(server.post(large))
        refused(server.client.post("/emails", content=iter([b"x" * 70_000] * 2)), 413, "validation_error")
        accepted(server.post(large))
        with server.connect() as connection:
            connection.sendall(head(server, f"Content-Length: {LARGE}") + b"x" * 70_000)
        server.clients(1)
        accepted(server.post(large))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"headers":{"a":['])
def test_deep_json_is_400(server: ApiServer, opening: bytes) -> None:
    """At any depth."""
    for depth in (1000, 100_000):
        refused(server.post(opening * depth), 400, "validation_error")


def test_the_limits_of_lists(server: ApiServer) -> None:
    """50 in each list of addresses, 1,000 headers, attachments and tags."""
    some = [f"a{n}@example.com" for n in range(50)]
    accepted(server.post(changed(to=some, cc=some, bcc=some, reply_to=some)))
    for field in ("to", "cc", "bcc", "reply_to"):
        refused(server.post(changed(**{field: [*some, "b@example.com"]})), 422, "validation_error", field)
    for field, many in (
        ("headers", {f"X-{n}": "y" for n in range(1001)}),
        ("attachments", [{"content": ""}] * 1001),
        ("tags", [{"name": "a"}] * 1001),
    ):
        refused(server.post(changed(**{field: many})), 422, "validation_error", field)


def test_the_limits_of_header_fields(server: ApiServer) -> None:
    """76 characters of a name, and 256 KiB of all names and values together."""
    for headers, limit in (
        ({"x" * 77: "y"}, f"headers.{'x' * 77}"),
        ({"Content-" + "x" * 69: "y"}, f"headers.Content-{'x' * 69}"),
        ({"X-A": "a " * 65_536, "X-B": "b " * 65_536}, "headers"),
    ):
        refused(server.post(changed(headers=headers)), 422, "validation_error", limit)
    accepted(server.post(changed(headers={"x" * 76: "y", "x" * 77: None})))
    accepted(server.post(changed(headers={"X-A": "a " * 65_535, "X-B": "b " * 65_530})))
