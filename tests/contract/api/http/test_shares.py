"""Shares of connections, requests and memory per address and API key; the others are answered meanwhile."""

import asyncio
import json
import re
import select
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.api.auth import authenticator as api_keys
from app.api.auth.limits import COSTLY_BYTES, INLINE_SIZE, Caller, MemoryBudget, Starts
from app.api.emails import outcome_waiter
from app.api.http import body as api_body
from app.api.server import middleware
from app.mail.key_policy import Policy
from app.quota import Quota, network
from app.store.keys.records import Key, Permission
from tests.contract.api.http.test_limits import bare, ended, head
from tests.contract.api.server import (
    MINIMAL,
    ApiServer,
    accepted,
    changed,
    check_error,
    open_server,
    read_response,
    refused,
    small,
)

pytestmark = pytest.mark.direct("a gateway has its own connections and reads bodies for its callers")

LARGE = json.dumps(changed(text="x" * 300_000)).encode()
PLAIN = json.dumps(MINIMAL).encode()
ANOTHER = ("127.0.0.2", 0)  # a second caller's address


def connect(server: ApiServer, source: tuple[str, int] = ("127.0.0.1", 0)) -> socket.socket:
    """Connect from this address."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=source)


def posted(server: ApiServer, connection: socket.socket, body: bytes = PLAIN, *lines: str) -> None:
    """POST an email that must be accepted."""
    connection.sendall(head(server, f"Content-Length: {len(body)}", *lines) + body)
    accepted(read_response(connection))


def test_announced_bytes_are_not_charged(tmp_path: Path) -> None:
    """Uploads that announce the largest body and send one byte use no memory of others, of the same key, too."""
    limits = small(max_bytes_in_flight=8 << 20, max_body_bytes=4 << 20)
    with open_server(tmp_path, limits=limits) as server, ExitStack() as stack:
        for _ in range(6):
            connection = stack.enter_context(server.connect())
            connection.sendall(head(server, f"Content-Length: {4 << 20}", "Expect: 100-continue"))
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"{")
        for _ in range(3):
            accepted(server.post(LARGE))


def test_one_key_gets_half_of_the_memory(tmp_path: Path) -> None:
    """By bytes received; another key from another address has the other half."""
    limits = small(max_bytes_in_flight=1_000_000, max_body_bytes=400_000)
    with open_server(tmp_path, limits=limits) as server, ExitStack() as stack:
        first, second = server.key, server.make_key()
        connection = stack.enter_context(server.connect())
        connection.sendall(head(server, f"Content-Length: {len(LARGE)}", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(LARGE[:-10])
        while (answer := server.post(LARGE, key=first)).status_code == 200:
            pass
        assert refused(answer, 503, "application_error")["reason"] == "too_much_in_flight"
        server.key = second
        with connect(server, ANOTHER) as other:
            posted(server, other, LARGE)
        connection.sendall(LARGE[-10:])
        accepted(read_response(connection))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_below_the_minimum_rate_is_cut(tmp_path: Path, chunked: bool) -> None:
    """A fast enough one may take longer than the grace."""
    limits = small(body_grace_seconds=0.3, body_bytes_per_second=100_000)
    with open_server(tmp_path, limits=limits) as server:
        line = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
        with server.connect() as connection:
            connection.settimeout(0.05)
            connection.sendall(head(server, line))
            answer = b""
            while not answer:
                try:
                    answer = connection.recv(1, socket.MSG_PEEK)
                except TimeoutError:
                    connection.sendall(b"1\r\n{\r\n" if chunked else b"{")
            assert refused(read_response(connection), 408, "validation_error")["reason"] == "body_timeout"
        began = server.clock.monotonic()
        with server.connect() as connection:
            connection.sendall(head(server, f"Content-Length: {len(LARGE)}") + LARGE[:250_000])
            while server.clock.monotonic() < began + 0.6:
                server.send()
            connection.sendall(LARGE[250_000:])
            accepted(read_response(connection))


def test_a_body_that_ends_after_its_key_was_revoked_is_refused(tmp_path: Path) -> None:
    """The key is checked again before the email is stored."""
    with pytest.MonkeyPatch.context() as patch, open_server(tmp_path) as server:
        for module in (api_body, api_keys):
            patch.setattr(module, "KEY_CHECKED_FOR", 0.0)
        administrator, server.key = server.make_key(Permission.FULL_ACCESS), server.make_key(Permission.SEND_ONLY)
        (id_,) = (key["id"] for key in server.get("/keys", administrator).json()["data"] if "send_only" in key["name"])
        bearer = {"authorization": f"Bearer {administrator}"}
        for revoked in (False, True):
            with server.connect() as connection:
                connection.sendall(head(server, f"Content-Length: {len(PLAIN)}", "Expect: 100-continue"))
                assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                if revoked:
                    assert server.client.delete(f"/keys/{id_}", headers=bearer).status_code == 200
                connection.sendall(PLAIN)
                answer = read_response(connection)
                refused(answer, 403, "invalid_api_key") if revoked else accepted(answer)
        assert server.count() == 1


def test_connections_of_one_address_are_limited(tmp_path: Path) -> None:
    """Except health checks; another address is served."""
    with open_server(tmp_path, connections_per_address=3) as server, ExitStack() as stack:
        server.client.close()
        for _ in range(3):
            connection = stack.enter_context(connect(server))
            connection.sendall(head(server, path="/healthz", method="GET"))
            assert read_response(connection).status_code == 200
        for path in ("/healthz", "/readyz", "/metrics", "/healthz?a=b"):
            with connect(server) as one_more:
                one_more.sendall(head(server, path=path, method="GET"))
                answer = read_response(one_more)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        for path in ("/emails", "//healthz", "/healthz/", "/docs"):
            with connect(server) as one_more:
                one_more.sendall(head(server, path=path, method="GET"))
                assert bare(ended(one_more))[1]["reason"] == "too_many_connections"
        with connect(server, ANOTHER) as other:
            posted(server, other)


def test_silent_connections_do_not_block_the_reserved_ones(tmp_path: Path) -> None:
    """The oldest idle one is closed, so /healthz is answered at once."""
    with open_server(tmp_path, connections=2) as server, ExitStack() as stack:
        server.client.close()
        for _ in range(100):
            stack.enter_context(connect(server)).sendall(b"GET /hea")
        for source in (("127.0.0.1", 0), ANOTHER):
            with connect(server, source) as one_more:
                one_more.sendall(head(server, path="/healthz", method="GET"))
                assert read_response(one_more).status_code == 200


def test_connections_of_a_gateway_are_not_limited(tmp_path: Path) -> None:
    """Requests are limited by the address of the caller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "MAX_REQUESTS_PER_CALLER", 2)
        with (
            open_server(tmp_path, connections_per_address=3, forwarders=("127.0.0.0/8",)) as server,
            ExitStack() as stack,
        ):
            id_ = server.send(scheduled_at="in 1 hour")
            waits = head(server, "Prefer: wait=30", "X-Forwarded-For: 192.0.2.1", path=f"/emails/{id_}", method="GET")
            waiting = [stack.enter_context(connect(server)) for _ in range(6)]
            for connection in waiting:
                connection.sendall(waits)
            server.key = server.make_key()
            with connect(server) as other:
                posted(server, other, PLAIN, "X-Forwarded-For: 192.0.2.2")
            error = check_error(read_response(waiting[5]))
            assert (error["statusCode"], error["reason"]) == (429, "too_many_requests_under_way")
            server.draining = True  # who waits is answered


