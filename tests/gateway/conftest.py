"""Each gateway in front of a Postern; skipped, with the reason, where its program is not installed."""

import os
from collections.abc import Iterator

import pytest

from app.api import Limits
from tests.contract.api.door import Door, open_door
from tests.gateway.gateways import KINDS, Gateway, gateway, installed

FORWARDER = "127.0.0.1"
MIB = 1024 * 1024


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """`nginx`, then `caddy`."""
    kind: str = request.param
    if installed(kind) is None:
        assert "CI" not in os.environ, f"{kind} is missing: .ci/run installs it"
        pytest.skip(f"{kind} is not installed here")
    return kind


@pytest.fixture(scope="session")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A Postern with the default limits that believes the gateway."""
    limits = Limits(max_body_bytes=50 * MIB, max_message_bytes=35 * MIB, max_bytes_in_flight=400 * MIB)
    with open_door(tmp_path_factory.mktemp("inner"), limits=limits, forwarders=(FORWARDER,)) as door:
        yield door


@pytest.fixture(scope="session")
def front(kind: str, inner: Door) -> Iterator[Gateway]:
    """The gateway as it stands in deploy/gateway."""
    with gateway(kind, inner.port) as front:
        yield front
