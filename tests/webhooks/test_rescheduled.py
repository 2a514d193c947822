"""Another time for a scheduled email: what the webhooks hear of it, and that a delay is counted from the new one."""

from datetime import datetime

from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from tests.clock import JumpingClock, autojump
from tests.webhooks.conftest import Open
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver


@autojump
async def test_another_time_is_told(open_house: Open) -> None:
    """The schedule that counts is the last one told."""
    async with open_house() as at_home, Receiver() as receiver:
        await listen(at_home, receiver.url)
        id = await at_home.post(scheduled_at="in 1 hour")
        assert (await at_home.caller.patch(f"/emails/{id}", json={"scheduled_at": "in 2 hours"})).status_code == 200
        moved = (await at_home.email(id))["scheduled_at"]
        assert (await at_home.caller.post(f"/emails/{id}/cancel")).status_code == 200
        await receiver.until(lambda: len(receiver.taken) == 3)
        assert receiver.types[str(id)] == ["email.scheduled", "email.scheduled", "email.canceled"]
        assert receiver.taken[1].event["data"]["scheduled_at"] == moved


@autojump
async def test_sent_at_once_it_is_only_sent(open_house: Open) -> None:
    """Its time is not ahead any more; and it goes without waiting for the old one."""
    async with open_house() as at_home, Receiver() as receiver:
        await listen(at_home, receiver.url)
        id = await at_home.post(scheduled_at="in 1 hour")
        assert (await at_home.caller.patch(f"/emails/{id}", json={"scheduled_at": "2020-01-01"})).status_code == 200
        await at_home.until(id, "done")
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types[str(id)] == ["email.scheduled", "email.sent"]


@autojump
async def test_a_delay_is_counted_from_the_new_time(open_house: Open) -> None:
    """And told once."""
    clock = JumpingClock()
    async with open_house(clock) as at_home, Receiver() as receiver:
        await listen(at_home, receiver.url, "email.delivery_delayed", "email.canceled")
        await at_home.postern.coordinator.stop(1.0)
        id = await at_home.post(scheduled_at="in 3 hours")
        assert (await at_home.caller.patch(f"/emails/{id}", json={"scheduled_at": "in 1 hour"})).status_code == 200
        due = datetime.fromisoformat((await at_home.email(id))["scheduled_at"]).timestamp()
        clock.jump(due + DELAY_NOTICE_AFTER + 1 - clock.now())
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert datetime.fromisoformat(receiver.taken[0].event["created_at"]).timestamp() < due + DELAY_NOTICE_AFTER + 60
        clock.jump(3 * DELAY_NOTICE_AFTER)
        await clock.sleep(60)
        assert await at_home.postern.store.cancel(id, clock.now())
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types[str(id)] == ["email.delivery_delayed", "email.canceled"]
