"""At-least-once delivery in order under every receiver fault (api.md §6 and §7, W2 and W5)."""

import asyncio
from uuid import uuid4

import pytest

from app.mail.webhook.rules import RETRY_DELAYS
from app.store.webhooks.records import Secret, Webhook
from tests.clock import JumpingClock, LoopClock, advance, autojump
from tests.harness import Harness
from tests.waiting import until
from tests.webhooks.conftest import Open
from tests.webhooks.listen import ask, events_of, listen, settled, statuses, verify
from tests.webhooks.receiver import Got, Receiver, Reply

EMAILS = 500  # each is scheduled and then sent: a thousand events


@autojump
async def test_a_thousand_events_while_the_receiver_is_killed_and_started_again(new_harness: Open) -> None:
    """Every event arrives at least once, in order per email, and each is verified by three packages."""
    clock = LoopClock()
    async with new_harness(clock) as harness, Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.scheduled", "email.sent")
        posting = asyncio.create_task(post_all(harness))
        for taken in (200, 400):  # it stops in the middle of its work, and starts again
            await receiver.until(lambda taken=taken: len(receiver.taken) >= taken)  # type: ignore[misc] # a default
            await receiver.kill()
            await clock.advance(2)
            await receiver.start()
        emails = await posting
        await receiver.until(lambda: len(ids(receiver.taken)) == 2 * EMAILS, 200)
        assert set(receiver.types) == emails
        for types in receiver.types.values():
            assert list(dict.fromkeys(types)) == ["email.scheduled", "email.sent"]
        for got in receiver.got:
            verify(got, made["signing_secret"])
        await statuses(harness, made["id"], success=100)
        print(f"events: {len(ids(receiver.taken))}, posts: {len(receiver.got)}")


async def post_all(harness: Harness) -> set[str]:
    """Post from many concurrent callers; return the ids."""
    gate = asyncio.Semaphore(16)

    async def post() -> str:
        async with gate:
            return str(await harness.post(scheduled_at="in 1 second"))

    return set(await asyncio.gather(*(post() for _ in range(EMAILS))))


def ids(got: list[Got]) -> set[str]:
    """Return the ids of the events."""
    return {one.id for one in got}


