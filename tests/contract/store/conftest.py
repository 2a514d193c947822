"""The databases the suite runs over: one line each in `store_url`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store import Store


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that is not there yet."""
    return f"sqlite:///{tmp_path}/data/postern.db"


@pytest.fixture(params=["sqlite_url"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store."""
    store = await Store.open(store_url)
    yield store
    await store.close()
