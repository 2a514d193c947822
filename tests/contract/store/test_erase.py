"""Erasure: personal data leaves the tables and the file; ids, times, states and counts stay."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.mail import erasure
from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.lifecycle import MessageState, RecipientState
from app.mail.message.address import normalize_address
from app.mail.message.message import MessageSummary, OnUnknown
from app.mail.webhook.rules import EventType
from app.store import Store
from app.store.db.engine import database_file, write_engine
from app.store.erase import Erased, EraseOutcome
from app.store.keys.audit import Actor, AuditAction
from app.store.message_trace.records import HoldRequest, Report, Reports
from app.store.queue.accept import Accepted, IdempotencyConflict
from app.store.read.records import Selection
from app.store.records import Email
from app.store.retention import BATCH_SIZE, RetentionCutoffs
from app.store.schema import metadata
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    LOST,
    NOW,
    REFUSED,
    RELAYED,
    SCOPE,
    accept,
    acceptance,
    claim,
    claim_one,
    once,
    settle,
)
from tests.contract.store.webhooks.test_webhooks import listen, take

BY = Actor("command line")
PERSON = "ada.lovelace@example.net"
SECRETS = (b"lovelace", b"Lovelace", b"difference-engine", b"Analytical")
ERASED = EraseOutcome.ERASED


def personal(*to: str, **changes: Any) -> Any:
    """Return an email with personal data in every member."""
    to = to or (PERSON,)
    head = MessageSummary(
        "Analytical Society <a@contoso.com>",
        tuple(f"Ada Lovelace <{one}>" for one in to),
        "Your difference-engine, Ada Lovelace",
        reply_to=(f"Ada <{PERSON}>",),
        tags=(("person", "ada-lovelace"),),
        headers=(("X-Person", PERSON),),
    )
    content = b"Subject: Your difference-engine\r\n\r\nDear Ada Lovelace, " + b"difference-engine " * 400
    return acceptance(*to, **{"head": head, "content": content, "coalesce": f"code {PERSON}", **changes})


async def ended(store: Store, attempt: Any = REFUSED, **changes: Any) -> UUID:
    """Return one that was relayed or has failed."""
    (id,) = await accept(store, personal(**changes))
    assert await settle(store, await claim_one(store), attempt)
    return id


async def read(store: Store, id: UUID) -> Email:
    """Return its record."""
    email = await store.get(id)
    assert email is not None
    return email


def rows(url: str) -> str:
    """Return every row of every table but the audit, as text."""
    engine = write_engine(url)
    with engine.begin() as connection:
        tables = [table for table in metadata.sorted_tables if table.name != "idempotency"]
        found = [str(tuple(row)) for table in tables for row in connection.execute(table.select())]
    engine.dispose()
    return "\n".join(found)


@pytest.mark.parametrize(("attempt", "state"), [(RELAYED, RecipientState.RELAYED), (REFUSED, RecipientState.FAILED)])
async def test_erasure_of_an_ended_message(store: Store, store_url: str, attempt: Any, state: RecipientState) -> None:
    """Relayed, and failed."""
    id = await ended(store, attempt)
    before = await read(store, id)
    assert await store.erase([id], NOW + 60, BY) == {id: ERASED}
    after = await read(store, id)
    assert (await store.content(id), after.content_removed_at) == (None, NOW + 60)
    for name in ("id", "key_id", "pool", "lane", "state", "size", "created_at", "ended_at", "mailbox", "message_id"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.explanation == erasure.ERASED
    assert (after.head.sender, after.head.to, after.head.subject) == ("a@contoso.com", (erasure.ADDRESS,), "(erased)")
    assert (after.head.tags, after.head.headers) == ((), ())
    assert [(one.address, one.state) for one in after.recipients] == [("erased-1@erased.invalid", state)]
    [tried] = after.attempts
    assert (tried.dialogue, tried.detail) == ((), None)
    assert tried.replies == (("250 2.0.0",) if attempt is RELAYED else ("550 5.7.1",))
    assert (tried.started_at, tried.ended_at, tried.phase) == (NOW, NOW, before.attempts[0].phase)
    stored = rows(store_url)
    for secret in SECRETS:
        assert secret.decode() not in stored


async def test_erasure_of_the_reports_of_the_message_trace(store: Store, store_url: str) -> None:
    """The state and the code stay; the address, the words of the other server and the suppression go."""
    id = await ended(store, RELAYED)
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=1), DAY))
    assert position is not None
    row = TraceRow(UUID(int=2), (await read(store, id)).message_id, PERSON, NOW, "failed")
    bounced = Report(row, DeliveryState.BOUNCED, Cause("5.1.1", f"550 5.1.1 <{PERSON}> is unknown"))
    assert await store.traces.apply(Reports(position.reader, (bounced,), NOW, SCOPE)) is not None
    assert await store.suppression(PERSON, NOW) is not None
    assert await store.erase([id], NOW + 60, BY) == {id: ERASED}
    (recipient,) = (await read(store, id)).recipients
    assert recipient.delivery is not None
    assert (recipient.delivery.state, recipient.delivery.cause.code) == (DeliveryState.BOUNCED, "5.1.1")
    assert await store.suppression(PERSON, NOW) is None
    stored = rows(store_url)
    for secret in SECRETS:
        assert secret.decode() not in stored


@pytest.mark.parametrize("held", [True, False])
async def test_an_unfinished_message_is_not_erased(store: Store, held: bool) -> None:
    """Held, queued, active: the result is its state. A cancelled one is erased."""
    (id,) = await accept(store, personal(on_unknown=OnUnknown.HOLD))
    if held:
        claimed = await claim_one(store)
        assert await store.erase([id], NOW, BY) == {id: MessageState.ACTIVE}
        assert await settle(store, claimed, LOST)
    state = MessageState.HELD if held else MessageState.QUEUED
    assert await store.erase([id], NOW, BY) == {id: state}, held
    assert (await read(store, id)).head.subject == "Your difference-engine, Ada Lovelace"
    assert await store.erase_address(PERSON, NOW, BY) == Erased(0, (id,))
    await store.cancel(id, NOW)
    assert await store.erase([id], NOW, BY) == {id: ERASED}
    assert (await read(store, id)).state is MessageState.CANCELLED


async def test_erasure_of_sunk_deferred_and_contentless_messages(store: Store) -> None:
    """A deferred one is not erased."""
    (discarded,) = await accept(store, personal(to_sink=True))
    pruned = await ended(store)
    (deferred,) = await accept(store, personal())
    assert await settle(store, await claim_one(store), DEFERRED)
    await store.prune(RetentionCutoffs(NOW, contents=NOW, messages=0.0, events=0.0))
    found = await store.erase([discarded, pruned, deferred, UUID(int=1)], NOW + 5, BY)
    assert found == {
        discarded: ERASED,
        pruned: ERASED,
        deferred: MessageState.DEFERRED,
        UUID(int=1): EraseOutcome.MISSING,
    }
    assert (await read(store, pruned)).content_removed_at == NOW


async def test_a_second_erasure_changes_nothing(store: Store) -> None:
    """And is not audited."""
    id = await ended(store)
    await store.erase([id], NOW, BY)
    first = await read(store, id)
    assert await store.erase([id, id], NOW + 1, BY) == {id: EraseOutcome.ALREADY_ERASED}
    assert await store.erase_address(PERSON, NOW + 1, BY) == Erased(0, ())
    assert await read(store, id) == first
    assert [one.entry.action for one in await store.audit(None, 10)] == [AuditAction.EMAIL_ERASED]


async def test_the_idempotency_key_of_an_erased_message_is_known(store: Store) -> None:
    """Another body with it is a conflict, as before."""
    first, again = personal(), personal()
    assert isinstance(await store.accept([first], once()), Accepted)
    assert await settle(store, await claim_one(store), RELAYED)
    await store.erase([first.id], NOW, BY)
    assert await store.accept([again], once()) == Accepted((first.id,), replayed=True)
    assert isinstance(await store.accept([again], once(fingerprint=b"other")), IdempotencyConflict)


@pytest.mark.parametrize("spelled", [PERSON, "Ada.Lovelace@EXAMPLE.net", f'"Lovelace, Ada" <{PERSON}>'])
async def test_erasure_by_address(store: Store, spelled: str) -> None:
    """Every email to it or with replies about it, in every spelling, and no other."""
    mine = [await ended(store, RELAYED) for _ in range(3)]
    other = MessageSummary("A <a@contoso.com>", ("bob@example.net",), "Hello Bob")
    (bobs,) = await accept(store, acceptance("bob@example.net", head=other))
    assert await settle(store, await claim_one(store), RELAYED)
    assert await store.erase_address(normalize_address(spelled), NOW, BY) == Erased(3, ())
    assert (await read(store, bobs)).head.subject == "Hello Bob"
    assert (await read(store, mine[0])).head.subject == "(erased)"
    assert (await store.list_emails(Selection(recipient=PERSON), 10, NOW)).emails == ()
    [entry] = [one.entry for one in await store.audit(None, 10)]
    assert PERSON not in json.dumps(dict(entry.details)) + entry.subject
    assert entry.subject == "3 emails"
    assert sorted(entry.details["ids"]) == sorted(str(id) for id in mine)


@pytest.mark.parametrize(
    ("lists", "envelope"),
    [
        ({"to": (f"Ada <{PERSON.upper()}>",)}, (PERSON,)),
        ({"to": ("bob@example.net",), "cc": (PERSON,)}, ("bob@example.net", PERSON)),
        ({"to": ("bob@example.net",), "bcc": (PERSON,)}, ("bob@example.net", PERSON)),
        ({"to": ("bob@example.net",), "reply_to": (PERSON,)}, ("bob@example.net",)),
        ({"to": (PERSON,)}, ("staging@contoso.com",)),
        ({"to": ("x@example.net", PERSON, "y@example.net")}, ("x@example.net", PERSON, "y@example.net")),
    ],
    ids=["to", "cc", "bcc", "reply_to", "redirected", "three"],
)
async def test_an_address_is_found_in_every_field(store: Store, lists: Any, envelope: tuple[str, ...]) -> None:
    """Also outside the envelope after a redirection; each recipient gets its own placeholder."""
    head = MessageSummary(sender="a@contoso.com", subject="Hello", **lists)
    (id,) = await accept(store, acceptance(*envelope, head=head))
    assert await settle(store, await claim_one(store), RELAYED)
    assert await store.erase_address(PERSON, NOW, BY) == Erased(1, ())
    addresses = [one.address for one in (await read(store, id)).recipients]
    assert addresses == [f"erased-{number + 1}@erased.invalid" for number in range(len(envelope))]


async def test_a_large_erasure_takes_several_commits(store: Store) -> None:
    """Accepts succeed between them."""
    count = 3 * BATCH_SIZE + 7
    ids = await accept(store, *(personal(coalesce=None) for _ in range(count)))
    for id in ids:
        await store.cancel(id, NOW)
    erased, fresh = await asyncio.gather(store.erase_address(PERSON, NOW, BY), accept(store))
    assert erased == Erased(count, ())
    assert len(fresh) == 1
    entries = [one.entry for one in await store.audit(None, 100) if one.entry.action is AuditAction.EMAIL_ERASED]
    assert len(entries) >= 4
    assert all(len(entry.details["ids"]) <= BATCH_SIZE for entry in entries)
    assert sum(len(entry.details["ids"]) for entry in entries) == count


async def test_webhook_events_are_erased(store: Store, store_url: str) -> None:
    """Pending ones are still sent, without personal data."""
    endpoint = await listen(store, *EventType)
    id = await ended(store)
    await store.erase([id], NOW, BY)
    stored = rows(store_url)
    for secret in SECRETS:
        assert secret.decode() not in stored
    [due] = await take(store, endpoint)
    data = json.loads(due.payload)["data"]
    assert due.type is EventType.FAILED
    assert (data["email_id"], data["to"], data["subject"]) == (str(id), [erasure.ADDRESS], "(erased)")
    assert data["failed"] == {"reason": "550 5.7.1"}
    assert data["relay"]["recipients"] == [
        {"address": "erased-1@erased.invalid", "state": "failed", "reply": "550 5.7.1"}
    ]


@pytest.fixture
async def full(sqlite_url: str) -> AsyncIterator[tuple[Store, Path]]:
    """Embedded database, and its file."""
    store = await Store.open(sqlite_url)
    yield store, Path(str(database_file(sqlite_url)))
    await store.close()


async def test_erased_bytes_are_removed_from_the_file(full: tuple[Store, Path]) -> None:
    """Also from pages that were split or freed, and from the write-ahead log; other mail is untouched."""
    store, file = full
    await listen(store, *EventType)
    other = MessageSummary("A <a@contoso.com>", ("bob@example.net",), "Hello Bob")
    for _ in range(200):
        (id,) = await accept(store, personal(coalesce=None))
        await accept(store, acceptance("bob@example.net", head=other, content=b"Subject: Bob\r\n\r\nHello" * 40))
        claimed = await claim(store, 2)
        for one in claimed:
            assert await settle(store, one, REFUSED if one.id == id else RELAYED)
    data = bytes_of(file)
    assert [secret for secret in SECRETS if secret not in data] == []
    assert (await store.erase_address(PERSON, NOW, BY)).count == 200
    assert await store.scrub()
    data = bytes_of(file)
    assert [secret for secret in SECRETS if secret in data] == []
    assert b"Hello Bob" in data


def bytes_of(file: Path) -> bytes:
    """Return database and write-ahead log, read by another process: closing a file here would drop SQLite's locks."""
    return subprocess.run(["cat", file, f"{file}-wal"], capture_output=True, check=True).stdout
