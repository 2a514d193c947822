"""Prefetched messages go to sessions by lane, and one session is reserved for urgent mail."""

import asyncio
from uuid import UUID

import pytest

from app.mail.lifecycle import ActiveMessage
from app.mail.message.message import Envelope, Lane, OnUnknown
from app.relay.claims import PrefetchBuffer
from app.store.records import Claimed

STANDING = ActiveMessage(0.0, 1.0, OnUnknown.RETRY_ONCE, 0)


def claimed(number: int, lane: Lane = Lane.NORMAL) -> Claimed:
    """Return a claimed message."""
    envelope = Envelope("a@contoso.com", ("b@example.com",))
    return Claimed(UUID(int=number), UUID(int=number), "m", 1, 0.0, envelope, "id@contoso.com", 1, STANDING, lane)


async def ready(task: asyncio.Task[Claimed | None]) -> bool:
    """Return whether a message is available now."""
    for _ in range(3):
        await asyncio.sleep(0)
    return task.done()


async def test_messages_are_taken_by_lane_and_then_in_order() -> None:
    """Of the claim."""
    buffer = PrefetchBuffer(9)
    for one in (claimed(1), claimed(2, Lane.BULK), claimed(3), claimed(4, Lane.URGENT)):
        buffer.put(one)
    order = [await buffer.take() for _ in range(4)]
    assert [one.id.int for one in order if one] == [4, 1, 3, 2]


async def test_one_session_is_reserved_for_urgent_mail() -> None:
    """Others wait for another one."""
    buffer = PrefetchBuffer(1)
    first = claimed(1)
    buffer.put(first)
    buffer.put(claimed(2))
    assert await buffer.take() == first
    taker = asyncio.create_task(buffer.take())
    assert not await ready(taker)
    buffer.put(claimed(3, Lane.URGENT))
    urgent = await taker
    assert urgent is not None
    assert urgent.id.int == 3
    taker = asyncio.create_task(buffer.take())
    buffer.attempt_ended(urgent)
    assert not await ready(taker)
    buffer.attempt_ended(first)
    second = await taker
    assert second is not None
    assert second.id.int == 2


@pytest.mark.parametrize("lane", list(Lane))
async def test_closing_returns_all_messages(lane: Lane) -> None:
    """So that they can be given back; then nothing more."""
    buffer = PrefetchBuffer(0)
    buffer.put(claimed(1, lane))
    buffer.close()
    assert await buffer.take() is not None
    assert await buffer.take() is None
