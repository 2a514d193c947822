"""Payloads of an email's events, and their signatures (api.md §7, W1 to W4)."""

import base64
import hmac
import json
from uuid import uuid4

import pytest
import standardwebhooks

from app.mail.lifecycle import MessageState, RecipientState
from app.mail.outcome.verdict import Explanation
from app.mail.webhook.payload import EmailSnapshot, email_event
from app.mail.webhook.rules import EventType
from app.simulator import Fault, Point, Say
from app.store.mailboxes.records import HoldRequest
from tests.clock import JumpingClock, advance, autojump
from tests.harness import EMAIL, MAILBOX, Harness
from tests.webhooks.conftest import Open
from tests.webhooks.listen import ask, listen, verify
from tests.webhooks.receiver import Got, Receiver, Reply


async def request_hold(harness: Harness, *, hold: bool) -> None:
    """Hold or release the mailbox, and wait until its relay has applied it."""
    await harness.postern.store.request_hold(MAILBOX, HoldRequest(harness.postern.clock.now(), hold))
    await harness.until_health("held" if hold else "open")


@autojump
async def test_w1_both_sets_of_headers_are_valid(new_harness: Open) -> None:
    """Verified by standardwebhooks, svix and resend; a changed byte or another secret is not."""
    async with new_harness() as harness, Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post(subject="Grüße")
        await receiver.until(lambda: bool(receiver.taken))
        (got,) = receiver.taken
        verify(got, made["signing_secret"])
        assert "." not in got.id
        assert got.headers["content-type"] == "application/json"
        assert got.path == "/hook?from=postern"
        assert got.headers["host"] == f"localhost:{receiver.port}"
        with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
            standardwebhooks.Webhook(made["signing_secret"]).verify(got.body + b" ", got.headers)
        with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
            standardwebhooks.Webhook("whsec_" + "A" * 32).verify(got.body, got.headers)


@autojump
async def test_w2_a_retry_has_its_id_and_a_new_signature(new_harness: Open) -> None:
    """Its body is byte-identical (W4)."""
    async with new_harness() as harness, Receiver() as receiver:
        answers = iter([500, 503, 200])
        receiver.answer = lambda _: Reply(next(answers))
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post()
        await receiver.until(lambda: bool(receiver.taken), 1000)
        first, second, third = receiver.got
        assert first.id == second.id == third.id
        assert first.body == second.body == third.body
        stamps = [int(got.headers["webhook-timestamp"]) for got in receiver.got]
        assert 3 <= stamps[1] - stamps[0] <= 8  # 5 s, some jitter, and the second between two polls
        assert 230 <= stamps[2] - stamps[1] <= 365  # 5 min
        assert len({got.headers["webhook-signature"] for got in receiver.got}) == 3
        verify(first, made["signing_secret"])


