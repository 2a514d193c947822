"""Addresses that bounce are suppressed in the commit that settles the attempt: only they, and only for such codes."""

import asyncio
from dataclasses import replace
from uuid import UUID

from app.mail import suppression
from app.mail.key_policy import Policy
from app.mail.lifecycle import RecipientState
from app.mail.message.message import Lane
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.suppression import BOUNCE_WINDOW, Evidence, Origin, SeenBy
from app.store import Store
from app.store.keys.audit import Actor
from app.store.keys.records import Key, Permission
from app.store.records import Claimed
from app.store.retention import RetentionCutoffs
from tests.contract.store.build import DAY, KEY, MAILBOX, NOW, accept, acceptance, claim, claim_one, evaluated

GONE, THERE = "Gone@example.com", "there@example.com"
ACCEPTED = Reply.of(250, ["2.0.0 OK"])
DEAD = Reply.of(550, ["5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"])
DISABLED = Reply.of(550, ["5.2.1 Mailbox disabled, not accepting messages"])
REFUSED = Reply.of(550, ["5.7.1 Delivery not authorized, message refused"])


def refused(address: str, reply: Reply = DEAD) -> Attempt:
    """Return an attempt in which one recipient was refused and the others were accepted."""
    return Attempt(Phase.DOT, ACCEPTED, refused={address: reply})


async def settle(store: Store, claimed: Claimed, attempt: Attempt, now: float = NOW) -> bool:
    """Evaluate and settle, with the bounces, as the relay does."""
    settlement, record = evaluated(claimed, attempt, now)
    bounces = suppression.bounces(attempt, claimed.envelope.rcpt_to, (claimed.envelope.mail_from, MAILBOX))
    return await store.settle(claimed, replace(settlement, bounces=bounces), record)


async def attempted(store: Store, attempt: Attempt, *to: str, now: float = NOW) -> UUID:
    """Accept an email for these recipients and settle its attempt; return the id."""
    (id,) = await accept(store, acceptance(*to, created_at=now, due_at=now, expires_at=now + DAY))
    assert await settle(store, await claim_one(store, now), attempt, now)
    return id


async def listed(store: Store, now: float = NOW) -> list[str]:
    """Return the suppressed addresses."""
    return [one.address for one in (await store.suppressions(None, 100, now))[0]]


async def test_a_dead_address_is_suppressed_with_its_evidence(store: Store) -> None:
    """The other recipient is not, and got the email."""
    store.suppress_bounces_for(30 * DAY)
    id = await attempted(store, refused(GONE), GONE, THERE)
    assert await listed(store) == ["gone@example.com"]
    found = await store.suppression("gone@example.com", NOW)
    assert found is not None
    assert (found.origin, found.source_id, found.created_at) == (Origin.BOUNCE, id, NOW)
    assert found.expires_at == NOW + 30 * DAY
    assert found.evidence == Evidence(id, "5.1.10", DEAD.text, SeenBy.REPLY)
    email = await store.get(id)
    assert email is not None
    assert [one.state for one in email.recipients] == [RecipientState.FAILED, RecipientState.RELAYED]


async def test_the_next_email_is_not_sent_there(store: Store) -> None:
    """Until the suppression ends; retention removes it."""
    store.suppress_bounces_for(DAY)
    await attempted(store, refused(GONE), GONE, THERE)
    (id,) = await accept(store, acceptance(GONE, THERE))
    email = await store.get(id)
    assert email is not None
    assert email.recipients[0].state is RecipientState.SUPPRESSED
    assert await listed(store, NOW + DAY) == []
    while await store.prune(RetentionCutoffs(NOW + DAY, contents=0.0, messages=0.0, events=0.0)):
        pass
    assert await listed(store, NOW) == []


async def test_a_refusal_of_the_whole_message_suppresses_its_only_recipient(store: Store) -> None:
    """Of several recipients nobody knows which one is meant."""
    await attempted(store, Attempt(Phase.DOT, DEAD), GONE, THERE)
    assert await listed(store) == []
    await attempted(store, Attempt(Phase.DOT, DEAD), GONE)
    assert await listed(store) == ["gone@example.com"]


