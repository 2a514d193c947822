"""TCP connections to a name with several addresses (RFC 8305)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from app.mail.outcome.attempt import FailureKind, Phase
from app.smtp.failure import SessionError
from app.smtp.happy_eyeballs import SocketAddress, connect, race

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Run a scenario on its own loop."""
    runner: Runner = request.param
    return runner


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[SocketAddress]:
    """Return an address that accepts connections."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield SocketAddress(socket.AF_INET, server.sockets[0].getsockname())


@contextlib.contextmanager
def refusing() -> Iterator[SocketAddress]:
    """Return an address without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield SocketAddress(socket.AF_INET, taken.getsockname())


@contextlib.contextmanager
def silent() -> Iterator[SocketAddress]:
    """Return an address that never answers, because its backlog is full."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield SocketAddress(socket.AF_INET, full.getsockname())


def test_the_next_address_is_tried_beside_a_silent_one(run: Runner) -> None:

    async def scenario() -> None:
        async with listening() as good:
            with silent() as bad:
                started = asyncio.get_running_loop().time()
                sock, errors = await race([bad, good], 30.0)
                assert asyncio.get_running_loop().time() - started < 5
        assert sock is not None
        assert sock.getpeername() == good.sockaddr
        assert errors == []
        sock.close()

    run(scenario())


def test_the_next_address_is_tried_at_once_after_a_refusal(run: Runner) -> None:
    async def scenario() -> None:
        async with listening() as good:
            with refusing() as bad:
                sock, errors = await race([bad, good], 30.0, attempt_delay=60.0)
        assert sock is not None
        assert [type(error) for error in errors] == [ConnectionRefusedError]
        sock.close()

    run(scenario())


def test_every_failure_of_the_addresses_is_reported(run: Runner) -> None:
    """Each address had its own time."""

    async def scenario() -> None:
        with silent() as slow, refusing() as shut:
            sock, errors = await race([slow, shut], 0.3)
        assert sock is None
        assert {type(error) for error in errors} == {TimeoutError, ConnectionRefusedError}

    run(scenario())


def test_a_cancelled_connect_closes_its_sockets(run: Runner) -> None:
    """An open one would be a ResourceWarning."""

    async def scenario() -> None:
        with silent() as slow:
            running = asyncio.ensure_future(race([slow, slow], 30.0))
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    run(scenario())


async def test_refusals_of_all_addresses_are_one_error() -> None:
    with refusing() as shut, pytest.raises(SessionError) as caught:
        await connect("127.0.0.1", shut.sockaddr[1], ipv4_only=True, seconds=5)
    assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONNECT, FailureKind.REFUSED)
    assert caught.value.failure.detail == f"127.0.0.1:{shut.sockaddr[1]} refused the connection."


async def test_silence_is_a_timeout() -> None:
    """Connection attempts get no answer, as behind a firewall."""
    with silent() as slow, pytest.raises(SessionError) as caught:
        await connect("127.0.0.1", slow.sockaddr[1], ipv4_only=True, seconds=0.2)
    assert caught.value.failure.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 64 + ".example"])
def test_a_name_without_address(run: Runner, name: str) -> None:
    """Unknown, or an invalid name."""

    async def scenario() -> None:
        with pytest.raises(SessionError) as caught:
            await connect(name, 587, ipv4_only=False, seconds=10)
        assert (caught.value.failure.phase, caught.value.failure.kind) == (Phase.CONNECT, FailureKind.DNS)
        assert caught.value.failure.detail.startswith(f"The name {name} has no address")

    run(scenario())
