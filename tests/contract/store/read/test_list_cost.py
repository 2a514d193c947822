"""The lists, searches and numbers of the console cost the same behind many emails, counted in SQLite's steps.

They read up to their limits, so the cost is flat once there are more emails than that.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.lifecycle import LastEvent
from app.store import Store
from app.store.message_trace.records import HoldRequest, Report, Reports
from app.store.read.records import SCAN_LIMIT, Selection
from tests.contract.store.build import DAY, KEY, MAILBOX, NOW, RELAYED, SCOPE, accept, acceptance, claim_one, settle

UNIT = 100  # steps that are counted at once
ROWS = 50  # of a page of the console
SEARCHES = (
    Selection(),
    Selection(key_id=KEY),
    Selection(recipient="customer7@example.net"),
    Selection(recipient_prefix="customer"),
    Selection(recipient_prefix="clementine"),
    Selection(sender="a@contoso.com"),
    Selection(subject="no email has this"),
    Selection(tag=("none", None)),
)


@pytest.fixture
def units() -> Iterator[list[int]]:
    """One entry for every UNIT steps of SQLite's virtual machine on any connection."""
    taken: list[int] = []

    def count(connection: Any, _: object) -> None:
        connection.set_progress_handler(lambda: taken.append(1), UNIT)

    event.listen(Engine, "connect", count)
    yield taken
    event.remove(Engine, "connect", count)


async def delivered_email(store: Store) -> UUID:
    """Create an email that was sent, and delivered according to the message trace."""
    (id,) = await accept(store, acceptance("b@example.com"))
    await settle(store, await claim_one(store), RELAYED)
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=9), DAY))
    assert position is not None
    row = TraceRow(UUID(int=1), f"{id}@contoso.com", "b@example.com", NOW, "delivered")
    reports = Reports(position.reader, (Report(row, DeliveryState.DELIVERED),), NOW, SCOPE)
    assert await store.traces.apply(reports) is not None
    return id


def fill(url: str, like: UUID, first: int, last: int) -> None:
    """Store finished emails: of ten one failed, one bounced, four were delivered and four sent."""
    address = "'customer' || n || '@example.net'"
    tables = {
        "messages": {"id": "{id}"},
        "recipients": {
            "message_id": "{id}",
            "address": address,
            "state": "CASE n % 10 WHEN 0 THEN 'failed' ELSE state END",
        },
        "traces": {
            "message_id": "{id}",
            "address": address,
            "state": "CASE n % 10 WHEN 1 THEN 'bounced' ELSE state END",
        },
    }
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for table, own in tables.items():
            key = next(iter(own))
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(own.get(name, name).format(id="printf('%032x', n)") for name in names)
            connection.execute(
                "WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
                f"INSERT INTO {table} SELECT {values} FROM (SELECT * FROM {table} WHERE {key} = ?), numbers"
                + (" WHERE n % 10 BETWEEN 1 AND 5" if table == "traces" else ""),
                (first, last, like.hex),
            )
    connection.close()


async def test_lists_and_numbers_cost_the_same_behind_many_emails(sqlite_url: str, units: list[int]) -> None:
    """Each tab, each kind of search, the numbers of the tabs, and the sends under way."""
    store = await Store.open(sqlite_url)
    id = await delivered_email(store)
    verbs: dict[str, Callable[[], Awaitable[object]]] = {
        **{f"list {asked}": partial(store.list_emails, asked, ROWS, NOW) for asked in SEARCHES},
        **{
            f"tab {tab}": partial(store.list_emails, Selection(last_event=tab, held=False), ROWS, NOW)
            for tab in LastEvent
        },
        **{f"numbers {asked}": partial(store.count_by_event, asked, NOW) for asked in SEARCHES},
        "active": partial(store.active_sends, [MAILBOX], NOW),
    }

    async def costs() -> dict[str, int]:
        found = {}
        for name, verb in verbs.items():
            await verb()  # once before, so that connections are open and statements prepared
            units.clear()
            await verb()
            found[name] = len(units)
        return found

    fill(sqlite_url, id, 1, SCAN_LIMIT + 1_000)
    few = await costs()
    fill(sqlite_url, id, SCAN_LIMIT + 1_001, 8 * SCAN_LIMIT)
    many = await costs()
    await store.close()
    for name in verbs:
        assert many[name] <= few[name] * 1.1 + 5, (name, few[name], many[name])