async def test_other_refusals_suppress_nobody(store: Store) -> None:
    """Policy, and what is about the sender or the sender's own organization."""
    for attempt, to in (
        (refused(GONE, REFUSED), GONE),
        (Attempt(Phase.MAIL, DEAD), GONE),
        (refused("nobody@contoso.com"), "nobody@contoso.com"),
        (refused(GONE, Reply.of(450, ["4.1.1 Not now"])), GONE),
        (refused(GONE, Reply.of(550, ["No such user"])), GONE),
    ):
        await attempted(store, attempt, to, THERE)
    assert await listed(store) == []


async def test_a_disabled_mailbox_needs_two_emails_in_a_day(store: Store) -> None:
    """Each email counts once."""
    await attempted(store, refused(GONE, DISABLED), GONE, THERE)
    assert await listed(store) == []
    await attempted(store, refused(GONE, DISABLED), GONE, THERE, now=NOW + 60)
    assert await listed(store, NOW + 60) == ["gone@example.com"]


async def test_two_bounces_in_two_days_do_not_count_together(store: Store) -> None:
    """Retention forgets the first one."""
    await attempted(store, refused(GONE, DISABLED), GONE, THERE)
    later = NOW + BOUNCE_WINDOW + 1
    while await store.prune(RetentionCutoffs(later, contents=0.0, messages=0.0, events=0.0)):
        pass
    await attempted(store, refused(GONE, DISABLED), GONE, THERE, now=later)
    assert await listed(store, later) == []


async def test_a_settlement_without_its_lease_suppresses_nobody(store: Store) -> None:
    """Nothing of it is written."""
    await accept(store, acceptance(GONE))
    claimed = await claim_one(store)
    await store.recover(NOW, everything=True)
    assert not await settle(store, claimed, Attempt(Phase.DOT, DEAD))
    assert await listed(store) == []


async def test_nothing_is_suppressed_without_the_permission(store: Store) -> None:
    """The bounce itself is reported as before."""
    store.suppress_bounces_for(0.0)
    id = await attempted(store, refused(GONE), GONE, THERE)
    assert await listed(store) == []
    email = await store.get(id)
    assert email is not None
    assert [one.state for one in email.recipients] == [RecipientState.FAILED, RecipientState.RELAYED]


async def test_a_listed_address_that_bounces_again_is_listed_longer(store: Store) -> None:
    """An entry without an end stays without one."""
    store.suppress_bounces_for(DAY)
    await attempted(store, refused(GONE), GONE, THERE)
    first = await store.suppression("gone@example.com", NOW)
    policy = Policy(ignore_suppressions=(Lane.NORMAL,))
    await store.create_key(Key(KEY, "codes", Permission.SENDING_ACCESS, NOW, policy), b"digest", Actor("tests"))
    await accept(store, acceptance(GONE, THERE, ignores_suppressions=True))
    await settle(store, await claim_one(store), refused(GONE), NOW + 60)
    again = await store.suppression("gone@example.com", NOW)
    assert first is not None
    assert again == replace(first, expires_at=NOW + 60 + DAY)


async def test_a_bounce_whose_settlement_a_crash_prevents_counts(store: Store) -> None:
    """It is stored with the outcome of its attempt, by the mark of the next message."""
    store.suppress_bounces_for(30 * DAY)
    await accept(store, acceptance(GONE), acceptance(THERE))
    before, following = await claim(store)
    settling = asyncio.create_task(settle(store, before, refused(GONE)))
    await asyncio.sleep(0)
    assert await store.mark_dot(following)
    await store.recover(NOW, everything=True)
    await settling
    found = await store.suppression("gone@example.com", NOW)
    assert found is not None
    assert (found.source_id, found.expires_at) == (before.id, NOW + 30 * DAY)
    assert found.evidence == Evidence(before.id, "5.1.10", DEAD.text, SeenBy.REPLY)
