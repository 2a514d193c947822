"""Concurrent reads in a few threads, each with a connection of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from app.store.db.engine import READ_CONNECTIONS
from app.store.errors import StoreUnavailableError, is_item_error

R = TypeVar("R")


class Reader:
    """Runs functions over a connection, each in one transaction that sees one state of the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READ_CONNECTIONS, thread_name_prefix="store-reader")

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Return the result of `query` on a connection. Raises StoreUnavailableError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    async def run(self, work: Callable[[Engine], R]) -> R:
        """Return the result of `work` outside of a transaction; raises the driver's errors."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, self._engine)

    def close(self) -> None:
        """Wait for running reads, then close the connections."""
        self._threads.shutdown()
        self._engine.dispose()

    def _query(self, query: Callable[[Connection], R]) -> R:
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except DBAPIError as error:
            if is_item_error(error):
                raise
            raise StoreUnavailableError.from_database(error) from error
