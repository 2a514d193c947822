"""Idempotency-Key: cases I1 to I8."""

import json
import sqlite3
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from app.clock import Clock
from tests.contract.api.server import MINIMAL, ApiServer, accepted, changed, open_server, refused
from tests.waiting import WAIT_TIMEOUT

DAY = 86_400


def test_i1_the_same_request_again(server: ApiServer) -> None:
    """Returns the same email, also with its members in another order."""
    once = str(uuid4())
    first = accepted(server.post(MINIMAL, Idempotency_Key=once))
    before = server.count()
    turned = json.dumps(dict(reversed(MINIMAL.items())), indent=4).encode()
    assert accepted(server.post(turned, Idempotency_Key=once)) == first
    assert server.count() == before


def test_i2_another_body(server: ApiServer) -> None:
    """The same key with another body is refused."""
    once = str(uuid4())
    accepted(server.post(MINIMAL, Idempotency_Key=once))
    before = server.count()
    refused(server.post(changed(subject="Other"), Idempotency_Key=once), 409, "invalid_idempotent_request")
    assert server.count() == before


def test_i3_concurrent(server: ApiServer) -> None:
    """One is stored, the other gets 409. The database's lock holds the first one open."""
    once = str(uuid4())
    before = server.count()
    with (
        closing(sqlite3.connect(server.database, isolation_level=None)) as lock,
        ThreadPoolExecutor(2) as pool,
    ):
        lock.execute("BEGIN IMMEDIATE")
        both = [pool.submit(server.post, MINIMAL, Idempotency_Key=once) for _ in range(2)]
        done, waiting = wait(both, return_when=FIRST_COMPLETED, timeout=WAIT_TIMEOUT)
        refused(done.pop().result(), 409, "concurrent_idempotent_requests")
        lock.execute("ROLLBACK")
        first = accepted(waiting.pop().result(WAIT_TIMEOUT))
    assert accepted(server.post(MINIMAL, Idempotency_Key=once)) == first
    assert server.count() == before + 1


@pytest.mark.parametrize("key", ["", "x" * 257, "ü", "a\tb"])
def test_i4_bad_key(server: ApiServer, key: str) -> None:
    """1 to 256 printable characters."""
    data = json.dumps(MINIMAL).encode()
    head = f"POST /emails HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: {len(data)}\r\n"
    request = f"{head}Idempotency-Key: {key}\r\n\r\n".encode() + data
    refused(server.raw(request), 400, "invalid_idempotency_key")
    accepted(server.post(MINIMAL, Idempotency_Key=f"{uuid4()} {'x' * 219}"))


def test_i5_an_error_does_not_use_up_the_key(server: ApiServer) -> None:
    """The corrected body may use the same key."""
    once = str(uuid4())
    refused(server.post(changed(to="nope"), Idempotency_Key=once), 422, "validation_error")
    accepted(server.post(MINIMAL, Idempotency_Key=once))


def test_i6_after_a_day(tmp_path: Path) -> None:
    """The key is forgotten. A day takes half a second here."""
    clock = Clock(speed=2 * DAY)
    with open_server(tmp_path, clock=clock) as server:
        first = accepted(server.post(MINIMAL, Idempotency_Key="once"))
        over = clock.now() + DAY
        while clock.now() <= over:
            accepted(server.post(MINIMAL))
        assert accepted(server.post(MINIMAL, Idempotency_Key="once")) != first


def test_i7_another_api_key(server: ApiServer) -> None:
    """Each has its own Idempotency-Keys."""
    once = str(uuid4())
    first = accepted(server.post(MINIMAL, Idempotency_Key=once))
    assert accepted(server.post(MINIMAL, key=server.make_key(), Idempotency_Key=once)) != first


def test_i8_a_restart(tmp_path: Path) -> None:
    """Keys are remembered over it."""
    with open_server(tmp_path) as server:
        secret = server.key
        first = accepted(server.post(MINIMAL, Idempotency_Key="once"))
    with open_server(tmp_path) as server:
        assert accepted(server.post(MINIMAL, key=secret, Idempotency_Key="once")) == first
        assert server.count() == 1


def test_a_repeated_large_body_is_the_same_email(server: ApiServer) -> None:
    """Its fingerprint is made in a thread."""
    once = str(uuid4())
    large = changed(text="x" * 400_000)
    assert accepted(server.post(large, Idempotency_Key=once)) == accepted(server.post(large, Idempotency_Key=once))
