"""Requests through a gateway: complete, unchanged, with the caller's address and request id, and no internal path."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, check_error, refused
from tests.gateway.gateways import Gateway

MIB = 1024 * 1024
ID = "caller-1.2_3"


@pytest.fixture(scope="module")
def caller(proxy: Gateway, inner: ApiServer) -> Iterator[httpx.Client]:
    """Caller with a key, over TLS, from its own address."""
    transport = httpx.HTTPTransport(verify=proxy.trust(), local_address="127.0.0.2")
    headers = {"authorization": f"Bearer {inner.key}"}
    with httpx.Client(base_url=proxy.url.replace("localhost", "127.0.0.1"), headers=headers, timeout=60,
                      transport=transport) as caller:  # fmt: skip
        yield caller


def test_an_email_is_stored_and_read(caller: httpx.Client, inner: ApiServer) -> None:
    id_ = accepted(caller.post("/emails", json=MINIMAL))
    assert caller.get(f"/emails/{id_}").json()["subject"] == MINIMAL["subject"]
    assert inner.message(id_)["Subject"] == MINIMAL["subject"]


@pytest.mark.parametrize("chunked", [False, True])
def test_60_mib_get_posterns_413(caller: httpx.Client, chunked: bool) -> None:
    """With Content-Length, and chunked."""
    piece = b"x" * MIB
    content = (piece for _ in range(60)) if chunked else piece * 60
    body = refused(caller.post("/emails", content=content), 413, "validation_error")
    assert body["reason"] == "body_too_large"
    assert str(50 * MIB) in body["message"]


def test_a_body_near_the_limit_passes(caller: httpx.Client) -> None:
    """The gateway has no smaller limit."""
    attachment = {"filename": "a.bin", "content": "QUFB" * (11 * MIB)}
    response = caller.post("/emails/validate", json={**MINIMAL, "attachments": [attachment]})
    refused(response, 422, "invalid_attachment")  # 44 MiB of base64 are read whole, and are too large for Exchange


def test_the_samples_have_the_address_of_the_gateway(caller: httpx.Client) -> None:
    """The documentation page shows the address by which the caller reached it."""
    assert f"curl {caller.base_url}/emails" in caller.get("/docs").text


def test_the_request_id_passes(caller: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in the response and in Postern's log; an invalid one is replaced by the gateway."""
    assert check_error(caller.get("/emails/nope/nope", headers={"x-request-id": ID}))["request_id"] == ID
    assert ID in capsys.readouterr().err
    for odd in (b"a b", b"x" * 129, b'"', "ü".encode()):
        made = check_error(caller.get("/emails/nope/nope", headers={b"x-request-id": odd}))["request_id"]
        assert len(made) >= 32
        assert made in capsys.readouterr().err


def test_the_callers_address_is_logged(caller: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever forwarding headers the caller sends."""
    forged = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9"}
    refused(caller.get("/emails/nope/nope", headers=forged), 404, "not_found")
    logged = capsys.readouterr().err
    assert "127.0.0.2" in logged
    assert "203.0.113.9" not in logged


@pytest.mark.parametrize("path", [
    "/healthz", "/readyz", "/metrics", "/healthz/", "//healthz", "/healthz//", "/%68ealthz", "/%2Fhealthz",
    "/healthz%2F", "/./healthz", "/emails/../healthz", "/emails/%2e%2e/metrics", "/metrics?x=1", "/readyz?deep=1",
])  # fmt: skip
def test_internal_paths_do_not_pass(proxy: Gateway, path: str) -> None:
    """In any spelling."""
    with proxy.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"401"), head  # 401: Postern took it for an email's path
    assert json.loads(body)["name"] in ("not_found", "missing_api_key")
    assert b"postern_" not in body


def test_an_unknown_host_gets_no_empty_200(proxy: Gateway, inner: ApiServer) -> None:
    with httpx.Client(verify=proxy.trust()) as client:
        response = client.get(f"{proxy.url}/emails", headers={"host": "elsewhere.example"})
    refused(response, 401, "missing_api_key")


def test_the_log_has_no_key_query_or_email(proxy: Gateway, caller: httpx.Client, inner: ApiServer) -> None:
    caller.get("/emails", params={"to": "secret-recipient@example.net"})
    caller.post("/emails", json={**MINIMAL, "subject": "secret-subject"})
    caller.get("/emails/nope/logged")
    logged = proxy.until_logged("/emails/nope/logged")
    for secret in (inner.key, "secret-recipient", "secret-subject"):
        assert secret not in logged
