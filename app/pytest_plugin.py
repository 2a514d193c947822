"""Plugin of pytest for applications that send through Postern: the fixtures `postern` and `office365`.

Both belong to one `postern demo --json`, which is started by the first test that needs it and stopped at the end.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

STOP_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class PosternServer:
    """A Postern that accepts emails at `url`, with a full-access key. `mailbox` is an allowed sender."""

    url: str
    api_key: str
    mailbox: str


class SimulatedOffice365:
    """The upstream of the Postern: its received messages and its faults. `url`: of the inbox and the control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, trust_env=False)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Wait for `count` messages of this test and return all, oldest first. Raises TimeoutError."""
        query = {"count": count, "timeout": timeout}
        response = self._http.get("/messages", params=query, timeout=timeout + 10)
        if response.status_code == httpx.codes.GATEWAY_TIMEOUT:
            raise TimeoutError(response.json()["detail"])
        return [self._get(f"/messages/{row['id']}") for row in response.raise_for_status().json()]

    def fail(self, named: str | None = None, **conditions: Any) -> None:
        """Add a fault, for example `fail("lost_reply")` or `fail(at="dot", do={"action": "drop"}, times=1)`.

        Raises ValueError if it is not one.
        """
        fault = conditions if named is None else {"named": named, **conditions}
        response = self._http.post("/faults", json=fault)
        if response.is_client_error:
            raise ValueError(response.json()["detail"])

    def violations(self) -> list[dict[str, Any]]:
        """Return the violations of sending limits in this test."""
        return list(self._get("/violations"))

    def reset(self) -> None:
        """Remove the faults and the received messages."""
        for path in ("/faults", "/messages"):
            self._http.delete(path).raise_for_status()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()


@pytest.fixture(scope="session")
def postern_demo() -> Iterator[dict[str, str]]:
    """Addresses and credentials that `postern demo --json` prints."""
    command = [sys.executable, "-m", "app", "demo", "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            line = next(iter(process.stdout or ()), "")
            if not line:
                pytest.fail("postern demo --json did not start; its error is above")
            yield json.loads(line)
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT)


@pytest.fixture
def postern(postern_demo: dict[str, str]) -> PosternServer:
    """A running Postern."""
    return PosternServer(postern_demo["url"], postern_demo["api_key"], postern_demo["mailbox"])


@pytest.fixture
def office365(postern_demo: dict[str, str]) -> Iterator[SimulatedOffice365]:
    """The simulated Office 365 behind it, without messages and faults."""
    simulator = SimulatedOffice365(postern_demo["simulator"])
    simulator.reset()
    yield simulator
    simulator.close()
