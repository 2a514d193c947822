"""One server for all tests of the package; tests with other needs open their own."""

from collections.abc import Iterator

import pytest

from tests.contract.api.server import ApiServer, open_server
from tests.gateway.gateways import requested, trust_for_all_clients


@pytest.fixture(scope="session", autouse=True)
def trusted() -> None:
    """Make every client of the run trust the gateway's authority."""
    if requested() is not None:
        trust_for_all_clients()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Server with the usual limits and no default sender."""
    with open_server(tmp_path_factory.mktemp("api")) as server:
        yield server
