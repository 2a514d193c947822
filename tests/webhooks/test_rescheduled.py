"""Rescheduled emails: events, and delays from the new time."""

from datetime import datetime

from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from tests.clock import JumpingClock, autojump
from tests.webhooks.conftest import Open
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver


@autojump
async def test_a_reschedule_emits_scheduled_again(new_harness: Open) -> None:
    """The last one counts."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url)
        id = await harness.post(scheduled_at="in 1 hour")
        assert (await harness.caller.patch(f"/emails/{id}", json={"scheduled_at": "in 2 hours"})).status_code == 200
        moved = (await harness.email(id))["scheduled_at"]
        assert (await harness.caller.post(f"/emails/{id}/cancel")).status_code == 200
        await receiver.until(lambda: len(receiver.taken) == 3)
        assert receiver.types[str(id)] == ["email.scheduled", "email.scheduled", "email.canceled"]
        assert receiver.taken[1].event["data"]["scheduled_at"] == moved


@autojump
async def test_a_reschedule_to_now_emits_only_sent(new_harness: Open) -> None:
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url)
        id = await harness.post(scheduled_at="in 1 hour")
        assert (await harness.caller.patch(f"/emails/{id}", json={"scheduled_at": "2020-01-01"})).status_code == 200
        await harness.until(id, "done")
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types[str(id)] == ["email.scheduled", "email.sent"]


@autojump
async def test_a_delay_is_counted_from_the_new_time(new_harness: Open) -> None:
    """And reported once."""
    clock = JumpingClock()
    async with new_harness(clock) as harness, Receiver() as receiver:
        await listen(harness, receiver.url, "email.delivery_delayed", "email.canceled")
        await harness.postern.coordinator.stop(1.0)
        id = await harness.post(scheduled_at="in 3 hours")
        assert (await harness.caller.patch(f"/emails/{id}", json={"scheduled_at": "in 1 hour"})).status_code == 200
        due = datetime.fromisoformat((await harness.email(id))["scheduled_at"]).timestamp()
        clock.jump(due + DELAY_NOTICE_AFTER + 1 - clock.now())
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert datetime.fromisoformat(receiver.taken[0].event["created_at"]).timestamp() < due + DELAY_NOTICE_AFTER + 60
        clock.jump(3 * DELAY_NOTICE_AFTER)
        await clock.advance(60)
        assert await harness.postern.store.cancel(id, clock.now())
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types[str(id)] == ["email.delivery_delayed", "email.canceled"]