@autojump
async def test_w3_both_secrets_sign_during_a_rotation(new_harness: Open) -> None:
    """For a day; then only the new one."""
    clock = JumpingClock()
    async with new_harness(clock) as harness, Receiver() as receiver:
        made = await listen(harness, receiver.url, "email.sent")
        new = await ask(harness, "POST", f"/webhooks/{made['id']}/signing-secret/rotate")
        assert new["signing_secret"] != made["signing_secret"]
        assert (await ask(harness, "GET", f"/webhooks/{made['id']}"))["signing_secret"] == new["signing_secret"]
        await harness.post()
        await receiver.until(lambda: bool(receiver.taken))
        (got,) = receiver.taken
        assert [part[:3] for part in got.headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
        verify(got, made["signing_secret"])
        verify(got, new["signing_secret"])
        clock.jump(86_400)
        await harness.post()
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.taken[1].headers["webhook-signature"].count("v1,") == 1


@autojump
async def test_a_payload_has_resends_members_and_those_of_the_relay(new_harness: Open) -> None:
    """The complete payload of email.sent."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url, "email.sent")
        tags, headers = [{"name": "kind", "value": "welcome"}], {"X-Ref": "7"}
        id = await harness.post(tags=tags, headers=headers, to=["Ada <ada@example.net>", "bob@example.net"])
        await receiver.until(lambda: bool(receiver.taken))
        event = receiver.taken[0].event
        assert set(event) == {"type", "created_at", "timestamp", "data"}
        assert event["type"] == "email.sent"
        assert event["created_at"] == event["timestamp"]
        data = event["data"]
        assert data["email_id"] == str(id)
        assert data["message_id"] == (await harness.email(id))["message_id"]
        assert data["from"] == MAILBOX
        assert data["to"] == ["Ada <ada@example.net>", "bob@example.net"]
        assert data["subject"] == "Hello"
        assert data["tags"] == {"kind": "welcome"}
        assert data["headers"] == [{"name": "X-Ref", "value": "7"}]
        assert data["relay"]["state"] == "done"
        assert data["relay"]["mailbox"] == MAILBOX
        assert [one["state"] for one in data["relay"]["recipients"]] == ["relayed", "relayed"]
        assert "failed" not in data
        assert EMAIL["text"].strip() not in receiver.taken[0].body.decode()


@autojump
async def test_a_payload_is_below_20_kb(new_harness: Open) -> None:
    """Long lists are shortened; the JSON is valid."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url, "email.sent")
        to = [f"{'ä' * 200} <{'a' * 60}{n}@{'example.' * 20}net>" for n in range(50)]
        tags = [{"name": f"{'n' * 200}{n}", "value": "v" * 250} for n in range(100)]
        await harness.post(to=to, tags=tags, subject="\N{PILE OF POO}" * 5000, headers={"X-Long": "h" * 5000})
        await receiver.until(lambda: bool(receiver.taken))
        assert 10_000 < len(receiver.taken[0].body) < 20_000
        assert receiver.taken[0].event["data"]["to"]


@autojump
async def test_scheduled_then_canceled(new_harness: Open) -> None:
    """In this order, and never sent."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url)
        id = await harness.post(scheduled_at="in 1 hour")
        assert await harness.postern.store.cancel(id, harness.postern.clock.now())
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types[str(id)] == ["email.scheduled", "email.canceled"]
        scheduled = receiver.taken[0].event["data"]
        assert scheduled["scheduled_at"] == (await harness.email(id))["scheduled_at"]
        assert scheduled["relay"]["explanation"]["summary"].startswith("It is scheduled for 20")


@autojump
async def test_a_coalesced_email_emits_canceled(new_harness: Open) -> None:
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url, "email.canceled", "email.sent")
        await request_hold(harness, hold=True)
        older = await harness.post(coalesce="code")
        newer = await harness.post(coalesce="code")
        await request_hold(harness, hold=False)
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert receiver.types == {str(older): ["email.canceled"], str(newer): ["email.sent"]}
        assert "newer email" in receiver.taken[0].event["data"]["relay"]["explanation"]["summary"]


@autojump
async def test_a_delay_is_reported_once_with_its_cause(new_harness: Open) -> None:
    """After an hour; then the outcome. The mailbox's hold and release are events, too."""
    clock = JumpingClock()
    async with new_harness(clock) as harness, Receiver() as receiver:
        await listen(harness, receiver.url)
        await request_hold(harness, hold=True)
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert receiver.taken[0].event["type"] == "mailbox.held"
        assert receiver.taken[0].event["data"]["mailbox"] == MAILBOX
        id = await harness.post()
        clock.jump(3590)
        await clock.advance(5)
        assert len(receiver.taken) == 1
        await receiver.until(lambda: len(receiver.taken) == 2, 10)
        delayed = receiver.taken[1]
        assert delayed.event["type"] == "email.delivery_delayed"
        assert MAILBOX in delayed.event["data"]["relay"]["explanation"]["summary"]
        assert "postern mailboxes release" in delayed.event["data"]["relay"]["explanation"]["fix"]
        clock.jump(3 * 3600)
        await clock.advance(5)
        await request_hold(harness, hold=False)
        await harness.until(id, "done")
        await receiver.until(lambda: len(receiver.taken) == 4)
        types = [got.event["type"] for got in receiver.taken[2:]]
        assert sorted(types) == ["email.sent", "mailbox.released"]


@autojump
async def test_a_failure_has_its_reason(new_harness: Open) -> None:
    """The refusing reply, or its expiry."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url, "email.failed")
        gone = Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="gone@example.net")
        harness.simulator.faults.add(gone)
        refused = await harness.post(to="gone@example.net")
        await receiver.until(lambda: len(receiver.taken) == 1)
        await request_hold(harness, hold=True)
        late = await harness.post(expires_in=60)
        await receiver.until(lambda: len(receiver.taken) == 2, 200)
        reasons = {got.email: got.event["data"]["failed"]["reason"] for got in receiver.taken}
        assert reasons[str(refused)].startswith("550 5.1.1")
        assert reasons[str(late)] == "expired"


@autojump
async def test_only_subscribed_types_are_sent(new_harness: Open) -> None:
    """Types that are never emitted may be subscribed, too."""
    async with new_harness() as harness, Receiver() as one, Receiver() as other:
        made = await listen(harness, one.url, "email.scheduled", "email.delivered")
        assert (await ask(harness, "GET", f"/webhooks/{made['id']}"))["never_sent"] == ["email.delivered"]
        await listen(harness, other.url, "email.sent")
        await harness.post()
        id = await harness.post(scheduled_at="in 1 hour")
        await one.until(lambda: bool(one.taken))
        await other.until(lambda: bool(other.taken))
        await advance(10)
        assert one.types == {str(id): ["email.scheduled"]}
        assert [got.event["type"] for got in other.taken] == ["email.sent"]


@autojump
async def test_a_credential_expiry_is_reported_once_over_restarts(new_harness: Open) -> None:
    """A password expires with Basic authentication."""
    async with new_harness() as harness, Receiver() as receiver:
        await listen(harness, receiver.url, EventType.CREDENTIAL_EXPIRING)
        watching: list[Got] = receiver.taken
    async with receiver:
        for _ in range(2):
            async with new_harness():
                await advance(10)
        assert [got.event["data"]["mailbox"] for got in watching] == [MAILBOX]
        assert watching[0].event["data"]["expires_at"].startswith("2026-12-31")


def test_a_lone_surrogate_does_not_prevent_an_event() -> None:
    """Nor the settlement."""
    odd = "half \ud800 a pair"
    facts = EmailSnapshot(
        *(uuid4(), "1@contoso.com", MessageState.DONE, 0.0, None, odd, [odd], odd, [], [(odd, odd)]),
        *(MAILBOX, 1, False, [(odd, RecipientState.FAILED, odd)], Explanation(odd, odd)),
    )
    payload = email_event(EventType.FAILED, 0.0, facts).payload
    assert json.loads(payload.encode())["data"]["failed"]["reason"] == "half ? a pair"


@autojump
async def test_w4_the_signed_bytes_are_those_sent(new_harness: Open) -> None:
    """Computed independently at every attempt: id, time and body, joined by points."""
    async with new_harness() as harness, Receiver() as receiver:
        replies = iter([Reply(500)])
        receiver.answer = lambda _: next(replies, Reply())
        made = await listen(harness, receiver.url, "email.sent")
        await harness.post(subject="Grüße \u2028 </script> \\u00fc 🏰")
        await receiver.until(lambda: bool(receiver.taken))
        assert len({got.body for got in receiver.got}) == 1
        assert len(receiver.got) == 2
        key = base64.b64decode(made["signing_secret"].removeprefix("whsec_"))
        for got in receiver.got:
            signed = b"%s.%s.%s" % (got.id.encode(), got.headers["webhook-timestamp"].encode(), got.body)
            right = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
            assert got.headers["webhook-signature"] == got.headers["svix-signature"] == right
            assert int(got.headers["content-length"]) == len(got.body)
