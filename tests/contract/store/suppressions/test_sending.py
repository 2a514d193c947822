"""Suppressed recipients of accepted messages: their state, the message's end, and the events in the same commit."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

from app.mail.key_policy import Policy
from app.mail.lifecycle import LastEvent, MessageState, RecipientState
from app.mail.message.message import Lane
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.suppression import Origin
from app.mail.webhook.rules import EventType
from app.store import Store
from app.store.keys.audit import Actor
from app.store.keys.records import Key, Permission
from app.store.queue.accept import Accepted
from app.store.read.last_event import last_event
from app.store.read.records import Selection
from app.store.suppressions.records import Additions, Removals
from app.store.webhooks.records import Secret, Webhook
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    NOW,
    REFUSED,
    RELAYED,
    accept,
    acceptance,
    claim,
    claim_one,
    once,
    settle,
)

ACTOR = Actor("tests")
GONE, THERE = "Gone@example.com", "there@example.com"


async def suppress(store: Store, *addresses: str, origin: Origin = Origin.MANUAL) -> None:
    """Add to the list."""
    await store.add_suppressions(Additions(addresses or (GONE.lower(),), origin, NOW, ACTOR))


async def states(store: Store, id: UUID) -> tuple[MessageState, list[RecipientState], LastEvent]:
    """Return the states of a message and its recipients, and its last event."""
    email = await store.get(id)
    assert email is not None
    return email.state, [one.state for one in email.recipients], last_event(email, NOW)


async def payloads(store: Store, webhook: UUID) -> list[Any]:
    """Return its events in order."""
    return [json.loads(one.payload) for one in await store.deliveries(webhook, None, 100)][::-1]


async def listen(store: Store) -> UUID:
    """Create a webhook for every type."""
    webhook = Webhook(uuid4(), "https://example.com/", tuple(EventType), NOW, (Secret("whsec_AAAA"),))
    await store.create_webhook(webhook)
    return webhook.id


async def test_only_the_others_are_attempted(store: Store) -> None:
    """The address is compared in any case. With all others relayed the email is sent."""
    await suppress(store)
    asked = acceptance(GONE, THERE)
    accepted = await store.accept([asked])
    assert isinstance(accepted, Accepted)
    assert {id: [one.origin for one in found] for id, found in accepted.suppressed.items()} == {
        asked.id: [Origin.MANUAL]
    }
    claimed = await claim_one(store)
    assert claimed.envelope.rcpt_to == (THERE,)
    await settle(store, claimed, RELAYED)
    suppressed, relayed = RecipientState.SUPPRESSED, RecipientState.RELAYED
    assert await states(store, asked.id) == (MessageState.DONE, [suppressed, relayed], LastEvent.SENT)


async def test_a_failed_recipient_beside_a_suppressed_one(store: Store) -> None:
    """The email has failed; a retry attempts the failed recipient alone."""
    await suppress(store)
    (id,) = await accept(store, acceptance(GONE, THERE))
    await settle(store, await claim_one(store), REFUSED)
    assert (await states(store, id))[2] is LastEvent.FAILED
    await store.retry(id, NOW)
    assert await store.still_suppressed([id], NOW) == {id: [GONE]}
    assert (await claim_one(store)).envelope.rcpt_to == (THERE,)


async def test_recipients_that_a_retry_does_not_reach(store: Store) -> None:
    """Those that were suppressed when the email was accepted, and those that are now; an email without has none."""
    await suppress(store)
    ids = await accept(store, acceptance(GONE, THERE, "new@example.com"), acceptance("other@example.com"))
    for claimed in await claim(store):
        await settle(store, claimed, REFUSED)
    await suppress(store, "new@example.com")
    assert await store.still_suppressed(ids, NOW) == {ids[0]: [GONE]}
    for id in ids:
        await store.retry(id, NOW)
    assert await store.still_suppressed(ids, NOW) == {ids[0]: [GONE, "new@example.com"]}
    assert {claimed.envelope.rcpt_to for claimed in await claim(store)} == {(THERE,), ("other@example.com",)}
    assert await store.still_suppressed(ids, NOW) == {ids[0]: [GONE, "new@example.com"]}


async def test_an_email_with_suppressed_recipients_alone_has_failed(store: Store) -> None:
    """In the commit of its acceptance. It is never claimed, retried or cancelled."""
    await suppress(store, GONE.lower(), THERE)
    (id,) = await accept(store, acceptance(GONE, THERE))
    assert await states(store, id) == (MessageState.DONE, [RecipientState.SUPPRESSED] * 2, LastEvent.FAILED)
    assert await claim(store) == []
    for change in (await store.retry(id, NOW), await store.cancel(id, NOW)):
        assert change is not None
        assert not change.applied


async def test_failed_emails_are_listed_once(store: Store) -> None:
    """Those with a failed or with suppressed recipients alone; a sent one with a suppressed recipient is not."""
    await suppress(store, GONE.lower(), "two@example.com")
    none, some, failed = await accept(
        store, acceptance(GONE, "two@example.com"), acceptance(GONE, THERE), acceptance(GONE, "third@example.com")
    )
    for claimed, attempt in zip(await claim(store), (RELAYED, REFUSED), strict=True):
        await settle(store, claimed, attempt)
    page = await store.list_emails(Selection(last_event=LastEvent.FAILED), 20, NOW)
    assert [email.id for email in page.emails] == [failed, none]
    page = await store.list_emails(Selection(last_event=LastEvent.SENT), 20, NOW)
    assert [email.id for email in page.emails] == [some]
    page = await store.list_emails(Selection(recipient=GONE.lower()), 20, NOW)
    assert [email.id for email in page.emails] == [failed, some, none]


async def test_each_suppressed_recipient_is_one_event(store: Store) -> None:
    """With that recipient in `to`, and Resend's members; the end of the email follows."""
    webhook = await listen(store)
    await suppress(store, GONE.lower())
    await suppress(store, "angry@example.com", origin=Origin.COMPLAINT)
    await accept(store, acceptance(GONE, THERE, "angry@example.com"))
    await settle(store, await claim_one(store), RELAYED)
    first, second, sent = await payloads(store, webhook)
    assert [one["type"] for one in (first, second, sent)] == ["email.suppressed", "email.suppressed", "email.sent"]
    assert (first["data"]["to"], second["data"]["to"]) == ([GONE], ["angry@example.com"])
    assert first["data"]["suppressed"] == {
        "reason": "previous_complaint",
        "type": "OnAccountSuppressionList",
        "message": "The address is on the suppression list since 2027-01-15T08:00:00.000Z (manual).",
        "diagnosticCode": [],
        "origin": "manual",
    }
    assert second["data"]["suppressed"]["origin"] == "complaint"
    assert [one["state"] for one in first["data"]["relay"]["recipients"]] == ["suppressed", "pending", "suppressed"]
    assert sent["data"]["to"] == [GONE, THERE, "angry@example.com"]


