"""One server for all tests of the package; those that need another open their own."""

from collections.abc import Iterator

import pytest

from tests.contract.api.door import Door, open_door


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server with the usual limits and no default sender."""
    with open_door(tmp_path_factory.mktemp("api")) as door:
        yield door
