"""The rules of readiness: what is grave, what only degrades, and what nobody learns without a key."""

import asyncio

import pytest

from app.cached_result import CachedResult
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import (
    DISK_ALMOST_FULL,
    NO_DATABASE,
    OTHER_SCHEMA,
    STOPPING,
    Readiness,
    Reason,
    Status,
    of_mailboxes,
)

WHY = Explanation("SMTP AUTH is switched off for this mailbox.", "Set-CASMailbox -Identity <mailbox>")
NAME = "noreply@contoso.com"


def condition(health: Health, until: float | None = None, why: Explanation | None = WHY) -> MailboxCondition:
    """Of a mailbox that came to it at the beginning."""
    return MailboxCondition(health=health, until=until, cooldown=until or 0.0, explanation=why)


@pytest.mark.parametrize("grave", [NO_DATABASE, OTHER_SCHEMA, STOPPING], ids=lambda reason: reason.check)
def test_what_cannot_be_kept_is_not_ready(grave: Reason) -> None:
    """Whatever else is so."""
    assert Readiness((DISK_ALMOST_FULL, grave), relaying=True).status is Status.NOT_READY


def test_what_only_waits_degrades() -> None:
    """All mailboxes held included: mail can still be accepted, and waits."""
    reasons, relaying = of_mailboxes({NAME: condition(Health.HELD, 300.0)}, now=10.0)
    assert Readiness(tuple(reasons), relaying).status is Status.DEGRADED
    assert not relaying
    assert Readiness((DISK_ALMOST_FULL,), relaying=True).status is Status.DEGRADED
    assert Readiness((), relaying=True).status is Status.READY


def test_one_that_is_not_held_relays() -> None:
    """A pause ends by itself, and one that nobody has taken over yet may be well."""
    held = condition(Health.HELD, 300.0)
    for other in (condition(Health.PAUSED, 60.0), None, MailboxCondition()):
        assert of_mailboxes({"held@contoso.com": held, NAME: other}, now=10.0)[1]


def test_a_pause_that_is_over_is_no_reason() -> None:
    """Though its relay has not written that down."""
    paused = {NAME: condition(Health.PAUSED, 60.0)}
    assert len(of_mailboxes(paused, now=59.0)[0]) == 1
    assert of_mailboxes(paused, now=60.0)[0] == []


def test_a_name_is_told_only_where_names_are() -> None:
    """Without them the fix has its placeholder, which is no name of anybody."""
    [reason] = of_mailboxes({NAME: condition(Health.HELD, 300.0)}, now=10.0)[0]
    assert NAME not in str(reason.as_json(names=False))
    shown = reason.as_json(names=True)
    assert (shown["mailbox"], shown["fix"]) == (NAME, f"Set-CASMailbox -Identity {NAME}")


def test_a_persons_words_are_not_told() -> None:
    """Why a person holds it may name anybody; GET /mailboxes asks for a key."""
    [reason] = of_mailboxes({NAME: condition(Health.HELD, None, Explanation("Held: Ada is ill.", "Release."))}, 1.0)[0]
    assert "Ada" not in str(reason.as_json(names=True))
    assert "postern mailboxes release" in reason.as_json(names=False)["fix"]


class Spring:
    """Makes a value when it is let, and counts."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.fresh = CachedResult(self.make, 10.0, lambda: self.now)

    async def make(self) -> int:
        self.made += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.made


async def test_it_is_made_once_for_all_who_ask() -> None:
    """And who gives up waiting does not end it for the others."""
    spring = Spring()
    waiting = [asyncio.create_task(spring.fresh.get()) for _ in range(100)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    spring.gate.set()
    assert await asyncio.gather(*waiting) == [1] * 99


async def test_it_is_kept_for_its_time_from_its_end_on() -> None:
    """However long it took to make."""
    spring = Spring()
    waiting = asyncio.create_task(spring.fresh.get())
    await asyncio.sleep(0)
    spring.now = 100.0
    spring.gate.set()
    assert await waiting == 1
    spring.now = 109.9
    assert await spring.fresh.get() == 1
    spring.now = 110.0
    assert await spring.fresh.get() == 2


async def test_it_is_dated_before_anybody_sees_that_it_is_done() -> None:
    """Who comes in the turn of the loop in which it ended gets it, and does not make another."""
    spring = Spring()
    spring.gate.set()
    first = asyncio.create_task(spring.fresh.get())
    while not (spring.fresh._result and spring.fresh._result.done()):
        await asyncio.sleep(0)
    assert await spring.fresh.get() == 1
    assert await first == 1


async def test_a_failure_is_kept_as_long() -> None:
    """It is no reason to ask again at once, and nobody has to hear of it."""
    spring = Spring()
    spring.gate.set()
    spring.error = ValueError("broken")
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await spring.fresh.get()
    assert spring.made == 1
    spring.now, spring.error = 10.0, None
    assert await spring.fresh.get() == 2


async def test_what_is_under_way_can_be_ended() -> None:
    """At a stop."""
    spring = Spring()
    waiting = asyncio.create_task(spring.fresh.get())
    await asyncio.sleep(0)
    spring.fresh.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