async def test_the_end_of_an_email_with_suppressed_recipients_alone_is_an_event(store: Store) -> None:
    """`failed` with the reason `suppressed`, after the recipients' own."""
    webhook = await listen(store)
    await suppress(store)
    await accept(store, acceptance(GONE))
    suppressed, failed = await payloads(store, webhook)
    assert (suppressed["type"], failed["type"]) == ("email.suppressed", "email.failed")
    assert failed["data"]["failed"] == {"reason": "suppressed"}
    assert "suppression list" in failed["data"]["relay"]["explanation"]["summary"]


async def test_a_removed_or_expired_entry_suppresses_nothing(store: Store) -> None:
    """From the next acceptance on."""
    await suppress(store)
    await store.remove_suppressions(Removals(NOW, ACTOR, addresses=(GONE.lower(),)))
    await accept(store, acceptance(GONE))
    assert (await claim_one(store)).envelope.rcpt_to == (GONE,)


async def test_an_exempt_message_and_a_sunk_one_are_not_checked(store: Store) -> None:
    """The key's policy decides."""
    await suppress(store)
    exempt, discarded = await accept(store, acceptance(GONE, ignores_suppressions=True), acceptance(GONE, to_sink=True))
    assert (await states(store, exempt))[1] == [RecipientState.PENDING]
    assert (await states(store, discarded))[0] is MessageState.CANCELLED


