"""The reader under faults: moved between replicas, away for hours, with a wrong clock, and throttled."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState
from app.mail.message.message import OnUnknown
from app.simulator.trace.throttle import LIMIT, WINDOW
from tests.clock import JumpingClock, autojump
from tests.contract.message_trace.lab import SCOPE, Lab, lab, running
from tests.contract.store.build import LOST, RELAYED, acceptance, claim, settle
from tests.states import count_states
from tests.waiting import until

HOUR = 3600.0
WAIT = 3600.0  # virtual seconds


async def delivered(here: Lab, ids: list[UUID]) -> bool:
    """Return whether every email has a report."""
    emails = [await here.store.get(id) for id in ids]
    return all(email and email.recipients[0].delivery for email in emails)


async def check(here: Lab, emails: list[tuple[UUID, str]], kind: str = "email.delivered") -> None:
    """Check that each email has this event exactly once, and that the budget was kept."""
    events = await here.events()
    assert {key: times for key, times in events.items() if key[0] == kind} == {(kind, str(id)): 1 for id, _ in emails}
    check_budget(here)


def check_budget(here: Lab) -> None:
    """Check that no five minutes had more requests than Microsoft allows, and none was refused for it."""
    times = [one.at for one in here.trace.requests]
    assert all(sum(at <= other < at + WINDOW for other in times) <= LIMIT for at in times)
    assert 429 not in {one.status for one in here.trace.requests}


@pytest.mark.timeout(500)
@autojump
async def test_a_thousand_unknown_outcomes_settle(tmp_path: Path) -> None:
    """Held emails that Exchange has are confirmed, the others are explained a day later; none is wrong."""
    async with lab(tmp_path) as here:
        emails = await here.relay(1000, LOST)
        taken, lost = emails[:750], emails[750:]
        for n, (_, message_id) in enumerate(taken):
            here.report(message_id, f"u{n}@example.net")
        async with running(here.reader()):

            async def confirmed() -> bool:
                return (await count_states(here.store))[MessageState.DONE] == len(taken)

            await until(confirmed, WAIT)
            here.clock.jump(25 * HOUR)

            async def explained() -> bool:
                email = await here.store.get(lost[-1][0])
                return bool(email and email.explanation and "has not seen" in email.explanation.summary)

            await until(explained, WAIT)
        for id, _ in taken:
            email = await here.store.get(id)
            assert email is not None
            assert (email.state, str(email.recipients[0].state)) == (MessageState.DONE, "relayed")
        for id, _ in lost:
            email = await here.store.get(id)
            assert email is not None
            assert email.state is MessageState.HELD
            assert email.explanation is not None
            assert "has not seen" in email.explanation.summary
        audit = await here.store.audit(None, 1000)
        confirmations = [one for one in audit if one.entry.action == "email.confirmed"]
        assert {one.entry.by.name for one in confirmations} == {"message trace"}
        assert {one.entry.subject for one in confirmations} == {str(id) for id, _ in taken}
        await check(here, taken)
        await check(here, taken, "email.sent")


@autojump
async def test_only_the_recipients_that_exchange_has_are_confirmed(tmp_path: Path) -> None:
    """A held email ends when Exchange has it for every recipient."""
    async with lab(tmp_path) as here:
        now = here.clock.now()
        facts = {"created_at": now, "due_at": now, "expires_at": now + 5 * 86_400}
        email = acceptance("a@example.net", "b@example.net", on_unknown=OnUnknown.HOLD, **facts)
        await here.store.accept([email])
        (claimed,) = await claim(here.store, 1, now)
        await settle(here.store, claimed, LOST, now)
        row = here.report(email.message.message_id, "a@example.net")
        async with running(here.reader()):

            async def states() -> list[str]:
                found = await here.store.get(email.id)
                assert found is not None
                return [str(found.state), *(str(one.state) for one in found.recipients)]

            async def half() -> bool:
                return await states() == ["held", "relayed", "pending"]

            await until(half, WAIT)
            here.report(email.message.message_id, "b@example.net", id=row.id)

            async def whole() -> bool:
                return await states() == ["done", "relayed", "relayed"]

            await until(whole, WAIT)


@autojump
async def test_away_for_six_hours(tmp_path: Path) -> None:
    """After an outage the gap is read, as far back as it was: nothing is lost."""
    async with lab(tmp_path) as here:
        emails = await here.relay(3, RELAYED)
        async with running(here.reader()):
            here.report(emails[0][1], "u0@example.net")
            await until(lambda: delivered(here, [emails[0][0]]), WAIT)
        here.report(emails[1][1], "u1@example.net")
        here.clock.jump(6 * HOUR)
        here.report(emails[2][1], "u2@example.net")
        here.trace.fail(503, times=4, retry_after=5)
        async with running(here.reader()):
            await until(lambda: delivered(here, [id for id, _ in emails]), WAIT)
        await check(here, emails)


@pytest.mark.parametrize("ahead", [6 * HOUR, -6 * HOUR, HOUR, -HOUR, 400.0])
def test_a_wrong_clock(tmp_path: Path, ahead: float) -> None:
    """With a clock that is hours wrong the ranges are still those of Microsoft's clock."""

    @autojump
    async def run() -> None:
        async with lab(tmp_path) as here:
            emails = await here.relay(2, RELAYED)
            wrong = JumpingClock(origin=here.clock.origin)
            wrong.jump(ahead)
            here.report(emails[0][1], "u0@example.net")
            async with running(here.reader(clock=wrong)):
                await until(lambda: delivered(here, [emails[0][0]]), WAIT)
                wrong.jump(-ahead)
                here.report(emails[1][1], "u1@example.net")
                await until(lambda: delivered(here, [emails[1][0]]), WAIT)
            await check(here, emails)
            # One range may be refused as in the future after a jump; its answer has the right time.
            assert [one.status for one in here.trace.requests].count(400) <= 1

    run()


