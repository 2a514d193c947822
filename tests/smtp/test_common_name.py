"""A certificate that has the host only as its common name is not accepted (RFC 9525), for mail, webhooks and tokens."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from app.smtp import tls
from app.smtp.auth.credentials import TransientTokenError
from app.smtp.auth.token_http import TokenHttpClient


@dataclass(frozen=True, slots=True)
class Server:
    """Address of a TLS server and the CA of its certificate."""

    port: int
    ca_file: Path


@pytest.fixture(params=[("localhost", None), (None, "localhost"), ("localhost", "elsewhere.example")], ids=str)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Server, bool]]:
    """Return a TLS server whose certificate has these names; `localhost` may be trusted."""
    alternative, common = request.param
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert(*([alternative] if alternative else []), common_name=common)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as listening:
        yield Server(listening.sockets[0].getsockname()[1], tmp_path / "ca.pem"), alternative is not None


async def test_our_contexts_require_a_subject_alternative_name(server: tuple[Server, bool]) -> None:
    """Of SMTP and of webhooks."""
    there, good = server
    connecting = asyncio.open_connection("localhost", there.port, ssl=tls.context(there.ca_file))
    if good:
        _, writer = await connecting
        writer.close()
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connecting


async def test_the_token_endpoint_requires_a_subject_alternative_name(server: tuple[Server, bool]) -> None:
    there, good = server
    with TokenHttpClient(there.ca_file) as endpoint:
        asking = asyncio.to_thread(endpoint.get, f"https://localhost:{there.port}/token")
        if good:
            assert (await asking).status_code == 200
        else:
            with pytest.raises(TransientTokenError, match="cannot be trusted"):
                await asking


def test_a_context_that_accepts_a_common_name_is_refused() -> None:
    """An Upstream with it raises ValueError."""
    weaker = tls.context(None)
    assert tls.is_verifying(weaker)
    weaker.hostname_checks_common_name = True
    assert not tls.is_verifying(weaker)
