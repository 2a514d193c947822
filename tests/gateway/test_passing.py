"""What passes a gateway: requests whole and unchanged, who asked, and its id; never what is for machines inside."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.api.server import MINIMAL, ApiServer, accepted, check_error, refused
from tests.gateway.gateways import Gateway

MIB = 1024 * 1024
ID = "caller-1.2_3"


@pytest.fixture(scope="module")
def caller(front: Gateway, inner: ApiServer) -> Iterator[httpx.Client]:
    """With a key, over TLS, from an address of its own."""
    transport = httpx.HTTPTransport(verify=front.trust(), local_address="127.0.0.2")
    headers = {"authorization": f"Bearer {inner.key}"}
    with httpx.Client(base_url=front.url.replace("localhost", "127.0.0.1"), headers=headers, timeout=60,
                      transport=transport) as caller:  # fmt: skip
        yield caller


def test_an_email(caller: httpx.Client, inner: ApiServer) -> None:
    """Is kept, and read again."""
    id_ = accepted(caller.post("/emails", json=MINIMAL))
    assert caller.get(f"/emails/{id_}").json()["subject"] == MINIMAL["subject"]
    assert inner.message(id_)["Subject"] == MINIMAL["subject"]


@pytest.mark.parametrize("chunked", [False, True])
def test_60_mib_get_our_413(caller: httpx.Client, chunked: bool) -> None:
    """The limit is Postern's, and so is the answer: to a length that is told, and to one that is counted."""
    piece = b"x" * MIB
    content = (piece for _ in range(60)) if chunked else piece * 60
    body = refused(caller.post("/emails", content=content), 413, "validation_error")
    assert body["reason"] == "body_too_large"
    assert str(50 * MIB) in body["message"]


def test_a_body_near_the_limit(caller: httpx.Client) -> None:
    """Passes: the gateway has no smaller limit of its own."""
    attachment = {"filename": "a.bin", "content": "QUFB" * (11 * MIB)}
    response = caller.post("/emails/validate", json={**MINIMAL, "attachments": [attachment]})
    refused(response, 422, "invalid_attachment")  # 44 MiB of base64 are read whole, and are too large for Exchange


def test_the_request_id(caller: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    """The caller's own comes back and stands in Postern's log; what is none is replaced by the gateway."""
    assert check_error(caller.get("/emails/nope/nope", headers={"x-request-id": ID}))["request_id"] == ID
    assert ID in capsys.readouterr().err
    for odd in (b"a b", b"x" * 129, b'"', "ü".encode()):
        made = check_error(caller.get("/emails/nope/nope", headers={b"x-request-id": odd}))["request_id"]
        assert len(made) >= 32
        assert made in capsys.readouterr().err


def test_who_asked(caller: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Postern logs the caller's address, whatever the caller says of itself."""
    forged = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9"}
    refused(caller.get("/emails/nope/nope", headers=forged), 404, "not_found")
    logged = capsys.readouterr().err
    assert "127.0.0.2" in logged
    assert "203.0.113.9" not in logged


@pytest.mark.parametrize("path", [
    "/healthz", "/readyz", "/metrics", "/healthz/", "//healthz", "/healthz//", "/%68ealthz", "/%2Fhealthz",
    "/healthz%2F", "/./healthz", "/emails/../healthz", "/emails/%2e%2e/metrics", "/metrics?x=1", "/readyz?deep=1",
])  # fmt: skip
def test_what_is_for_machines_inside(front: Gateway, path: str) -> None:
    """Is not reached from outside, however it is spelled."""
    with front.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"401"), head  # 401: Postern took it for an email's path
    assert json.loads(body)["name"] in ("not_found", "missing_api_key")
    assert b"postern_" not in body


def test_any_host(front: Gateway, inner: ApiServer) -> None:
    """A call under a name that the gateway does not know is never answered with an empty 200."""
    with httpx.Client(verify=front.trust()) as client:
        response = client.get(f"{front.url}/emails", headers={"host": "elsewhere.example"})
    refused(response, 401, "missing_api_key")


def test_the_log(front: Gateway, caller: httpx.Client, inner: ApiServer) -> None:
    """Has no key, no query and nothing of an email."""
    caller.get("/emails", params={"to": "secret-recipient@example.net"})
    caller.post("/emails", json={**MINIMAL, "subject": "secret-subject"})
    caller.get("/emails/nope/logged")
    logged = front.until_logged("/emails/nope/logged")
    for secret in (inner.key, "secret-recipient", "secret-subject"):
        assert secret not in logged