@pytest.mark.timeout(500)
@autojump
async def test_bounces_beyond_the_budget(tmp_path: Path) -> None:
    """Each bounce needs a request for its cause; they wait for the budget, and each is reported once, with it."""
    async with lab(tmp_path) as here:
        emails = await here.relay(150, RELAYED)
        for n, (_, message_id) in enumerate(emails):
            here.report(message_id, f"u{n}@example.net", "failed")
        async with running(here.reader()):
            await until(lambda: sum(one.call == "details" for one in here.trace.requests) >= 150 or None, 10 * WAIT)
            await until(lambda: delivered(here, [id for id, _ in emails]), 10 * WAIT)
        found = [await here.store.get(id) for id, _ in emails]
        causes = [email.recipients[0].delivery for email in found if email]
        assert {cause and cause.cause.code for cause in causes} == {"5.1.1"}
        await check(here, emails, "email.bounced")


@autojump
async def test_throttled(tmp_path: Path) -> None:
    """429 is answered with a pause as long as it says, and the pass continues."""
    async with lab(tmp_path) as here:
        emails = await here.relay(1, RELAYED)
        here.report(emails[0][1], "u0@example.net")
        here.trace.fail(429, retry_after=200)
        async with running(here.reader()):
            await until(lambda: delivered(here, [emails[0][0]]), WAIT)
        first, second = here.trace.requests[:2]
        assert first.status == 429
        assert second.at - first.at >= 200


@autojump
async def test_without_permission(tmp_path: Path) -> None:
    """401 and 403 are no loss: after the permission is granted the rows are read."""
    async with lab(tmp_path) as here:
        emails = await here.relay(1, RELAYED)
        here.report(emails[0][1], "u0@example.net")
        here.trace.service_principal = False
        async with running(here.reader()):
            await until(lambda: len(here.trace.requests) >= 3 or None, WAIT)
            here.trace.service_principal, here.trace.permitted = True, False
            before = len(here.trace.requests)
            await until(lambda: len(here.trace.requests) > before or None, WAIT)
            here.trace.permitted = True
            await until(lambda: delivered(here, [emails[0][0]]), WAIT)
        assert {401, 403} <= {one.status for one in here.trace.requests}


