"""Numbers of ended emails by hour. The fixture `store` compares them with the emails after every test of the store."""

import asyncio
from uuid import UUID

from sqlalchemy import select, text

from app.mail.lifecycle import LastEvent
from app.store import Store
from app.store.db import uuid7
from app.store.db.engine import write_engine
from app.store.read.records import BoundedCount, NumbersSince, Selection
from app.store.retention import RetentionCutoffs
from app.store.schema import email_counts
from tests.contract.store.build import DAY, NOW, REFUSED, RELAYED, accept, acceptance, claim, settle
from tests.contract.store.db.test_migrations import migrated

HOUR = 3_600
THIS_HOUR = int(NOW) // HOUR
NONE = dict.fromkeys((LastEvent.CANCELED, LastEvent.BOUNCED, LastEvent.DELIVERED, LastEvent.SENT, LastEvent.FAILED), 0)


async def submit(store: Store, at: float, number: int = 1) -> tuple[UUID, ...]:
    """Accept emails at a time, due now."""
    return await accept(store, *(acceptance(id=uuid7.new(at)) for _ in range(number)))


async def test_the_hour_of_the_acceptance_counts(store: Store) -> None:
    """Whenever an email ends. One that has not ended is counted apart."""
    await submit(store, NOW - 2 * HOUR, 3)
    sent, refused, other = await claim(store)
    await settle(store, sent, RELAYED)
    await settle(store, refused, REFUSED)
    await submit(store, NOW)
    assert await store.numbers_since(THIS_HOUR) == NumbersSince(THIS_HOUR * HOUR, NONE, BoundedCount(1, more=False))
    numbers = await store.numbers_since(THIS_HOUR - 2)
    assert numbers.ended == {**NONE, LastEvent.SENT: 1, LastEvent.FAILED: 1}
    assert (numbers.unfinished, numbers.accepted) == ((2, False), (4, False))
    await settle(store, other, RELAYED)
    assert (await store.numbers_since(THIS_HOUR - 2)).ended[LastEvent.SENT] == 2
    assert not any((await store.numbers_since(THIS_HOUR - 1)).ended.values())


async def test_a_retried_email_is_not_a_failed_one(store: Store) -> None:
    """And it is what it has become after the next attempt."""
    (id,) = await submit(store, NOW)
    await settle(store, (await claim(store))[0], REFUSED)
    assert (await store.numbers_since(THIS_HOUR)).ended == {**NONE, LastEvent.FAILED: 1}
    await store.retry(id, NOW)
    assert (await store.numbers_since(THIS_HOUR)).ended == NONE
    await settle(store, (await claim(store))[0], RELAYED)
    assert (await store.numbers_since(THIS_HOUR)).ended == {**NONE, LastEvent.SENT: 1}


async def test_the_numbers_of_a_list_from_a_full_hour_are_exact(store: Store) -> None:
    """Beyond the limit of those that are counted."""
    await submit(store, NOW + 60, 5)
    for claimed in await claim(store, now=NOW + 60):
        await settle(store, claimed, RELAYED)
    full, other = (Selection(start=uuid7.first_at(THIS_HOUR * HOUR + seconds)) for seconds in (0, 1))
    assert (await store.count_by_event(full, NOW, limit=2))[LastEvent.SENT] == (5, False)
    assert (await store.count_by_event(other, NOW, limit=2))[LastEvent.SENT] == (2, True)


async def test_removed_emails_are_not_counted(store: Store) -> None:
    """By retention, which may remove them within the day."""
    await submit(store, NOW)
    await settle(store, (await claim(store))[0], RELAYED)
    while await store.prune(RetentionCutoffs(NOW, contents=NOW, messages=NOW, events=0.0)):
        pass
    assert (await store.numbers_since(THIS_HOUR)).ended == NONE


async def test_old_hours_are_removed(store_url: str) -> None:
    """With the first email of a new hour that ends."""
    store = await Store.open(store_url)
    for at in (NOW - 3 * DAY, NOW - DAY, NOW):
        await submit(store, at)
        await settle(store, (await claim(store))[0], RELAYED)
    await store.close()
    engine = write_engine(store_url)
    with engine.begin() as connection:
        hours = connection.execute(select(email_counts.c.hour).order_by(email_counts.c.hour)).scalars().all()
    engine.dispose()
    assert hours == [THIS_HOUR - 24, THIS_HOUR]


async def test_processes_add_to_the_same_hours(store_url: str) -> None:
    """Two stores on one database, at the same time."""
    one, other = await Store.open(store_url), await Store.open(store_url)
    ids = await submit(one, NOW, 40)
    await asyncio.gather(
        *((one if number % 2 else other).cancel(id, NOW) for number, id in enumerate(ids)),
    )
    assert (await one.numbers_since(THIS_HOUR)).ended == {**NONE, LastEvent.CANCELED: 40}
    await one.close()
    await other.close()


async def test_the_migration_counts_the_last_two_days(store_url: str) -> None:
    """As the commits would have counted."""
    store = await Store.open(store_url)
    for at in (NOW - 3 * DAY, NOW - DAY, NOW):
        await submit(store, at, 4)
        first, second, third, _ = await claim(store)
        await settle(store, first, RELAYED)
        await settle(store, second, REFUSED)
        await settle(store, third, REFUSED)
        await store.retry(third.id, NOW)
        await store.cancel(third.id, NOW)
    counted = await store.numbers_since(THIS_HOUR - 24)
    await store.close()
    assert counted.ended == {**NONE, LastEvent.SENT: 2, LastEvent.FAILED: 2, LastEvent.CANCELED: 2}
    migrated(store_url, to="0020").dispose()
    engine = migrated(store_url, to="head")
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM email_counts")).scalar() == 2
    engine.dispose()
    store = await Store.open(store_url)
    assert await store.numbers_since(THIS_HOUR - 24) == counted
    await store.close()
