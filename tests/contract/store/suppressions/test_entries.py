"""Entries of the suppression list on both databases: one for each address, expiry, cost."""

import asyncio
from dataclasses import replace

from app.mail.suppression import Origin
from app.store import Store
from app.store.keys.audit import Actor
from app.store.suppressions.records import Additions, Removals, Suppression
from tests.contract.store.build import NOW

ACTOR = Actor("tests")


async def add(store: Store, *addresses: str, origin: Origin = Origin.MANUAL, now: float = NOW) -> list[Suppression]:
    """Suppress these addresses."""
    return await store.add_suppressions(Additions(addresses, origin, now, ACTOR))


async def test_an_address_has_one_entry_whoever_adds_it(store: Store) -> None:
    """Also in one group of writes; the first entry stays as it is."""
    added = await asyncio.gather(*(add(store, "a@example.com", "b@example.com") for _ in range(3)))
    assert added[0] == added[1] == added[2]
    (again,) = await add(store, "a@example.com", origin=Origin.COMPLAINT, now=NOW + 1)
    assert again == added[0][0]
    found, has_more = await store.suppressions(None, 10, NOW)
    assert ({one.address for one in found}, has_more) == ({"a@example.com", "b@example.com"}, False)


async def test_two_stores_add_the_same_addresses(store_url: str) -> None:
    """In any order, from two processes."""
    stores = [await Store.open(store_url) for _ in range(2)]
    names = [f"n{number}@example.com" for number in range(20)]
    one, two = await asyncio.gather(add(stores[0], *names), add(stores[1], *names[::-1]))
    assert one == two[::-1]
    for store in stores:
        await store.close()


async def test_removals_return_what_was_there(store: Store) -> None:
    """By id or by address, each once."""
    one, two = await add(store, "a@example.com", "b@example.com")
    asked = Removals(NOW, ACTOR, ids=(one.id,), addresses=())
    assert await store.remove_suppressions(asked) == [one]
    assert await store.remove_suppressions(asked) == []
    asked = replace(asked, ids=(), addresses=("b@example.com", "c@example.com"))
    assert await store.remove_suppressions(asked) == [two]
    assert await store.suppressions(None, 10, NOW) == ([], False)
