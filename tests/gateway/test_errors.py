"""What a gateway answers by itself has the form of Postern's errors, and nothing is sent twice."""

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
    """A caller with a key."""
    return httpx.Client(base_url=url, verify=trust, headers={"authorization": f"Bearer {key}"}, timeout=30)


def test_postern_is_away(kind: str) -> None:
    """502 that says to repeat it with the same Idempotency-Key, and when; Caddy's 503 says that nothing was sent."""
    with gateway(kind, closed_port()) as front, client_of(front.url, front.trust()) as client:
        response = client.post("/emails", json=MINIMAL)
        body = check_error(response)
        assert (response.status_code, body["name"]) in ((502, "application_error"), (503, "application_error"))
        assert "Idempotency-Key" in body["message"] or response.status_code == 503
        assert response.headers["retry-after"] == "5"


def test_postern_dies_under_a_request(kind: str) -> None:
    """502, and nobody has sent the email a second time."""
    with silent() as upstream, silent() as other, gateway(kind, upstream.port, other.port) as front:
        with client_of(front.url, front.trust()) as client:
            for number in range(6):
                response = client.post("/emails", headers={"x-request-id": f"id-{number}"}, json=MINIMAL)
                assert check_error(response)["statusCode"] in (502, 503)
        came = re.findall(rb"id-\d", b"".join([*upstream.heads, *other.heads]))
    assert came
    assert len(came) == len(set(came))


def test_one_replica_is_away(kind: str, inner: ApiServer) -> None:
    """Callers notice nothing with nginx, which gives to another what has not left; with Caddy for two seconds."""
    with gateway(kind, closed_port(), inner.port) as front, client_of(front.url, front.trust(), inner.key) as client:
        answers = [client.post("/emails", json=MINIMAL)]
        until = time.monotonic() + 30
        while kind == "caddy" and len(answers) < 10 and time.monotonic() < until:
            answers = [*answers, again] if (again := client.post("/emails", json=MINIMAL)).is_success else []
        answers += [client.post("/emails", json=MINIMAL) for _ in range(10)]
        for answer in answers:
            accepted(answer)


def test_no_tls(kind: str, front: Gateway) -> None:
    """400, and never a redirect: the key has been shown already. Caddy says so in words of its own."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as plain:
        plain.sendall(b"GET /emails HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        response = read_response(plain)
    assert response.status_code == 400
    assert "location" not in response.headers
    if kind == "nginx":
        assert "https://" in check_error(response)["message"]


def test_a_head_that_is_too_large(kind: str, front: Gateway, inner: ApiServer) -> None:
    """nginx takes 64 KiB and then answers in our form, Caddy 1 MiB and then in words of its own."""
    with client_of(front.url, front.trust(), inner.key) as client:
        headers = {f"x-large-{number}": "x" * 15_000 for number in range(80)}
        response = client.get("/emails", headers=headers)
        if kind == "nginx":
            assert "head" in refused(response, 400, "validation_error")["message"]
        else:
            assert response.status_code == 431
        assert client.get("/emails").status_code == 200


def test_what_is_no_request(kind: str, front: Gateway) -> None:
    """400: nginx in our form, Caddy without a body worth reading."""
    with front.connect() as connection:
        connection.sendall(b"GET /emails HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n")
        response = read_response(connection)
    assert response.status_code == 400
    if kind == "nginx":
        check_error(response)


@pytest.mark.parametrize("path", ["/%00", "/emails/%00"])
def test_a_nul_in_a_path(front: Gateway, inner: ApiServer, path: str) -> None:
    """Is refused, by nginx or by Postern."""
    with client_of(front.url, front.trust(), inner.key) as client:
        assert check_error(client.get(path))["statusCode"] in (400, 404, 422)