@autojump
async def test_a_bounce_suppresses_its_address_alone(tmp_path: Path) -> None:
    """An address that does not exist is suppressed in the commit of its bounce; policy and other recipients are not."""
    async with lab(tmp_path) as here:
        emails = await here.relay(3, RELAYED)
        here.report(emails[0][1], "u0@example.net", "failed")
        here.report(emails[1][1], "u1@example.net", "failed", code="5.7.1", text="Not authorized")
        here.report(emails[2][1], "u2@example.net")
        async with running(here.reader()):
            await until(lambda: delivered(here, [id for id, _ in emails]), WAIT)
        found = [await here.store.suppression(f"u{n}@example.net", here.clock.now()) for n in range(3)]
        assert [one is not None for one in found] == [True, False, False]
        assert found[0] is not None
        assert found[0].source_id == emails[0][0]


@autojump
async def test_one_replica_reads(tmp_path: Path) -> None:
    """Of two readers one has the lease; after it was stopped, the other takes over."""
    async with lab(tmp_path) as here:
        emails = await here.relay(2, RELAYED)
        first, second = here.reader(), here.reader()
        first.start()
        here.report(emails[0][1], "u0@example.net")
        await until(lambda: delivered(here, [emails[0][0]]), WAIT)
        second.start()
        await first.stop()
        here.report(emails[1][1], "u1@example.net")
        await until(lambda: delivered(here, [emails[1][0]]), WAIT)
        await second.stop()
        await check(here, emails)


@autojump
async def test_away_for_weeks(tmp_path: Path) -> None:
    """A gap of more days than one request may ask for is read in parts."""
    async with lab(tmp_path) as here:
        emails = await here.relay(3, RELAYED)
        async with running(here.reader()):
            here.report(emails[0][1], "u0@example.net")
            await until(lambda: delivered(here, [emails[0][0]]), WAIT)
        here.report(emails[1][1], "u1@example.net")
        here.clock.jump(25 * 24 * HOUR)
        here.report(emails[2][1], "u2@example.net")
        async with running(here.reader()):
            await until(lambda: delivered(here, [id for id, _ in emails]), WAIT)
        await check(here, emails)


@autojump
async def test_a_first_pass_reads_back_to_the_oldest_unknown_outcome(tmp_path: Path) -> None:
    """An email that was held weeks before the trace was switched on is confirmed, or explained."""
    async with lab(tmp_path) as here:
        (taken, message_id), (lost, _) = await here.relay(2, LOST)
        here.report(message_id, "u0@example.net")
        here.clock.jump(25 * 24 * HOUR)
        async with running(here.reader()):

            async def explained() -> bool:
                email = await here.store.get(lost)
                return bool(email and email.explanation and "has not seen" in email.explanation.summary)

            await until(explained, WAIT)
        email = await here.store.get(taken)
        assert email is not None
        assert email.state is MessageState.DONE


@pytest.mark.parametrize("ahead", [30 * HOUR, -30 * HOUR])
def test_a_wrong_clock_makes_no_email_unseen(tmp_path: Path, ahead: float) -> None:
    """Microsoft's clock decides when an email with an unknown outcome should be in the trace."""

    @autojump
    async def run() -> None:
        async with lab(tmp_path) as here:
            ((id, message_id),) = await here.relay(1, LOST)
            wrong = JumpingClock(origin=here.clock.origin)
            wrong.jump(ahead)
            scope = replace(SCOPE, retry_unseen=SCOPE.pools)
            async with running(here.reader(clock=wrong, scope=scope)):
                requests = len(here.trace.requests)
                await until(lambda: len(here.trace.requests) > requests + 5 or None, WAIT)
                email = await here.store.get(id)
                assert email is not None
                assert email.state is MessageState.HELD
                here.report(message_id, "u0@example.net")
                await until(lambda: delivered(here, [id]), WAIT)

    run()
