"""Every route is documented in its spelling, and the gateways pass the public ones."""

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.api.server.unknown_path import METHODS
from tests.contract.api.server import INSIDE, NUL, ApiServer, refused
from tests.gateway.gateways import DEPLOY
from tests.gateway.spellings import spellings
from tests.waiting import WAIT_TIMEOUT

REFERENCE = Path(__file__).parents[4] / "deploy" / "docs" / "api.md"
ALLOWED = re.compile(r"\^/\((?:\?:)?([a-z|\\.-]+)\)")
ID = "0c6a1b52-0f3b-7c3f-8000-000000000000"


def test_every_route_is_documented(server: ApiServer) -> None:
    """The table in deploy/docs/api.md has all of them and no other."""
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", REFERENCE.read_text("utf-8"), re.MULTILINE))
    there = {
        f"{method} {path}"
        for path, methods in server.routes().items()
        for method in methods - {"HEAD"}
        if methods != {*METHODS}
    }
    assert documented == there


class CountingExecutor(ThreadPoolExecutor):
    """Threads that count their jobs."""

    jobs = 0

    def submit(self, *arguments: Any, **options: Any) -> Any:
        self.jobs += 1
        return super().submit(*arguments, **options)


async def test_concurrent_callers_share_one_specification(server: ApiServer) -> None:
    """FastAPI cannot describe routes in two threads: some of the first callers got a 500."""
    application, executor, statuses = server.application(), CountingExecutor(2), list[int]()
    asyncio.get_running_loop().set_default_executor(executor)

    async def get(path: str) -> None:
        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                statuses.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
        await application({**scope, "headers": [], "client": ("192.0.2.1", 1), "scheme": "http"}, None, send)

    await asyncio.gather(*(get(path) for path in ["/openapi.json", "/docs"] * 10))
    assert statuses == [200] * 20
    assert executor.jobs == 1


def test_every_get_route_has_head(server: ApiServer) -> None:
    """RFC 9110 §9.3.2."""
    for path, methods in server.routes().items():
        assert ("GET" in methods) == ("HEAD" in methods), path


def test_a_trailing_slash_changes_nothing(server: ApiServer) -> None:
    """S8, for every public route: no redirect, and the same response."""
    routes = {path: methods for path, methods in server.routes().items() if path not in INSIDE}
    for path, methods in routes.items():
        concrete = re.sub(r"\{[a-z_]+(:path)?\}", ID, path)
        for method in methods - {"HEAD"}:
            plain, slashed = (server.client.request(method, f"{server.url}{p}") for p in (concrete, f"/{concrete}/"))
            assert plain.status_code == slashed.status_code, (method, path)
            assert plain.status_code // 100 in (2, 4), (method, path, plain.text)


@pytest.mark.parametrize("file", ["nginx/nginx.conf", "caddy/Caddyfile"])
def test_the_gateways_pass_the_public_paths(server: ApiServer, file: str) -> None:
    """Their lists have the first part of every path that requires a key."""
    [listed] = ALLOWED.findall((DEPLOY / file).read_text("utf-8"))
    public = {path.split("/")[1] for path in server.routes() if path not in INSIDE}
    assert sorted(listed.replace("\\", "").split("|")) == sorted(public)


@pytest.mark.direct("what is for machines inside is not passed on: tests/gateway")
def test_an_internal_path_has_one_spelling(server: ApiServer) -> None:
    """Any other is refused, so that no rule of a gateway can be bypassed."""
    exact = tuple(f" {path} HTTP/".encode() for path in INSIDE)
    asked = [each for each in spellings() if not any(path in each for path in exact) and not _is_exact_target(each)]
    assert len(asked) >= 750
    for request in asked:
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_TIMEOUT) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as stream:
                answer = stream.read()
        assert int(answer.split()[1]) >= 400, request
        assert b"# HELP" not in answer, request


def _is_exact_target(request: bytes) -> bool:
    """Return whether the request target is an internal path, with or without a query, scheme and host."""
    target = request.split(b" ", 2)[1].split(b"?")[0].split(b"#")[0].lower()
    return any(target.endswith(path.encode()) and target.count(b"/") in (1, 3) for path in INSIDE)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/emails/%00", marks=NUL),
        *("/emails%0a", "/mailboxes/%0a/hold", "/emails/%c2%85", "/docs%7f", "/%1b"),
        *("/x/%2e%2e/emails", "/emails/%2e%2e", "/%2e/emails"),
    ],
)
def test_control_characters_and_dot_segments_are_404(server: ApiServer, path: str) -> None:
    """With the characters escaped."""
    body = refused(server.get(path), 404, "not_found")
    assert body["message"].isprintable()