@autojump
async def test_an_event_waits_for_the_earlier_one_of_its_email(new_harness: Open) -> None:
    """Other emails do not wait."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url)
        id = await harness.post(scheduled_at="in 2 seconds")
        stuck = str(id)
        receiver.answer = lambda got: Reply(500 if got.email == stuck else 200)
        other = str(await harness.post())
        await receiver.until(lambda: other in receiver.types)
        await harness.until(id, "done")
        await advance(60)
        assert {got.event["type"] for got in receiver.got if got.email == stuck} == {"email.scheduled"}
        receiver.answer = lambda _: Reply()
        await receiver.until(lambda: len(receiver.types[stuck]) == 2, 400)
        assert receiver.types[stuck] == ["email.scheduled", "email.sent"]


@autojump
async def test_an_event_fails_after_ten_attempts_and_can_be_replayed(new_harness: Open) -> None:
    """By the schedule; the next one is then sent. A replay has the same id."""
    clock = JumpingClock()
    async with new_harness(clock) as harness, Receiver(lambda _: Reply(500, body="I am \0broken")) as receiver:
        made = await listen(harness, receiver.url, "email.scheduled", "email.canceled")
        id = await harness.post(scheduled_at="in 6 days")
        await receiver.until(lambda: len(receiver.got) == 1)
        assert await harness.postern.store.cancel(id, clock.now())
        path = f"/webhooks/{made['id']}"
        for tries, seconds in enumerate(RETRY_DELAYS[1:], start=1):
            await settled(harness, made["id"], receiver.got[0].id, tries)
            if seconds > 60:
                clock.jump(0.79 * seconds - 4)  # the jitter is a fifth
                await clock.advance(2)
                assert len(receiver.got) == tries
                clock.jump(0.42 * seconds)
            await receiver.until(lambda tries=tries: len(receiver.got) == tries + 1)  # type: ignore[misc] # a default
        await receiver.until(lambda: len(receiver.got) == 11)
        assert len(ids(receiver.got[:10])) == 1
        await settled(harness, made["id"], receiver.got[10].id, 1)
        last, first = await events_of(harness, made["id"])
        assert (first["status"], last["status"]) == ("failed", "attempting")
        attempts = await settled(harness, made["id"], first["id"], 10)
        assert [one["http_status_code"] for one in attempts] == [500] * 10
        assert attempts[0]["response"] == "I am broken"
        receiver.answer = lambda _: Reply()
        replayed = await ask(harness, "POST", f"{path}/replay", since=first["created_at"])
        assert replayed["replayed"] == 1
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert receiver.taken[0].id == first["id"]
        assert receiver.taken[0].body == receiver.got[0].body


@autojump
async def test_one_event_can_be_replayed(new_harness: Open) -> None:
    """With the same id, also after a delivery."""
    async with new_harness() as harness, Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: len(receiver.taken) == 1)
        event = receiver.taken[0].id
        await statuses(harness, made["id"], success=1)  # one that is under way goes its way
        answer = await ask(harness, "POST", f"/webhooks/{made['id']}/events/{event}/replay")
        assert answer == {"object": "webhook_event", "id": event}
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert ids(receiver.taken) == {event}


@autojump
async def test_w5_410_disables_until_enabled_again(new_harness: Open) -> None:
    """Nothing is posted meanwhile; waiting events follow."""
    async with new_harness() as harness, Receiver(lambda _: Reply(410)) as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: len(receiver.got) == 1)
        await settled(harness, made["id"], receiver.got[0].id, 1)
        webhook = await ask(harness, "GET", f"/webhooks/{made['id']}")
        assert (webhook["status"], webhook["disabled_reason"]) == ("disabled", "It answered 410 Gone.")
        await harness.until(await harness.post(), "done")
        await advance(400)
        assert len(receiver.got) == 1
        receiver.answer = lambda _: Reply()
        await ask(harness, "PATCH", f"/webhooks/{made['id']}", status="enabled")
        await receiver.until(lambda: len(receiver.taken) == 1)
        webhook = await ask(harness, "GET", f"/webhooks/{made['id']}")
        assert (webhook["status"], webhook["disabled_reason"]) == ("enabled", None)
        await advance(10)
        assert ids(receiver.taken) == {receiver.got[0].id}  # what happened while it was disabled is not for it


@autojump
async def test_w5_a_redirect_is_not_followed(new_harness: Open) -> None:
    """It is a failed attempt."""
    async with new_harness() as harness, Receiver() as elsewhere, Receiver() as receiver:
        receiver.answer = lambda _: Reply(307, {"location": elsewhere.url})
        await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: len(receiver.got) == 2)
        assert elsewhere.connections == 0


@autojump
async def test_w5_a_private_address_is_refused_at_the_connection(new_harness: Open) -> None:
    """For any name. The reason is readable."""
    async with new_harness(webhook_private_addresses=False) as harness, Receiver() as receiver:
        made = await listen(harness, receiver.url.replace("http:", "https:"), "email.sent")
        await harness.until(await harness.post(), "done")
        (event,) = await statuses(harness, made["id"], attempting=1)
        (attempt, *_) = await settled(harness, made["id"], event["id"], 1)
        assert attempt["http_status_code"] == 0
        assert attempt["response"].startswith("localhost leads to ")
        assert "POSTERN_WEBHOOK_PRIVATE_ADDRESSES" in attempt["response"]
        assert receiver.connections == 0


@autojump
async def test_retry_after_delays_all_events_of_the_endpoint(new_harness: Open) -> None:
    """429 with Retry-After."""
    async with new_harness() as harness, Receiver() as receiver:
        answers = iter([Reply(429, {"retry-after": "120"})])
        receiver.answer = lambda _: next(answers, Reply())
        await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: len(receiver.got) == 1)
        await harness.post()
        await receiver.until(lambda: len(receiver.taken) == 2, 200)
        assert min(got.at for got in receiver.taken) - receiver.got[0].at >= 119


@pytest.mark.parametrize("header", ["Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -9999", "1e999", ","])
@autojump
async def test_an_invalid_retry_after_is_ignored(new_harness: Open, header: str) -> None:
    """The next attempt follows by the schedule."""
    async with new_harness() as harness, Receiver(lambda _: Reply(500, {"retry-after": header})) as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: len(receiver.got) == 2)
        attempts = await settled(harness, made["id"], receiver.got[0].id, 2)
        assert [one["http_status_code"] for one in attempts] == [500, 500]


@autojump
async def test_an_endpoint_without_a_valid_host_is_a_failed_attempt(new_harness: Open) -> None:
    """An earlier version may have stored it. A new one is refused."""
    async with new_harness() as harness:
        refused = await harness.caller.post("/webhooks", json={"endpoint": "https://a..b/", "events": ["email.sent"]})
        assert refused.status_code == 422
        assert "host name" in refused.json()["message"]
        made = Webhook(uuid4(), "https://a..b/hook", ("email.sent",), 0.0, (Secret("whsec_" + "A" * 32),))
        await harness.postern.store.create_webhook(made)
        await harness.post()
        (event,) = await statuses(harness, str(made.id), attempting=1)
        attempts = await settled(harness, str(made.id), event["id"], 2)
        assert {one["http_status_code"] for one in attempts} == {0}
        assert all("host name" in one["response"] for one in attempts)


@autojump
async def test_a_silent_receiver_times_out_after_15_seconds(new_harness: Open) -> None:
    """With at most eight concurrent events; other endpoints are not delayed."""
    async with new_harness() as harness, Receiver() as silent, Receiver() as other:
        silent.gate = asyncio.Event()
        made = await listen(harness, silent.url, "email.sent")
        await listen(harness, other.url, "email.sent")
        await asyncio.gather(*(harness.post() for _ in range(30)))
        await other.until(lambda: len(other.taken) == 30)
        assert silent.most_inside == 8
        listed = await statuses(harness, made["id"], attempting=8, pending=22)
        tried = next(event for event in listed if event["status"] == "attempting")
        (attempt, *_) = await settled(harness, made["id"], tried["id"], 1)
        assert attempt["response"] == "No answer within 15 seconds."
        silent.gate.set()
        silent.gate = None
        await silent.until(lambda: len(ids(silent.taken)) == 30, 1000)


@autojump
async def test_pending_events_are_delivered_after_a_restart(new_harness: Open) -> None:
    async with new_harness() as harness, Receiver() as receiver:
        await receiver.kill()
        await listen(harness, receiver.url, "email.sent")
        id = await harness.post()
        await harness.until(id, "done")
    async with receiver:
        async with new_harness():
            await receiver.until(lambda: bool(receiver.taken), 20)
        assert receiver.types == {str(id): ["email.sent"]}


@autojump
async def test_a_clock_set_ahead_repeats_no_attempt_under_way(new_harness: Open) -> None:
    """Its lease has expired, but its result counts. Later events follow it."""
    clock = JumpingClock()
    async with new_harness(clock) as harness, Receiver() as receiver:
        receiver.gate = asyncio.Event()
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await until(lambda: receiver.inside == 1 or None)
        clock.jump(3600)
        await harness.post()
        await clock.advance(10)
        assert receiver.inside == 1
        receiver.gate.set()
        await statuses(harness, made["id"], success=2)
        assert len(receiver.got) == 2
