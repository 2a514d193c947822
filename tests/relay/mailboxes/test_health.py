"""Mailbox with faults: messages wait and none fails, logins are rare, and the state survives a restart."""

from itertools import pairwise
from pathlib import Path

import pytest

from app.mail.mailbox_health import PROBE_DELAYS, Health
from app.simulator import Account, ExchangeLimits, Fault, Simulator
from app.store.mailboxes.records import HoldRequest
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, MAILBOX, PASSWORD, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT, until

FREE = ExchangeLimits(messages_per_minute=100_000, idle=1e9, session=1e9, tarpit=0)
MINUTE, HOUR = 60.0, 3600.0
WRONG = Account(MAILBOX, password="another", send_as=("*@contoso.com",))


async def until_health(harness: Harness, health: Health) -> None:
    """Wait until the mailbox has this health."""
    await until(lambda: harness.mailbox.condition.health is health)


@pytest.mark.timeout(300)  # real seconds, on a machine with much else to do
@autojump
async def test_a_disabled_login_holds_500_messages_until_it_works(tmp_path: Path) -> None:
    """1 login, then probes after 5 min, 1 h, 6 h, also over a restart; 0 failed; all 500 relayed in the end."""
    clock = LoopClock(speed=MINUTE)  # the relay polls after a second of its loop, here after a minute
    async with Simulator(accounts=[WRONG], clock=clock, limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path, messages_per_minute=100_000)
        async with open_harness(simulator, settings, clock) as harness:
            ids = [await harness.post() for _ in range(500)]
            await until_health(harness, Health.HELD)
            await until_logins(simulator, 2)
        async with open_harness(simulator, settings, clock) as harness:
            await until_health(harness, Health.HELD)
            await until_logins(simulator, 4)
            times = [login.at for login in simulator.logins]
            waits = [later - sooner for sooner, later in pairwise(times)]
            for wait, probe in zip(waits, PROBE_DELAYS, strict=False):
                assert probe <= wait <= probe + MINUTE  # as late as the longest rest
            assert len(simulator.logins) == 4
            simulator.accounts.add(ACCOUNT)
            assert await harness.postern.store.request_hold(MAILBOX, HoldRequest(clock.now(), hold=False))
            await simulator.wait_for(500, WAIT_TIMEOUT)
            emails = [await harness.until(id, "done") for id in ids]
        assert {email["last_event"] for email in emails} == {"sent"}
        assert len(simulator.accepted) == 500


async def until_logins(simulator: Simulator, count: int) -> None:
    """Wait until this many logins were tried."""
    await until(lambda: len(simulator.logins) >= count, 8 * HOUR / MINUTE)


@pytest.mark.parametrize(
    "fault",
    [
        "sender_quota_exceeded",
        "mailbox_full",
        "throttled_send_as_denied",
        "concurrent_connections",
        "submission_rate",
        "message_limit",
        "not_authenticated_550",
        "direct_send",
        "mailbox_disabled",
        "tenant_over_threshold_707",
    ],
)
@autojump
async def test_a_refusal_after_the_login_fails_no_message(tmp_path: Path, fault: str) -> None:
    """The mailbox rests; then one message goes first, then all."""
    clock = LoopClock(speed=HOUR)  # the longest rest is a day
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        armed = simulator.faults.add(Fault.named(fault, times=2))
        settings = settings_for(simulator, tmp_path, messages_per_minute=100_000)
        async with open_harness(simulator, settings, clock) as harness:
            ids = [await harness.post() for _ in range(12)]
            emails = [await harness.until(id, "done") for id in ids]
        assert armed.fired == 2
        assert {email["last_event"] for email in emails} == {"sent"}
        assert len(simulator.accepted) == 12


@autojump
async def test_an_operator_holds_and_releases_a_mailbox(tmp_path: Path) -> None:
    """Held: nothing is sent, also after a restart; released: everything is."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path, messages_per_minute=100_000)
        async with open_harness(simulator, settings, clock) as harness:
            assert await harness.postern.store.request_hold(MAILBOX, HoldRequest(1.0, hold=True, reason="audit"))
            await until_health(harness, Health.HELD)
            id = await harness.post()
        async with open_harness(simulator, settings, clock) as harness:
            assert harness.mailbox.condition.health is Health.HELD
            assert simulator.messages == []
            assert await harness.postern.store.request_hold(MAILBOX, HoldRequest(2.0, hold=False))
            await harness.until(id, "done")
        assert len(simulator.accepted) == 1


def test_the_accounts_password_is_accepted() -> None:
    """The wrong account of these tests refuses the right password."""
    assert not WRONG.accepts_password(PASSWORD)
