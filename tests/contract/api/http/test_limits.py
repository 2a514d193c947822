"""How much of a caller is taken, and how long one is waited for: what is beyond it is told why, or is cut."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, read_response, refused, small

LARGE = 100_000  # octets of a body that needs room
CUT = 0.3  # seconds these doors wait


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A door that does not wait long."""
    with open_server(tmp_path_factory.mktemp("impatient"), timeout=CUT) as server:
        yield server


def head(server: ApiServer, *lines: str, path: str = "/emails", method: str = "POST") -> bytes:
    """A request up to its body."""
    fields = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}", *lines]
    return "\r\n".join([*fields, "", ""]).encode()


def ended(connection: socket.socket) -> bytes:
    """What still comes before the other side closes."""
    with connection.makefile("rb") as stream:
        return stream.read()


def pour(connection: socket.socket, first: bytes, more: bytes) -> None:
    """Write and never end."""
    connection.sendall(first)
    while True:
        connection.sendall(more)


def bare(response: bytes) -> tuple[int, dict[str, object]]:
    """Status and body of an answer that was given below the application, which has no request id."""
    first, _, content = response.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in first
    assert b"\r\nconnection: close" in first
    told = json.loads(content)
    assert int(first.split()[1]) == told["statusCode"]
    return told["statusCode"], told


@pytest.mark.direct("a gateway waits for its own callers")
@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\r\n\r\n"])
def test_who_connects_and_says_nothing_is_cut(impatient: ApiServer, octets: bytes) -> None:
    """Without a word: nothing was asked."""
    with impatient.connect() as connection:
        connection.sendall(octets)
        assert ended(connection) == b""


@pytest.mark.direct("a gateway waits for its own callers")
@pytest.mark.parametrize("octets", [b"P", b"POST /emails HTTP/1.1\r\nHost: x\r\nAuthor"])
def test_half_a_head_is_cut(impatient: ApiServer, octets: bytes) -> None:
    """And told so, as the first request of a connection and as a later one."""
    for before in (b"", head(impatient, path="/healthz", method="GET")):
        with impatient.connect() as connection:
            if before:
                connection.sendall(before)
                assert read_response(connection).status_code == 200
            connection.sendall(octets)
            status, told = bare(ended(connection))
            assert (status, told["name"]) == (408, "validation_error")


@pytest.mark.direct("a gateway waits for its own callers")
def test_a_drop_now_and_then_does_not_help(impatient: ApiServer) -> None:
    """The whole head has to come in time, not something of it."""
    with impatient.connect() as connection:
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
def test_the_rest_of_a_body_after_the_answer_is_not_waited_for_long(impatient: ApiServer) -> None:
    """The answer needed none of it."""
    with impatient.connect() as connection:
        connection.sendall(head(impatient, "Content-Length: 10", path="/healthz", method="GET"))
        assert read_response(connection).status_code == 200
        assert ended(connection) == b""


def test_who_waits_for_an_answer_is_not_cut(impatient: ApiServer) -> None:
    """However long it takes, and whatever comes meanwhile."""
    id_ = impatient.send(scheduled_at="in 1 hour")
    with impatient.connect() as connection:
        connection.sendall(head(impatient, "Prefer: wait=1", path=f"/emails/{id_}", method="GET") + b"GET /hea")
        assert read_response(connection).status_code == 200


@pytest.mark.direct("a gateway reads for its own callers")
def test_who_does_not_read_is_cut(tmp_path: Path) -> None:
    """With more on the way than the kernel takes. Who reads is given time: something has to be read, not all of it."""
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
def test_a_head_without_end(server: ApiServer) -> None:
    """Is 431, however it is made: one field, many, a path, or trailers after a body."""
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
def test_a_head_that_is_too_large_is_told_so(server: ApiServer) -> None:
    """In the form of every error."""
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        for octets in (327_600, 100):  # all of it is read: what is left unread would reset the connection
            connection.sendall(b"y" * octets)
        status, told = bare(ended(connection))
        assert (status, told["name"], told["reason"]) == (431, "validation_error", "head_too_large")


def test_trailers_are_no_header_fields(server: ApiServer) -> None:
    """They come after what they would decide."""
    body = json.dumps(MINIMAL).encode()
    chunk = b"%x\r\n%s\r\n0\r\nIdempotency-Key: x\r\nX-Request-Id: y\r\n\r\n" % (len(body), body)
    kept = server.count()
    for _ in range(2):
        response = server.raw(head(server, "Transfer-Encoding: chunked") + chunk)
        accepted(response)
        assert response.headers["x-request-id"] != "y"
    assert server.count() == kept + 2


@pytest.mark.direct("a gateway has its own bounds")
def test_too_many_connections(tmp_path: Path) -> None:
    """503 at once and when to come again; there is room again when others leave."""
    with open_server(tmp_path, connections=4) as server, ExitStack() as stack:
        server.client.close()
        held = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in held:
            connection.sendall(head(server, path="/healthz", method="GET"))
            assert read_response(connection).status_code == 200
        with server.connect() as one_more:
            status, told = bare(ended(one_more))
        assert (status, told["name"], told["reason"]) == (503, "application_error", "too_many_connections")
        held[0].close()
        server.clients(3)
        accepted(server.raw(head(server, f"Content-Length: {len(json.dumps(MINIMAL))}") + json.dumps(MINIMAL).encode()))


@pytest.mark.direct("a gateway reads a body before it passes it on")
def test_the_room_for_bodies(tmp_path: Path) -> None:
    """What has no room is told to come again; what is small needs none; what is over leaves its room."""
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
def test_room_is_given_back_whatever_the_end(tmp_path: Path) -> None:
    """A refusal, a crash, a caller that is gone, a body that is too slow or too large."""
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
def test_deep_json(server: ApiServer, opening: bytes) -> None:
    """Is 400, however deep."""
    for depth in (1000, 100_000):
        refused(server.post(opening * depth), 400, "validation_error")


def test_how_many(server: ApiServer) -> None:
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
