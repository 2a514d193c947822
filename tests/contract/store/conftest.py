"""Databases of the suite: SQLite, or with `--postgres` its own PostgreSQL server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.store import Store
from app.store.migrations import migrate
from app.store.read.last_event import ENDED_EVENTS
from app.store.read.records import Selection
from tests import postgres
from tests.contract.store.build import NOW

MANY = 100_000  # more emails than a test has

_NEEDS = "needs a PostgreSQL server: make test-postgres"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--postgres`: run on PostgreSQL."""
    parser.addoption("--postgres", action="store_true", help="the store's tests over a PostgreSQL server of their own")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests for every kind of database on the requested one."""
    if "store_url" in metafunc.fixturenames:
        kind = "postgres_url" if metafunc.config.getoption("--postgres", default=False) else "sqlite_url"
        metafunc.parametrize("store_url", [kind], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--postgres`, skip tests of SQLite alone."""
    if config.getoption("--postgres", default=False):
        items[:] = [item for item in items if {"store_url", "postgres_server"} & {*getattr(item, "fixturenames", ())}]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Path of a database file that does not exist yet."""
    return f"sqlite:///{tmp_path}/data/postern.db"


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    """Server for the whole run."""
    if not request.config.getoption("--postgres", default=False):
        pytest.skip(_NEEDS)
    if (programs := postgres.programs()) is None:
        pytest.skip(
            "PostgreSQL is not installed (Debian: apt-get install postgresql), and POSTGRES_BIN names no folder"
        )
    with postgres.running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_url(postgres_server: postgres.Server) -> str:
    """Database with the newest schema. A copy of it takes a fraction of the time of the migrations."""
    url = postgres_server.create_database()
    migrate(url)
    return url


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: postgres.Server) -> str:
    """Database without a schema; for a test that gets an open store a migrated one."""
    template = request.getfixturevalue("migrated_url") if "store" in request.fixturenames else None
    return postgres_server.create_database(template=template)


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str:
    """Empty database of the requested kind."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """Open store. After the test its numbers of ended emails must be those of its emails."""
    store = await Store.open(store_url)
    yield store
    counted = await store.count_by_event(Selection(), NOW, limit=MANY, events=ENDED_EVENTS)
    stored = (await store.numbers_since(0)).ended
    await store.close()
    assert stored == {event: number.number for event, number in counted.items()}
