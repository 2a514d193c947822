"""Errors of a gateway itself have the form of Postern's errors, and nothing is sent twice."""

import re
import socket
import ssl
import time

import httpx
import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, check_error, read_response, refused
from tests.gateway.gateways import Gateway, gateway
from tests.gateway.upstream import closed_port, silent


def client_of(url: str, trust: ssl.SSLContext, key: str = "none") -> httpx.Client:
    """Return a caller with a key."""
    return httpx.Client(base_url=url, verify=trust, headers={"authorization": f"Bearer {key}"}, timeout=30)


def test_an_unreachable_postern(kind: str) -> None:
    """502 requests a repetition with the same Idempotency-Key and a time; Caddy's 503 says nothing was sent."""
    with gateway(kind, closed_port()) as proxy, client_of(proxy.url, proxy.trust()) as client:
        response = client.post("/emails", json=MINIMAL)
        body = check_error(response)
        assert (response.status_code, body["name"]) in ((502, "application_error"), (503, "application_error"))
        assert "Idempotency-Key" in body["message"] or response.status_code == 503
        assert response.headers["retry-after"] == "5"


def test_postern_ends_during_a_request(kind: str) -> None:
    """502, and the gateway does not repeat the request."""
    with silent() as upstream, silent() as other, gateway(kind, upstream.port, other.port) as proxy:
        with client_of(proxy.url, proxy.trust()) as client:
            for number in range(6):
                response = client.post("/emails", headers={"x-request-id": f"id-{number}"}, json=MINIMAL)
                assert check_error(response)["statusCode"] in (502, 503)
        came = re.findall(rb"id-\d", b"".join([*upstream.heads, *other.heads]))
    assert came
    assert len(came) == len(set(came))


def test_one_replica_is_unreachable(kind: str, inner: ApiServer) -> None:
    """nginx uses another one for requests not sent yet; Caddy has errors for two seconds."""
    with gateway(kind, closed_port(), inner.port) as proxy, client_of(proxy.url, proxy.trust(), inner.key) as client:
        answers = [client.post("/emails", json=MINIMAL)]
        until = time.monotonic() + 30
        while kind == "caddy" and len(answers) < 10 and time.monotonic() < until:
            answers = [*answers, again] if (again := client.post("/emails", json=MINIMAL)).is_success else []
        answers += [client.post("/emails", json=MINIMAL) for _ in range(10)]
        for answer in answers:
            accepted(answer)


def test_plain_http_is_400(kind: str, proxy: Gateway) -> None:
    """Never a redirect, as the key was already sent in clear. Caddy has its own text."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as plain:
        plain.sendall(b"GET /emails HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = read_response(plain)
    assert response.status_code == 400
    assert "location" not in response.headers
    if kind == "nginx":
        assert "https://" in check_error(response)["message"]


def test_a_large_head_is_refused(kind: str, proxy: Gateway, inner: ApiServer) -> None:
    """nginx accepts 64 KiB, with an error in our form; Caddy 1 MiB, with its own text."""
    with client_of(proxy.url, proxy.trust(), inner.key) as client:
        headers = {f"x-large-{number}": "x" * 15_000 for number in range(80)}
        response = client.get("/emails", headers=headers)
        if kind == "nginx":
            assert "head" in refused(response, 400, "validation_error")["message"]
        else:
            assert response.status_code == 431
        assert client.get("/emails").status_code == 200


def test_a_malformed_request_is_400(kind: str, proxy: Gateway) -> None:
    """nginx in our form, Caddy without a body."""
    with proxy.connect() as connection:
        connection.sendall(b"GET /emails HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n")
        response = read_response(connection)
    assert response.status_code == 400
    if kind == "nginx":
        check_error(response)


@pytest.mark.parametrize("path", ["/%00", "/emails/%00"])
def test_a_nul_in_a_path_is_refused(proxy: Gateway, inner: ApiServer, path: str) -> None:
    """By nginx or by Postern."""
    with client_of(proxy.url, proxy.trust(), inner.key) as client:
        assert check_error(client.get(path))["statusCode"] in (400, 404, 422)
