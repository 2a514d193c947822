"""Verbs of the trace reader: lease and fence, reports in any order and repeated, emails with a caller's Message-ID."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.key_policy import Policy
from app.mail.message.message import Envelope, Message, OnUnknown
from app.mail.webhook.rules import EventType
from app.store import Store
from app.store.keys.audit import Actor, AuditAction
from app.store.keys.records import Key, Permission
from app.store.message_trace.records import (
    HoldRequest,
    Match,
    Position,
    Progress,
    Report,
    Reports,
    Scope,
    Unseen,
    UnseenFound,
)
from app.store.queue.accept import Acceptance
from app.store.records import FIRST_ID
from app.store.webhooks.records import Secret, Webhook
from tests.contract.store.build import (
    CONTENT,
    DAY,
    KEY,
    LOST,
    NOW,
    POOL,
    RELAYED,
    SCOPE,
    accept,
    acceptance,
    claim_one,
    new_id,
    settle,
)

ONE, OTHER = UUID(int=1), UUID(int=2)
HOOK = UUID(int=3)
S = DeliveryState


async def hold(store: Store, holder: UUID = ONE, lease: float = DAY) -> Position:
    """Take the lease, which must be free."""
    position = await store.traces.hold(HoldRequest("contoso", holder, lease))
    assert position is not None
    return position


async def relayed(store: Store, message_id: str | None = None, to: str = "b@example.com") -> Acceptance:
    """Return a relayed email."""
    id = new_id()
    message = Message(Envelope("a@contoso.com", (to,)), message_id or f"{id}@contoso.com", CONTENT)
    one = acceptance(id=id, message=message)
    await accept(store, one)
    await settle(store, await claim_one(store), RELAYED)
    return one


def report(message_id: str, state: DeliveryState | None, to: str = "B@example.com", **changes: UUID) -> Report:
    """Return a report."""
    cause = Cause("5.1.1", "550 5.1.1 User unknown\0") if state is S.BOUNCED else Cause("", "")
    return Report(TraceRow(changes.get("id", ONE), message_id, to, NOW, ""), state, cause)


async def test_one_holder_and_its_token(store: Store) -> None:
    """No other gets it while the lease is valid. A new holder has a higher token; the old one writes nothing."""
    first = await hold(store)
    assert (await hold(store)).reader == first.reader
    assert await store.traces.hold(HoldRequest("contoso", OTHER, DAY)) is None
    assert await store.traces.advance(Progress(first.reader, watermark=5.0, requests=[(1.0, 8)]))
    await store.traces.release(first.reader)
    second = await hold(store, OTHER)
    assert (second.watermark, second.requests) == (5.0, ((1.0, 8),))
    assert second.reader.token > first.reader.token
    assert not await store.traces.advance(Progress(first.reader, watermark=9.0))
    assert await store.traces.apply(Reports(first.reader, (), NOW, SCOPE)) is None
    await store.traces.release(first.reader)
    assert await store.traces.hold(HoldRequest("contoso", ONE, DAY)) is None
    assert (await hold(store, OTHER)).watermark == 5.0


async def test_an_expired_lease_is_free(store: Store) -> None:
    """By the database's clock."""
    first = await hold(store, lease=-1.0)
    assert (await hold(store, OTHER)).reader.token > first.reader.token


@pytest.mark.parametrize(
    "message_id",
    [
        None,
        "abc@framework.example",
        "7f6c2f80-6a34-4b51-9c3a-0d4f6b1f2a10@node.example",
        "0199f2b4-6a34-7b51-9c3a-0d4f6b1f2a10@uuid7.example",
    ],
)
async def test_reports_and_events(store: Store, message_id: str | None) -> None:
    """A report changes the state and publishes its event once, however often it is applied."""
    hook = Webhook(HOOK, "https://example.com/", tuple(EventType), NOW, (Secret("whsec_" + 32 * "A"),))
    await store.create_webhook(hook)
    email = await relayed(store, message_id)
    name, reader = email.message.message_id, (await hold(store)).reader
    for state in (S.PENDING, S.DELAYED, S.DELAYED, S.BOUNCED, S.PENDING, S.BOUNCED, S.DELIVERED, S.BOUNCED):
        batch = (report(name, state), report(name.upper(), S.DELIVERED), report(name, S.BOUNCED, "x@example.com"))
        assert await store.traces.apply(Reports(reader, batch, NOW, SCOPE)) is not None
    events = [json.loads(one.payload) for one in await store.deliveries(HOOK, None, 100)][::-1]
    kinds = ["email.sent", "email.delivery_delayed", "email.bounced", "email.delivered"]
    assert sorted(one["type"] for one in events) == sorted(kinds)
    (bounced,) = [one["data"] for one in events if one["type"] == "email.bounced"]
    assert bounced["to"] == ["b@example.com"]
    assert bounced["bounce"]["type"] == "Permanent"
    assert bounced["bounce"]["subType"] == "General"
    assert bounced["bounce"]["diagnosticCode"][0].startswith("550 5.1.1 User unknown")
    assert bounced["bounce"]["message"]
    assert bounced["relay"]["delivery"]["trace_id"] == str(ONE)
    found = await store.get(email.id)
    assert found is not None
    assert found.recipients[0].delivery is not None
    assert found.recipients[0].delivery.state is S.DELIVERED


