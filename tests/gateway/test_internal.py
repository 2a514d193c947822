"""No spelling of an internal path passes a gateway, nor of the console until it is opened."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD
from tests.gateway.conftest import FORWARDER
from tests.gateway.gateways import Gateway, gateway
from tests.gateway.spellings import INTERNAL, spellings
from tests.harness import ACCOUNT, open_harness, settings_for

_CONTENT = re.compile(rb"# HELP|# TYPE|postern_|\"relaying\"|\"status\":\s*\"ok\"|<html|console/login", re.IGNORECASE)


def ask(proxy: Gateway, request: bytes) -> tuple[int, bytes]:
    """Return the status (0: no HTTP response) and all bytes of the response."""
    with proxy.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(request)
        answer = stream.read()
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return int(found.group(1)) if found else 0, answer


async def get(proxy: Gateway, path: str) -> tuple[int, bytes]:
    """Return the same for a plain GET."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    return await anyio.to_thread.run_sync(ask, proxy, request)


@asynccontextmanager
async def everything(
    kind: str, folder: Path, *parts: str, edited: tuple[str, str] = ("", "")
) -> AsyncIterator[Gateway]:
    """Run a gateway before a Postern with console and metrics on the same port."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        prefix = "/mail" if "prefix" in parts else ""
        password = SecretStr(CONSOLE_PASSWORD)
        settings = settings_for(
            simulator, folder, console_password=password, root_path=prefix, forwarded_allow_ips=FORWARDER
        )
        async with open_harness(simulator, settings) as harness:
            with gateway(kind, int(harness.postern.url.rpartition(":")[2]), parts=parts, edited=edited) as proxy:
                yield proxy


def leaks(proxy: Gateway) -> list[tuple[bytes, int, bytes]]:
    """Return every spelling with a success, a redirect, or content of an internal path."""
    return [
        (request, status, answer[:300])
        for request in spellings()
        for status, answer in [ask(proxy, request)]
        if (status < 400 and answer) or _CONTENT.search(answer)
    ]


@pytest.mark.parametrize("parts", [(), ("prefix",)], ids=["plain", "prefix"])
async def test_no_spelling_reaches_an_internal_path(kind: str, tmp_path: Path, parts: tuple[str, ...]) -> None:
    """More than a thousand spellings."""
    assert len(spellings()) >= 750
    async with everything(kind, tmp_path, *parts) as proxy:
        found = await anyio.to_thread.run_sync(leaks, proxy)
    assert not found, found


@pytest.mark.parametrize("prefix", ["", "/mail"])
async def test_the_console_is_open_to_listed_networks(kind: str, tmp_path: Path, prefix: str) -> None:
    """With the optional part; other addresses get 403, and the internal paths stay closed."""
    parts = ("console", "prefix") if prefix else ("console",)
    async with everything(kind, tmp_path, *parts) as proxy:
        for path, status in (("/console/login", 200), ("/console", 303), ("/metrics", 404), ("/console%0a", 404)):
            answered, answer = await get(proxy, f"{prefix}{path}")
            assert answered == status, answer


async def test_the_console_is_closed_to_other_networks(kind: str, tmp_path: Path) -> None:
    """403 in the form of Postern's errors; the API is unaffected."""
    async with everything(kind, tmp_path, "console", edited=("127.0.0.0/8", "192.0.2.0/24")) as proxy:
        status, answer = await get(proxy, "/console/login")
        assert (status, b"not open to this address" in answer) == (403, True), answer
        assert (await get(proxy, "/emails"))[0] == 401


@pytest.mark.parametrize("path", INTERNAL)
async def test_the_root_path_is_removed_once(kind: str, tmp_path: Path, path: str) -> None:
    """Not twice and not in another case, by gateway and Postern together."""
    async with everything(kind, tmp_path, "prefix") as proxy:
        for before in ("/mail", "/mail/mail", "/MAIL", "/mail/MAIL", "/mail//mail"):
            status, answer = await get(proxy, f"{before}{path}")
            assert status == 404, answer


async def test_strict_transport_security(kind: str, tmp_path: Path) -> None:
    """RFC 6797: in every response over TLS, of Postern and of the gateway."""
    async with everything(kind, tmp_path) as proxy:
        for path in ("/emails", "/docs", "/nope", "/metrics"):
            _, answer = await get(proxy, path)
            assert answer.lower().count(b"strict-transport-security: max-age=31536000") == 1, answer
