"""Sends of a mailbox by minute and hour, for the charts of the console."""

from app.store import Store
from tests.contract.store.build import MAILBOX, NOW, PAUSED, RELAYED, accept, acceptance, claim, settle

MINUTE, HOUR = 60.0, 3600.0


async def sent(store: Store, at: float, *to: str) -> None:
    """Send an email to these recipients at a time."""
    await accept(store, acceptance(*to, created_at=at, due_at=at))
    (claimed,) = await claim(store, now=at)
    assert await settle(store, claimed, RELAYED, at)


async def test_the_history_of_a_mailbox(store: Store) -> None:
    """Messages by minute, recipients by hour, the oldest first; an attempt that did not reach MAIL is not counted."""
    await sent(store, NOW - 25 * HOUR)
    await sent(store, NOW - 23.5 * HOUR, "a@example.com", "b@example.com")
    await sent(store, NOW - 59.5 * MINUTE)
    await sent(store, NOW - 1.5 * MINUTE, "a@example.com", "b@example.com", "c@example.com")
    await sent(store, NOW - 0.5 * MINUTE)
    await accept(store, acceptance(due_at=NOW))
    (claimed,) = await claim(store)
    await settle(store, claimed, PAUSED)
    history = (await store.send_history([MAILBOX, "other@contoso.com"], NOW))[MAILBOX]
    assert {at: number for at, number in enumerate(history.minutes) if number} == {0: 1, 58: 1, 59: 1}
    assert {at: number for at, number in enumerate(history.hours) if number} == {0: 2, 23: 5}
    assert (len(history.minutes), len(history.hours)) == (60, 24)


async def test_a_mailbox_without_sends(store: Store) -> None:
    """All columns are 0; a send under way is in the last one."""
    await accept(store, acceptance("a@example.com", "b@example.com"))
    await claim(store)
    history = await store.send_history([MAILBOX, "other@contoso.com"], NOW)
    assert (history[MAILBOX].minutes[-1], history[MAILBOX].hours[-1]) == (1, 2)
    assert not any(history["other@contoso.com"].minutes + history["other@contoso.com"].hours)
