"""GET /emails/{id} with `Prefer: wait=N` (RFC 7240): the response follows the outcome, or N seconds."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.http.headers import wait_seconds
from tests.contract.api.server import ApiServer, open_server
from tests.contract.store import build


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server whose queue no other test fills."""
    with open_server(tmp_path_factory.mktemp("wait")) as server:
        yield server


@pytest.fixture
def waiting() -> Iterator[ThreadPoolExecutor]:
    """Registry of the waiting requests."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def ask(server: ApiServer, id_: str, prefer: str) -> httpx.Response:
    """GET with this preference."""
    return server.client.get(f"/emails/{id_}", headers={"prefer": prefer})


def relay(server: ApiServer, id_: str) -> None:
    """Relay as a worker does."""
    now = server.clock.now()
    claimed = server.run(build.claim(server.store, 100, now, pool="main"))
    one = next(one for one in claimed if one.id == UUID(id_))
    assert server.run(build.settle(server.store, one, build.RELAYED, now))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"wait=5", 5),
        (b'WAIT = "7"', 7),
        (b"respond-async, wait=10", 10),
        (b'foo="a, wait=9"; x="y", wait=3; z', 3),
        (b"wait=1, wait=2", 1),
        (b"wait=100", 30),
        (b"wait=0", 0),
        (b"wait", None),
        (b"wait=x, wait=5", None),
        (b"wait=-1", None),
        (b"waiting=5", None),
        (b"", None),
        (b'"', None),
    ],
)
def test_the_preference_is_parsed_by_rfc_7240(header: bytes, seconds: int | None) -> None:
    """§2; more than 30 s are 30."""
    assert wait_seconds({"headers": [(b"host", b"x"), (b"prefer", header)]}) == seconds


def test_several_prefer_headers_are_combined() -> None:
    """RFC 9110 §5.3."""
    assert wait_seconds({"headers": [(b"prefer", b"respond-async"), (b"prefer", b"wait=4")]}) == 4


@given(st.binary(max_size=200))
def test_any_bytes_in_the_header_are_accepted(header: bytes) -> None:
    assert wait_seconds({"headers": [(b"prefer", header)]}) in (None, *range(31))


def test_a_final_email_is_answered_at_once(server: ApiServer) -> None:
    """Sent or cancelled."""
    sent, cancelled = server.send(), server.send(scheduled_at="in 1 hour")
    relay(server, sent)
    server.post(b"", f"/emails/{cancelled}/cancel")
    began = time.monotonic()
    for id_, event in ((sent, "sent"), (cancelled, "canceled")):
        response = ask(server, id_, "wait=20")
        assert (response.json()["last_event"], response.headers["preference-applied"]) == (event, "wait=20")
    assert time.monotonic() - began < 10


def test_the_outcome_ends_all_waits_of_its_email(server: ApiServer, waiting: ThreadPoolExecutor) -> None:
    """And no others."""
    id_, other = server.send(), server.send()
    two = [waiting.submit(ask, server, id_, "wait=30") for _ in range(2)]
    third = waiting.submit(ask, server, other, "wait=30")
    relay(server, id_)
    for answer in two:
        assert answer.result(10).json()["last_event"] == "sent"
    assert not third.done()
    now = server.clock.now()
    server.run(server.store.recover(now, everything=True))
    relay(server, other)
    assert third.result(10).json()["last_event"] == "sent"


def test_the_time_ends_the_wait_with_the_current_state(server: ApiServer) -> None:
    began = time.monotonic()
    response = ask(server, server.send(), "wait=1")
    assert 1.0 <= time.monotonic() - began < 10
    assert (response.json()["last_event"], response.headers["preference-applied"]) == ("queued", "wait=1")


def test_a_request_without_a_valid_preference_does_not_wait(server: ApiServer) -> None:
    id_ = server.send()
    began = time.monotonic()
    assert "preference-applied" not in server.get(f"/emails/{id_}").headers
    assert "preference-applied" not in ask(server, id_, "wait=soon, return=minimal").headers
    assert ask(server, id_, "wait=0").headers["preference-applied"] == "wait=0"
    assert time.monotonic() - began < 5