async def test_messages_of_one_group_are_checked_each_for_itself(store: Store) -> None:
    """More recipients than one statement has, and one message without a suppressed one."""
    many = [f"n{number}@example.com" for number in range(120)]
    await suppress(store, *many[::2])
    ids = [acceptance(*asked) for asked in (many[:50], many[50:100], many[100:], [THERE])]
    await asyncio.gather(*(store.accept([one]) for one in ids))
    for one in ids[:3]:
        pending = RecipientState.PENDING
        found = await states(store, one.id)
        assert found[1] == [RecipientState.SUPPRESSED, pending] * (len(one.message.envelope.rcpt_to) // 2)
    assert (await states(store, ids[3].id))[1] == [RecipientState.PENDING]


async def test_another_process_knows_the_first_entry_at_once(store_url: str) -> None:
    """Nothing is cached."""
    one, other = await Store.open(store_url), await Store.open(store_url)
    await accept(other, acceptance(GONE))
    await suppress(one)
    (id,) = await accept(other, acceptance(GONE))
    assert (await states(other, id))[0] is MessageState.DONE
    for store in (one, other):
        await store.close()


async def test_a_replay_is_not_checked_again(store: Store) -> None:
    """It returns the first answer's id. The email itself is checked when it is claimed."""
    asked = acceptance(GONE)
    await store.accept([asked], once())
    await suppress(store)
    again = await store.accept([acceptance(GONE)], once())
    assert isinstance(again, Accepted)
    assert (again.ids, again.replayed, dict(again.suppressed)) == ((asked.id,), True, {})
    assert await claim(store) == []


async def test_a_deferred_email_ends_as_before(store: Store) -> None:
    """Its expiry fails the pending recipient, not the suppressed one."""
    await suppress(store)
    (id,) = await accept(store, acceptance(GONE, THERE, expires_at=NOW + 10))
    await settle(store, await claim_one(store), DEFERRED)
    await store.expire(NOW + 20)
    assert (await states(store, id))[1] == [RecipientState.SUPPRESSED, RecipientState.FAILED]


async def test_an_address_that_was_suppressed_while_its_email_waited(store: Store) -> None:
    """It is left out of the claim, with its event; the email goes to the others."""
    webhook = await listen(store)
    (id,) = await accept(store, acceptance(GONE, THERE))
    await suppress(store)
    claimed = await claim_one(store)
    assert claimed.envelope.rcpt_to == (THERE,)
    await settle(store, claimed, RELAYED)
    suppressed, relayed = RecipientState.SUPPRESSED, RecipientState.RELAYED
    assert await states(store, id) == (MessageState.DONE, [suppressed, relayed], LastEvent.SENT)
    first, sent = await payloads(store, webhook)
    assert (first["type"], first["data"]["to"], sent["type"]) == ("email.suppressed", [GONE], "email.sent")


async def test_an_email_whose_recipients_were_all_suppressed_while_it_waited(store: Store) -> None:
    """It fails when it is claimed, and the next one is claimed in its place."""
    webhook = await listen(store)
    (gone,), (there,) = await accept(store, acceptance(GONE)), await accept(store, acceptance(THERE))
    await suppress(store)
    assert [one.id for one in await claim(store, 1)] == [there]
    assert await states(store, gone) == (MessageState.DONE, [RecipientState.SUPPRESSED], LastEvent.FAILED)
    suppressed, failed = await payloads(store, webhook)
    assert (suppressed["type"], failed["type"]) == ("email.suppressed", "email.failed")
    assert failed["data"]["failed"] == {"reason": "suppressed"}


async def test_a_deferred_recipient_that_was_suppressed_ends_its_email(store: Store) -> None:
    """The others decide its last event."""
    webhook = await listen(store)
    (id,) = await accept(store, acceptance(GONE, THERE))
    partly = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused={GONE: Reply.of(450, ["4.2.1 Not now"])})
    await settle(store, await claim_one(store), partly)
    await suppress(store)
    assert await claim(store, now=NOW + DAY) == []
    suppressed, relayed = RecipientState.SUPPRESSED, RecipientState.RELAYED
    assert await states(store, id) == (MessageState.DONE, [suppressed, relayed], LastEvent.SENT)
    assert [one["type"] for one in await payloads(store, webhook)] == ["email.suppressed", "email.sent"]


async def test_the_exemption_of_a_key_counts_at_the_claim_too(store: Store) -> None:
    """In its lane alone."""
    policy = Policy(ignore_suppressions=(Lane.URGENT,))
    await store.create_key(Key(KEY, "codes", Permission.SENDING_ACCESS, NOW, policy), b"digest", ACTOR)
    exempt, other = acceptance(GONE, lane=Lane.URGENT), acceptance(GONE, lane=Lane.NORMAL)
    await accept(store, exempt, other)
    await suppress(store)
    assert [one.id for one in await claim(store)] == [exempt.id]
    assert (await states(store, other.id))[1] == [RecipientState.SUPPRESSED]