async def test_matches(store: Store) -> None:
    """A report for an unsettled message is applied later; other mail and other recipients are not affected."""
    email, waiting = await relayed(store), acceptance("b@example.com")
    await accept(store, waiting)
    name = email.message.message_id
    reports = [
        report(name, S.DELIVERED),
        report(name, None),
        report(name, S.DELIVERED, "member@example.com"),
        report("foreign@contoso.com", S.DELIVERED),
        report(waiting.message.message_id, S.DELIVERED),
    ]
    expected = [Match.CHANGED, Match.UNCHANGED, Match.OTHER_RECIPIENT, Match.FOREIGN, Match.EARLY]
    assert await store.traces.matches(reports, SCOPE) == expected
    applied = await store.traces.apply(Reports((await hold(store)).reader, tuple(reports), NOW, SCOPE))
    assert applied is not None
    assert list(applied.matches) == expected
    assert applied.states == (S.DELIVERED,)
    again = [report(name, S.DELIVERED, id=OTHER), report(name, S.DELIVERED, id=OTHER)]
    applied = await store.traces.apply(Reports((await hold(store)).reader, tuple(again), NOW, SCOPE))
    assert applied is not None
    assert list(applied.matches) == [Match.DUPLICATE, Match.UNCHANGED]
    assert applied.duplicates == (email.id,)


async def held(store: Store, *to: str, **changes: Any) -> Acceptance:
    """Return an email that is held with an unknown outcome."""
    one = acceptance(*to, on_unknown=OnUnknown.HOLD, **changes)
    await accept(store, one)
    await settle(store, await claim_one(store, pool=one.pool, mailbox=f"{one.pool}@contoso.com"), LOST)
    return one


async def states(store: Store, *emails: Acceptance) -> list[tuple[str, bool]]:
    """Return the state of each, and whether its explanation says that Exchange has not seen it."""
    found = [await store.get(one.id) for one in emails]
    return [
        (one.state.value, bool(one.explanation and "has not seen" in one.explanation.summary)) for one in found if one
    ]


async def mark(store: Store, scope: Scope = SCOPE, now: float = NOW, since: float = 0.0) -> UnseenFound:
    """Mark recipients that are not in the trace a day later."""
    reader = (await hold(store)).reader
    return await store.traces.mark_unseen(Unseen(reader, scope, since, now + DAY, now + DAY, FIRST_ID))


async def test_an_unseen_email_is_explained(store: Store) -> None:
    """It waits for a person. One with a row of any recipient, and one that the trace does not cover, is as before."""
    gone, seen = await held(store), await held(store, "b@example.com", "c@example.com")
    reader = (await hold(store)).reader
    await store.traces.apply(Reports(reader, (report(seen.message.message_id, S.DELIVERED),), NOW, SCOPE))
    assert (await mark(store, since=NOW + 1)).explained == 0
    assert await mark(store) == UnseenFound(1, (), None)
    assert await states(store, gone, seen) == [("held", True), ("held", False)]


@pytest.mark.parametrize("by", ["key", "pool"])
async def test_a_policy_sends_an_unseen_email_again(store: Store, by: str) -> None:
    """By the key's policy or the pool's setting, with an entry of the audit; an expired email still waits."""
    policy = Policy(retry_unseen=by == "key")
    await store.create_key(Key(KEY, "shop", Permission.SENDING_ACCESS, NOW, policy), b"digest", Actor("tests"))
    scope = replace(SCOPE, retry_unseen=frozenset({POOL}) if by == "pool" else frozenset())
    gone, expired = await held(store), await held(store, expires_at=NOW + DAY)
    assert await mark(store, scope) == UnseenFound(1, (gone.id,), None)
    assert await states(store, gone, expired) == [("queued", False), ("held", True)]
    claimed = await claim_one(store, now=NOW + DAY)
    assert (claimed.id, claimed.delivery_state.expires_at) == (gone.id, gone.expires_at)
    (entry,) = [one.entry for one in await store.audit(None, 10) if one.entry.action is AuditAction.EMAIL_RETRIED]
    assert (entry.by.name, entry.subject) == ("message trace", str(gone.id))


async def test_a_key_without_the_policy_waits(store: Store) -> None:
    """Also if another key has it."""
    other = Key(UUID(int=8), "shop", Permission.SENDING_ACCESS, NOW, Policy(retry_unseen=True))
    await store.create_key(other, b"digest", Actor("tests"))
    await held(store)
    assert await mark(store) == UnseenFound(1, (), None)


async def test_the_mail_of_another_tenant(store: Store) -> None:
    """A row of it here is foreign, and an email that is not here is not unseen; a pool of two tenants has rows in both.

    An email from one tenant to the other is in the trace of both, each time with another network id.
    """
    other = await held(store, pool="other")
    row = report(other.message.message_id, S.DELIVERED)
    assert await store.traces.matches([row], SCOPE) == [Match.FOREIGN]
    assert await mark(store) == UnseenFound(0, (), None)
    shared = replace(SCOPE, pools=frozenset({POOL, "other"}))
    assert await store.traces.matches([row], shared) == [Match.CHANGED]
    assert await mark(store, shared) == UnseenFound(0, (), None)
    assert await mark(store, Scope(frozenset({"other"}), frozenset({"other"}))) == UnseenFound(1, (), None)
    assert await states(store, other) == [("held", True)]


async def test_the_oldest_unknown_outcome(store: Store) -> None:
    """A first pass reads back to it."""
    assert await store.traces.oldest_unknown() is None
    await held(store)
    await relayed(store)
    assert await store.traces.oldest_unknown() == NOW
