"""A token endpoint that drips, floods or sends garbage costs bounded time and memory, and delays no stop."""

import asyncio
import contextlib
import json
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.clock import Clock
from app.smtp.auth.credentials import CredentialError, TransientTokenError
from app.smtp.auth.grants import ClientSecret, Registration
from app.smtp.auth.oauth import TokenSource
from app.smtp.auth.token_http import MAX_RESPONSE_BYTES, TokenHttpClient
from tests.entra import CLIENT

BUFFERS = 16 * 1024 * 1024  # bytes that the buffers of two sockets can hold, with room
HANG_TIMEOUT = 40.0  # seconds until a test that waits in vain fails
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

Script = Callable[["Connection"], Awaitable[None]]


class Connection:
    """Connection of the server: the bytes sent, and whether the client has closed it."""

    def __init__(self, path: str, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self.sent = 0
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Write as fast as the client reads. Raises OSError after a disconnect."""
        self._writer.write(data)
        await self._writer.drain()
        self.sent += len(data)

    async def forever(self, data: bytes, *, pause: float = 0.0) -> None:
        """Write the same repeatedly."""
        while True:
            await self.send(data)
            await asyncio.sleep(pause)


class HostileServer:
    """TLS server on loopback that runs one script for each request."""

    def __init__(self, script: Script, folder: Path) -> None:
        self.lines: list[Connection] = []
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.ca_file = folder / "ca.pem"
        self._script = script
        self._serving: set[asyncio.Task[None]] = set()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["HostileServer"]:
        """Listen until the end of the block."""
        server = await asyncio.start_server(self._accept, "localhost", 0, ssl=self._context)
        self.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def registration(self) -> Registration:
        """Return the grant of an app with this authority."""
        return Registration(self.url, "contoso.com", CLIENT, "https://outlook.office365.com/.default", self.ca_file)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.lines.append(line := Connection(head.split()[1].decode(), writer))
                self.begun.set()
                await self._script(line)
                writer.close()  # what is in the buffers still goes
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            self.ended.set()


Open = Callable[[Script], AbstractAsyncContextManager[HostileServer]]


@pytest.fixture
def hostile(tmp_path: Path) -> Open:
    """Run a server with a script."""
    return lambda script: HostileServer(script, tmp_path).listening()


async def ask(there: HostileServer, deadline: float) -> CredentialError:
    """Return the error of a token request."""
    with TokenHttpClient(there.ca_file, deadline=deadline) as endpoint, pytest.raises(CredentialError) as caught:
        await asyncio.to_thread(endpoint.post, f"{there.url}/token", data={"a": "b"})
    return caught.value


async def trickled_body(line: Connection) -> None:
    """Send the body byte by byte without end."""
    await line.send(HEAD + b"content-length: 100000\r\n\r\n")
    await line.forever(b" ", pause=0.01)


async def trickled_headers(line: Connection) -> None:
    """Send headers without end; redirects are refused before the body is read."""
    await line.send(HEAD)
    await line.forever(b"x", pause=0.01)


async def trickled_chunks(line: Connection) -> None:
    """Send chunks without end, for which the same limit applies."""
    await line.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    await line.forever(b"1\r\n \r\n", pause=0.01)


async def endless_interim_responses(line: Connection) -> None:
    """Send interim responses only (RFC 9110 §15.2)."""
    await line.forever(b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.01)


async def silent(line: Connection) -> None:
    """Send nothing."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("script", [trickled_body, trickled_headers, trickled_chunks, endless_interim_responses])
async def test_a_slow_response_ends_at_the_deadline(hostile: Open, script: Script) -> None:
    """One deadline covers the whole request; a timeout is not retried immediately."""
    async with hostile(script) as there:
        refused = await ask(there, deadline=0.5)
        assert isinstance(refused, TransientTokenError)
        assert (str(refused), refused.do_not_retry) == ("localhost did not answer in time.", True)
        async with asyncio.timeout(HANG_TIMEOUT):
            await there.ended.wait()  # the connection is closed


async def test_requests_of_one_token_share_a_deadline(hostile: Open) -> None:

    async def good(line: Connection) -> None:
        await line.send(HEAD + b"content-length: 2\r\n\r\n{}")

    async with hostile(good) as there:
        with (
            TokenHttpClient(there.ca_file, deadline=0.0) as endpoint,
            pytest.raises(TransientTokenError, match="in time"),
        ):
            await asyncio.to_thread(endpoint.get, f"{there.url}/openid-configuration")
        assert there.lines == []


def bomb() -> bytes:
    """Send some 100 KB that decompress to 100 MB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()


async def flood(line: Connection) -> None:
    """Send 600 MB with their Content-Length."""
    await line.send(HEAD + b"content-length: 600000000\r\n\r\n")
    await line.forever(b"x" * 65_536)


async def flood_of_chunks(line: Connection) -> None:
    """Send an endless body without Content-Length."""
    await line.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    await line.forever(b"10000\r\n" + b"x" * 65_536 + b"\r\n")


async def flood_until_closed(line: Connection) -> None:
    """Send a body that ends with the connection."""
    await line.send(HEAD + b"\r\n")
    await line.forever(b"x" * 65_536)


async def flood_of_headers(line: Connection) -> None:
    """Send a header of 600 MB."""
    await line.send(HEAD + b"x: ")
    await line.forever(b"x" * 65_536)


@pytest.mark.parametrize("script", [flood, flood_of_chunks, flood_until_closed, flood_of_headers])
async def test_a_large_response_ends_at_the_limit(hostile: Open, script: Script) -> None:
    """In bytes that the server could write before the connection was closed."""
    async with hostile(script) as there:
        refused = await ask(there, deadline=HANG_TIMEOUT)
        assert isinstance(refused, TransientTokenError)
        async with asyncio.timeout(HANG_TIMEOUT):
            await there.ended.wait()
        assert there.lines[0].sent < BUFFERS
    if script is not flood_of_headers:
        assert (str(refused), refused.do_not_retry) == (f"localhost sent more than {MAX_RESPONSE_BYTES:,} bytes.", True)


async def test_nothing_is_decompressed(hostile: Open) -> None:
    """A compressed body is not decompressed."""
    packed = bomb()

    async def send(line: Connection) -> None:
        await line.send(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed)

    async with hostile(send) as there:
        refused = await ask(there, deadline=HANG_TIMEOUT)
        assert str(refused) == "localhost answered 200."


GARBAGE: dict[str, Any] = {
    "no JSON": b"\x00\xff\xfe",
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 40_000,
    "a list": b"[]",
    "numbers for words": b'{"error":1,"error_codes":7,"error_description":[],"trace_id":{}}',
    "codes that are none": b'{"error":"x","error_codes":[null,{},"\\u0000"]}',
    "a long number": b'{"error":' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("status", [200, 400, 503])
async def test_an_invalid_response_is_an_error_in_plain_words(hostile: Open, name: str, status: int) -> None:
    """For discovery and token requests."""
    body = GARBAGE[name]

    async def send(line: Connection) -> None:
        await line.send(b"HTTP/1.1 %d So\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body)

    async with hostile(send) as there:
        refused = await ask(there, deadline=HANG_TIMEOUT)
        assert str(refused).startswith(f"localhost answered {status}")
        with pytest.raises(CredentialError):
            await asyncio.to_thread(ClientSecret(there.registration(), "made-up-secret").fetch)


TOKENS: dict[str, dict[str, Any]] = {
    "no text": {"access_token": 7, "expires_in": 3600},
    "a line end": {"access_token": "a\r\nb", "expires_in": 3600},
    "not ASCII": {"access_token": "tökén", "expires_in": 3600},
    "empty": {"access_token": "", "expires_in": 3600},
    "no lifetime": {"access_token": "abc"},
    "not a number": {"access_token": "abc", "expires_in": "NaN"},
    "without end": {"access_token": "abc", "expires_in": "1e999"},
    "words": {"access_token": "abc", "expires_in": "soon"},
    "a list": {"access_token": "abc", "expires_in": [1]},
}


@pytest.mark.parametrize("name", TOKENS)
async def test_an_invalid_token_or_lifetime_is_an_error(hostile: Open, name: str) -> None:

    async def send(line: Connection) -> None:
        said: dict[str, Any] = {"token_type": "Bearer", **TOKENS[name]}
        if "openid-configuration" in line.path:
            said = {f"{part}_endpoint": f"{there.url}/{part}" for part in ("token", "authorization")}
            said["issuer"] = f"{there.url}/contoso.com/v2.0"
        body = json.dumps(said).encode()
        await line.send(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)

    async with hostile(send) as there:
        with pytest.raises(CredentialError, match="without a valid token"):
            await asyncio.to_thread(ClientSecret(there.registration(), "made-up-secret").fetch)
        assert there.lines[-1].path == "/token"


async def test_a_token_request_can_be_cancelled_at_any_time(hostile: Open) -> None:
    """The cancellation does not wait for the thread, which delays the end of neither loop nor process."""
    async with hostile(silent) as there:
        stopped, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def scenario() -> None:
            source = TokenSource(ClientSecret(there.registration(), "made-up-secret"), Clock())
            asking = asyncio.create_task(source.token())
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there.begun.wait(), loop))
            loop.call_soon_threadsafe(begun.set)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking

        def run() -> None:
            asyncio.run(scenario())  # as at SIGTERM: what is left is cancelled, and its threads are waited for
            stopped.set()

        threading.Thread(target=run, daemon=True).start()
        async with asyncio.timeout(HANG_TIMEOUT):
            await begun.wait()
        assert await asyncio.to_thread(stopped.wait, HANG_TIMEOUT / 4)  # sooner than the endpoint's deadline
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "daemon-call")