def test_concurrent_requests_of_one_key_are_limited(tmp_path: Path) -> None:
    """From all addresses; another key is answered, and the same one when the first have ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "MAX_REQUESTS_PER_CALLER", 2)
        with open_server(tmp_path) as server, ExitStack() as stack:
            id_ = server.send(scheduled_at="in 1 hour")
            waits = head(server, "Prefer: wait=30", path=f"/emails/{id_}", method="GET")
            waiting = [stack.enter_context(connect(server, (f"127.0.0.{n}", 0))) for n in (1, 2)]
            for connection in waiting:
                connection.sendall(waits)
            while (answer := server.post(MINIMAL)).status_code == 200:
                for connection in select.select(waiting, [], [], 0)[0]:  # it came while a POST was under way
                    assert read_response(connection).status_code == 429
                    connection.sendall(waits)
            assert answer.headers["retry-after"] == "1"
            assert refused(answer, 429, "rate_limit_exceeded")["reason"] == "too_many_requests_under_way"
            server.key, first = server.make_key(), server.key
            with connect(server, ("127.0.0.3", 0)) as other:
                posted(server, other)
            server.draining = True  # who waits is answered
            for connection in waiting:
                assert read_response(connection).status_code == 200
            server.draining = False
            accepted(server.post(MINIMAL, key=first))


def test_waits_of_one_key_are_limited(tmp_path: Path) -> None:
    """Beyond the share the response is immediate and has no Preference-Applied; another key waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome_waiter, "MAX_WAITERS_OF_KEY", 1)
        with open_server(tmp_path) as server, ExitStack() as stack:
            id_ = server.send(scheduled_at="in 1 hour")
            applied = True
            while applied:  # one of the two requests waits, the other is refused
                connection = stack.enter_context(server.connect())
                connection.sendall(head(server, "Prefer: wait=30", path=f"/emails/{id_}", method="GET"))
                answer = server.client.get(f"/emails/{id_}", headers={"prefer": "wait=1"})
                applied = "preference-applied" in answer.headers
            server.key = server.make_key(Permission.FULL_ACCESS)
            answer = server.client.get(
                f"/emails/{id_}", headers={"prefer": "wait=1", "authorization": f"Bearer {server.key}"}
            )
            assert answer.headers["preference-applied"] == "wait=1"
            server.draining = True  # who waits is answered


