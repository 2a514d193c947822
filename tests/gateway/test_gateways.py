"""The gateways of the tests: their addresses, and the loops that can wait for them."""

import socket
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.clock import autojump
from tests.gateway.gateways import Gateway
from tests.harness import ACCOUNT, open_harness, settings_for


def test_a_gateway_listens_on_one_address(proxy: Gateway) -> None:
    """On every address it would not start while the port is in use on any of them."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", proxy.port), timeout=20)


def test_virtual_time_has_no_gateway(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops for its own process: while a gateway has a request, the timeouts of its caller would expire."""
    monkeypatch.setenv("GATEWAY", kind)

    @autojump
    async def start() -> None:
        async with Simulator([ACCOUNT]) as simulator, open_harness(simulator, settings_for(simulator, tmp_path)):
            pass

    with pytest.raises(RuntimeError, match=f"not wait for {kind}"):
        start()
