"""Optional parts of the gateways' configurations."""

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from tests.contract.api.server import MINIMAL, ApiServer, accepted, check_error, open_server, refused
from tests.gateway.conftest import FORWARDER
from tests.gateway.gateways import Gateway, gateway

FILE = {"filename": "a.txt", "content": "QUJD"}


def ask(proxy: Gateway, *, shown: trustme.CA | None = None) -> httpx.Response:
    """GET /emails without a key, with a certificate of that authority."""
    trust = proxy.trust()
    if shown is not None:
        shown.issue_cert("shop@contoso.com").configure_cert(trust)
    with httpx.Client(verify=trust, timeout=20) as client:
        return client.get(f"{proxy.url}/emails")


def test_mtls_requires_a_client_certificate(kind: str, inner: ApiServer) -> None:
    """Postern still requires the API key."""
    with gateway(kind, inner.port, parts=["mtls"]) as proxy:
        refused(ask(proxy, shown=proxy.client_ca), 401, "missing_api_key")
        for shown in (None, trustme.CA()):
            try:
                response = ask(proxy, shown=shown)
            except (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError):
                assert kind == "caddy"  # it ends the handshake; nginx answers
            else:
                assert kind == "nginx"
                assert "certificate" in refused(response, 400, "validation_error")["message"]


def test_a_prefix_is_added_to_urls_in_responses(kind: str, tmp_path: Path) -> None:
    """Below /mail everything is as at the root; internal paths stay closed."""
    with (
        open_server(tmp_path, root_path="/mail", forwarders=(FORWARDER,)) as server,
        gateway(kind, server.port, parts=["prefix"]) as proxy,
        httpx.Client(base_url=proxy.url, verify=proxy.trust(), timeout=20) as client,
    ):
        client.headers["authorization"] = f"Bearer {server.key}"
        id_ = accepted(client.post("/mail/emails", json={**MINIMAL, "attachments": [FILE]}))
        [listed] = client.get(f"/mail/emails/{id_}/attachments").json()["data"]
        assert listed["download_url"].startswith("/mail/emails/")
        assert client.get(listed["download_url"]).content == b"ABC"
        assert client.get("/mail/openapi.json").json()["servers"][0]["url"] == "/mail"
        for path in ("/mail/healthz", "/mail//metrics", "//mail/readyz/", "/mail/%68ealthz", "/healthz"):
            refused(client.get(path), 404, "not_found")
        # left on by a gateway that does not take it off, it means the same
        assert server.get(f"/mail/emails/{id_}").json()["id"] == id_


def test_requests_per_address_are_limited(kind: str, inner: ApiServer) -> None:
    """429 in our form with Retry-After. Caddy would need a plugin."""
    if kind == "caddy":
        pytest.skip("deploy/gateway/caddy has no limit")
    with (
        gateway(kind, inner.port, parts=["limit"]) as proxy,
        httpx.Client(base_url=proxy.url, verify=proxy.trust(), timeout=20) as client,
    ):
        answers = (client.get("/emails") for _ in range(3_000))
        limited = next(answer for answer in answers if answer.status_code != 401)
        assert check_error(limited)["name"] == "rate_limit_exceeded"
        assert limited.status_code == 429
        assert limited.headers["retry-after"] == "1"
