"""Gateways in front of a Postern. They are servers, so these tests run only when they are named: `make gateways`, or
pytest with a path in here."""

from collections.abc import Iterator

import pytest

from app.api.context import RequestLimits
from tests.contract.api.server import ApiServer, open_server
from tests.gateway.gateways import KINDS, Gateway, gateway, installed

FORWARDER = "127.0.0.1"
MIB = 1024 * 1024


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """`nginx`, then `caddy`."""
    kind: str = request.param
    assert installed(kind) is not None, f"{kind} is not installed (Debian: apt-get install nginx-light caddy)"
    return kind


@pytest.fixture(scope="session")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Postern with the default limits that trusts the gateway."""
    limits = RequestLimits(max_body_bytes=50 * MIB, max_message_bytes=35 * MIB, max_bytes_in_flight=400 * MIB)
    with open_server(tmp_path_factory.mktemp("inner"), limits=limits, forwarders=(FORWARDER,)) as server:
        yield server


@pytest.fixture(scope="session")
def proxy(kind: str, inner: ApiServer) -> Iterator[Gateway]:
    """Gateway as configured in deploy/gateway."""
    with gateway(kind, inner.port) as proxy:
        yield proxy
