"""Rules of readiness: not ready, degraded, and details that need a key."""

import asyncio
from collections.abc import Callable

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
    mailbox_reasons,
)

WHY = Explanation("SMTP AUTH is switched off for this mailbox.", "Set-CASMailbox -Identity <mailbox>")
NAME = "noreply@contoso.com"


def condition(health: Health, until: float | None = None, why: Explanation | None = WHY) -> MailboxCondition:
    """Return the condition of a mailbox since the start."""
    return MailboxCondition(health=health, until=until, cooldown=until or 0.0, explanation=why)


@pytest.mark.parametrize("grave", [NO_DATABASE, OTHER_SCHEMA, STOPPING], ids=lambda reason: reason.check)
def test_an_unwritable_store_is_not_ready(grave: Reason) -> None:
    """Whatever else is true."""
    assert Readiness((DISK_ALMOST_FULL, grave), relaying=True).status is Status.NOT_READY


def test_held_mailboxes_degrade() -> None:
    """Even all of them: mail can be accepted."""
    reasons, relaying = mailbox_reasons({NAME: condition(Health.HELD, 300.0)}, now=10.0)
    assert Readiness(tuple(reasons), relaying).status is Status.DEGRADED
    assert not relaying
    assert Readiness((DISK_ALMOST_FULL,), relaying=True).status is Status.DEGRADED
    assert Readiness((), relaying=True).status is Status.READY


def test_a_mailbox_that_is_not_held_counts_as_relaying() -> None:
    """A pause ends, and an unowned one may work."""
    held = condition(Health.HELD, 300.0)
    for other in (condition(Health.PAUSED, 60.0), None, MailboxCondition()):
        assert mailbox_reasons({"held@contoso.com": held, NAME: other}, now=10.0)[1]


def test_an_elapsed_pause_is_no_finding() -> None:
    """Though its relay has not stored that yet."""
    paused = {NAME: condition(Health.PAUSED, 60.0)}
    assert len(mailbox_reasons(paused, now=59.0)[0]) == 1
    assert mailbox_reasons(paused, now=60.0)[0] == []


def test_a_fix_has_the_name_only_with_names() -> None:
    """Otherwise it has the placeholder."""
    [reason] = mailbox_reasons({NAME: condition(Health.HELD, 300.0)}, now=10.0)[0]
    assert NAME not in str(reason.as_json(names=False))
    shown = reason.as_json(names=True)
    assert (shown["mailbox"], shown["fix"]) == (NAME, f"Set-CASMailbox -Identity {NAME}")


def test_an_operators_reason_is_not_shown() -> None:
    """It may name anybody; GET /mailboxes needs a key."""
    [reason] = mailbox_reasons({NAME: condition(Health.HELD, None, Explanation("Held: Ada is ill.", "Release."))}, 1.0)[
        0
    ]
    assert "Ada" not in str(reason.as_json(names=True))
    assert "postern mailboxes release" in reason.as_json(names=False)["fix"]


class ControlledValue:
    """Value that is made on command and counts."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.at_end: Callable[[], None] | None = None
        self.fresh = CachedResult(self.make, 10.0, lambda: self.now)

    async def make(self) -> int:
        self.made += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.at_end is not None:
            asyncio.get_running_loop().call_soon(self.at_end)
        return self.made


async def test_concurrent_callers_share_one_call() -> None:
    """A cancelled one does not end it for the others."""
    value = ControlledValue()
    waiting = [asyncio.create_task(value.fresh.get()) for _ in range(100)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    value.gate.set()
    assert await asyncio.gather(*waiting) == [1] * 99


async def test_a_result_is_cached_from_its_end_on() -> None:
    """However long it took."""
    value = ControlledValue()
    waiting = asyncio.create_task(value.fresh.get())
    await asyncio.sleep(0)
    value.now = 100.0
    value.gate.set()
    assert await waiting == 1
    value.now = 109.9
    assert await value.fresh.get() == 1
    value.now = 110.0
    assert await value.fresh.get() == 2


async def test_a_result_is_cached_in_the_loop_turn_of_its_end() -> None:
    value = ControlledValue()
    value.gate.set()
    at_end: list[int | None] = []

    def get_at_once() -> None:  # before any task that waits for the result
        call = value.fresh.get()
        try:
            call.send(None)
        except StopIteration as end:
            at_end.append(end.value)
        else:
            call.close()

    value.at_end = get_at_once
    first = asyncio.create_task(value.fresh.get())
    assert await first == 1
    assert at_end == [1]


async def test_a_failure_is_cached_as_long() -> None:
    value = ControlledValue()
    value.gate.set()
    value.error = ValueError("broken")
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await value.fresh.get()
    assert value.made == 1
    value.now, value.error = 10.0, None
    assert await value.fresh.get() == 2


async def test_a_running_call_can_be_cancelled() -> None:
    value = ControlledValue()
    waiting = asyncio.create_task(value.fresh.get())
    await asyncio.sleep(0)
    value.fresh.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