def scope_of(number: int) -> dict[str, object]:
    """Return the scope of a request of one API key."""
    caller = Caller(Quota(1000, 1000), "192.0.2.1")
    caller.key = Key(UUID(int=number), "k", Permission.FULL_ACCESS, 0.0, Policy())
    return {"caller": caller, "client": ("192.0.2.1", 1), "request_id": str(uuid4())}


async def test_large_work_of_keys_takes_turns() -> None:
    """One key delays another by at most one piece; a cancelled request is left out."""
    budget, done = MemoryBudget(1000), list[int]()

    async def work(number: int) -> None:
        async with budget.large_work_slot(scope_of(number), INLINE_SIZE + 1):
            await asyncio.sleep(0)
            done.append(number)

    tasks = [asyncio.create_task(work(number)) for number in (1, 1, 1, 1, 2, 2, 3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [1, 2, 3, 1, 2, 1]
    async with budget.large_work_slot(scope_of(1), INLINE_SIZE + 1):
        pass


async def test_costly_work_of_keys_takes_turns() -> None:
    """COSTLY_BYTES and one more body are under way at most, and another key is next."""
    budget, started, under_way = MemoryBudget(1000), list[int](), list[int]()

    async def work(number: int) -> None:
        async with budget.costly_work_slot(scope_of(number), INLINE_SIZE):
            started.append(number)
            under_way.append(under_way[-1] + INLINE_SIZE if under_way else INLINE_SIZE)
            for _ in range(10):
                await asyncio.sleep(0)
            under_way.append(under_way[-1] - INLINE_SIZE)

    await asyncio.gather(*(work(number) for number in [1] * 20 + [2]))
    assert under_way[-1] == 0
    assert max(under_way) <= COSTLY_BYTES + INLINE_SIZE
    assert started.index(2) <= COSTLY_BYTES // INLINE_SIZE + 1


CROWD = 100
COSTLY = {**MINIMAL, "html": "<p>a" * 2_000}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nowhere", None),
        ("GET", "/../emails", None),
        ("POST", "/emails/validate", COSTLY),
        ("POST", "/emails/batch", [COSTLY, MINIMAL]),
    ],
)
def test_a_crowd_of_requests_does_not_delay_another_caller(
    server: ApiServer, method: str, path: str, body: object
) -> None:
    """All are ready at the same time, its own is the last of them, and it is answered before half of the crowd."""
    keys = [server.make_key(), server.make_key()]
    order = server.run(answered(server.application(), method, [path, path], body, keys))
    assert len(order) == CROWD + 1
    assert order.index(1) < CROWD // 2


