"""Logged-out sessions of the console: known to all processes, and deleted once their cookies have expired."""

import asyncio

from app.store import Store


async def test_a_session_is_ended_for_every_process(store_url: str) -> None:
    """And no other one; ending it twice changes nothing."""
    one, two = await Store.open(store_url), await Store.open(store_url)
    try:
        await asyncio.gather(one.end_session("a", 2000.0, 1000.0), two.end_session("a", 2000.0, 1000.0))
        await one.end_session("a", 2000.0, 1001.0)
        assert [await store.session_ended(id) for store in (one, two) for id in ("a", "b")] == [True, False] * 2
    finally:
        await one.close()
        await two.close()


async def test_an_ended_session_is_deleted_after_its_expiry(store_url: str) -> None:
    store = await Store.open(store_url)
    try:
        for number in range(20):
            await store.end_session(str(number), 2000.0 + number, 1000.0)
        await store.end_session("last", 9000.0, 2009.0)
        ended = [await store.session_ended(str(number)) for number in range(20)]
        assert ended == [False] * 10 + [True] * 10
    finally:
        await store.close()