def test_a_crowd_of_requests_for_metrics_does_not_delay_the_health_check(server: ApiServer) -> None:
    """Both are answered beyond the limits of an address."""
    order = server.run(answered(server.application(), "GET", ["/metrics", "/healthz"], None, ["a", "b"]))
    assert order.index(1) < CROWD // 2


def test_a_crowd_of_costly_emails_does_not_fill_a_commit(tmp_path: Path) -> None:
    """Another caller's email would wait for it. All of the crowd could be in one, because another process writes.

    Eight of these emails have more than COSTLY_BYTES; a commit also has writes of other kinds, such as a key's use.
    """
    with open_server(tmp_path) as server:
        keys = [server.make_key(), server.make_key()]
        costly, sizes = changed(text="x" * (COSTLY_BYTES // 7)), ("16.0", "+Inf")
        before = [commits(server, most) for most in sizes]
        server.run(
            answered(server.application(), "POST", ["/emails"] * 2, costly, keys, blocked(tmp_path / "postern.db"))
        )
        small, all_ = (commits(server, most) - there for most, there in zip(sizes, before, strict=True))
        assert small == all_ >= CROWD // 8


def commits(server: ApiServer, most: str) -> float:
    """Return the number of commits of at most so many writes."""
    (line,) = re.findall(
        rf'postern_commit_group_size_bucket{{le="{re.escape(most)}"}} (.+)', server.get("/metrics").text
    )
    return float(line)


@contextmanager
def blocked(database: Path) -> Iterator[None]:
    """Nothing is committed in the block."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


async def answered(
    app: Any,
    method: str,
    paths: Sequence[str],
    body: object,
    keys: Sequence[str],
    block: AbstractContextManager[None] | None = None,
) -> list[int]:
    """Return the callers in the order of their answers: CROWD requests of caller 0, and one of caller 1.

    They start in the `block`, and have all that they can do in it behind them at its end.
    """
    order = list[int]()

    async def ask(caller: int) -> None:
        authorization = (b"authorization", f"Bearer {keys[caller]}".encode())
        path = paths[caller]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        events = iter([{"type": "http.request", "body": json.dumps(body).encode()}])

        async def receive() -> dict[str, Any]:
            return next(events)

        async def send(message: dict[str, Any]) -> None:
            assert message.get("status", 200) in (200, 404)

        await app({**scope, "headers": [authorization], "client": (f"192.0.2.{caller}", 1)}, receive, send)
        order.append(caller)

    await asyncio.gather(ask(0), ask(1))  # their keys are known from now on
    order.clear()
    with block or nullcontext():
        crowd = asyncio.gather(*(ask(caller) for caller in [0] * CROWD + [1]))
        for _ in range(2 * CROWD if block else 0):
            await asyncio.sleep(0)
    await crowd
    await app.close()
    return order


async def test_starts_of_callers_take_turns() -> None:
    """A cancelled one is left out, and those behind it start."""
    starts, started = Starts(1), list[int]()

    async def start(number: int) -> None:
        if turn := starts.take(number):
            await turn
        started.append(number)

    tasks = [asyncio.create_task(start(number)) for number in (1, 1, 1, 1, 2, 2, 3)]
    await asyncio.sleep(0)
    assert started == [1]
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert started == [1, 2, 3, 1, 2, 1]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, counted: str) -> None:
    """A caller has 2^64 of them."""
    assert network(address) == counted


def test_no_response_is_cacheable(server: ApiServer) -> None:
    """Except the specification, which has no data."""
    id_ = server.send()
    for path in ("/emails", f"/emails/{id_}", f"/emails/{id_}/attachments", "/nowhere", "/healthz", "/keys"):
        assert server.get(path).headers.get_list("cache-control") == ["no-store"]
    assert server.post(MINIMAL).headers.get_list("cache-control") == ["no-store"]
    assert server.post(b"{").headers.get_list("cache-control") == ["no-store"]
    assert b"\r\ncache-control: no-store\r\n" in below_application(server)
    for path in ("/docs", "/openapi.json"):
        assert "cache-control" not in server.get(path).headers


def below_application(server: ApiServer) -> bytes:
    """Return a response that the application does not see."""
    with server.connect() as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        return ended(connection)
