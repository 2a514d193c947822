"""Lists: every filter, pages in both directions, and sparse matches over many rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceRow
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.message import Lane, MessageSummary, OnUnknown
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.store import Store
from app.store.message_trace.records import HoldRequest, Report, Reports
from app.store.queue.accept import Acceptance
from app.store.read.last_event import EVENTS, last_event
from app.store.read.records import Selection
from app.store.records import Email
from tests.contract.store.build import (
    DAY,
    DEFERRED,
    KEY,
    LOST,
    NOW,
    PAUSED,
    REFUSED,
    RELAYED,
    SCOPE,
    accept,
    acceptance,
    claim,
    settle,
)

OTHER = UUID(int=8)
HOUR = 3600.0
PARTLY = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]), refused={"no@example.com": Reply.of(550, ["5.1.1 No"])})


async def found(store: Store, asked: Selection, limit: int = 100, now: float = NOW) -> list[UUID]:
    """Return the ids of the first page."""
    return [email.id for email in (await store.list_emails(asked, limit, now)).emails]


async def whole(store: Store, asked: Selection, limit: int, *, oldest_first: bool = False) -> list[list[UUID]]:
    """Return every page, each continued at the end of the previous one."""
    pages = []
    rest: UUID | None = asked.start if oldest_first else asked.end
    while rest is not None:
        bounds = (rest, asked.end) if oldest_first else (asked.start, rest)
        part = replace(asked, start=bounds[0], end=bounds[1])
        page = await store.list_emails(part, limit, NOW, oldest_first=oldest_first)
        pages.append([email.id for email in page.emails])
        assert page.next_id is None or page.next_id not in bounds
        rest = UUID(int=page.next_id.int + 1) if page.next_id and oldest_first else page.next_id
    return pages


def newest(*stored: Acceptance) -> list[UUID]:
    """Return their ids in the order of a list."""
    return [one.id for one in reversed(stored)]


async def report(store: Store, delivered: Sequence[str], bounced: Sequence[str], now: float) -> None:
    """Let Exchange's message trace report these emails, by Message-ID."""
    position = await store.traces.hold(HoldRequest("contoso", UUID(int=9), DAY))
    assert position is not None
    states = [*((one, DeliveryState.DELIVERED, DeliveryState.JUNK) for one in delivered)]
    states += [(one, DeliveryState.DELIVERED, DeliveryState.BOUNCED) for one in bounced]
    reports = [
        Report(TraceRow(UUID(int=n + 1), message_id, to, now, ""), state)
        for n, (message_id, *each) in enumerate(states)
        for to, state in zip(("no@example.com", "b@example.com"), each, strict=True)
    ]
    assert await store.traces.apply(Reports(position.reader, tuple(reports), now, SCOPE)) is not None


async def in_every_state(store: Store, now: float = NOW) -> None:
    """Store messages of two keys with every history; some due now, long ago or later."""
    ends = {"deferred": DEFERRED, "held": LOST, "relayed": RELAYED, "refused": REFUSED, "partly": PARTLY}
    put_back = []
    delivered: list[str] = []
    bounced: list[str] = []
    for key, age, way in product(
        (KEY, OTHER), (0.0, HOUR), ("active", "again", "put back", *ends, "delivered", "bounced", "cancelled")
    ):
        on_unknown = OnUnknown.HOLD if way == "held" else OnUnknown.RETRY_ONCE
        facts = {"key_id": key, "created_at": now - age, "due_at": now - age, "on_unknown": on_unknown}
        one = acceptance("no@example.com", "b@example.com", **facts)
        await accept(store, one)
        if way == "cancelled":
            await store.cancel(one.id, now)
            continue
        (claimed,) = await claim(store, now=now, until=now + HOUR)
        if way == "again":
            await settle(store, claimed, PAUSED, now)
            await claim(store, now=now, until=now + HOUR)
        elif way == "put back":
            put_back.append(claimed)
        elif way in ("delivered", "bounced"):
            await settle(store, claimed, RELAYED, now)
            (delivered if way == "delivered" else bounced).append(claimed.message_id)
        elif way != "active":
            await settle(store, claimed, ends[way], now)
    for claimed in put_back:
        await settle(store, claimed, PAUSED, now)
    await report(store, delivered, bounced, now)
    for key, due_at in product((KEY, OTHER), (now - HOUR, now - 1, now, now + HOUR)):
        await accept(store, acceptance(key_id=key, created_at=now - 2 * HOUR, due_at=due_at, scheduled_at=due_at))
        await accept(store, acceptance(key_id=key, created_at=due_at, due_at=due_at))


@pytest.mark.parametrize("key", [None, KEY])
async def test_the_filter_by_event_equals_last_event(store: Store, key: UUID | None) -> None:
    """The table in SQL and the one in Python agree on every message."""
    await in_every_state(store)
    everything = await store.list_emails(Selection(key_id=key), 100, NOW)
    assert len(everything.emails) == (60 if key is None else 30)
    by_event = {event: await found(store, Selection(key_id=key, last_event=event)) for event in LastEvent}
    for event in LastEvent:
        assert by_event[event], event
        assert by_event[event] == [email.id for email in everything.emails if last_event(email, NOW) is event]


async def test_a_list_knows_the_end_of_an_attempt(store: Store) -> None:
    """As a single read does."""
    await in_every_state(store)

    def tried(email: Email) -> bool:
        return any(attempt.ended_at is not None for attempt in email.attempts)

    for email in (await store.list_emails(Selection(), 100, NOW)).emails:
        alone = await store.get(email.id)
        assert alone is not None
        assert email.attempted is alone.attempted is tried(alone)


async def test_the_filter_by_recipient(store: Store) -> None:
    """In any case; attempted or pending, as one of many; each message once."""
    await in_every_state(store)
    one = acceptance("x@example.com", "Anna.Nowak@example.com", "anna.nowak@example.com", due_at=NOW + 9)
    other = acceptance("anna.nowak@example.com", key_id=OTHER, due_at=NOW)
    await accept(store, one, other)
    asked = Selection(recipient="ANNA.nowak@example.com")
    assert await found(store, asked) == newest(one, other)
    await settle(store, next(c for c in await claim(store) if c.id == other.id), RELAYED)
    assert await found(store, asked) == newest(one, other)
    await settle(store, next(c for c in await claim(store, now=NOW + 9) if c.id == one.id), REFUSED, NOW + 9)
    assert await found(store, asked) == newest(one, other)
    assert await found(store, Selection(key_id=OTHER, recipient="anna.nowak@example.com")) == [other.id]
    assert await found(store, Selection(last_event=LastEvent.FAILED, recipient="anna.nowak@example.com")) == [one.id]
    assert await found(store, Selection(state=MessageState.QUEUED, recipient="anna.nowak@example.com")) == []
    assert len(await found(store, Selection(recipient="no@example.com"))) == 44


async def test_the_filter_by_the_beginning_of_a_recipient(store: Store) -> None:
    """In any case; attempted or pending; each message once, whether the prefix is rare or frequent."""
    one = acceptance("Anna.Nowak@example.com", "anna@example.com", "50%_off@example.com", due_at=NOW)
    other = acceptance("ANNA.kim@example.com", key_id=OTHER, due_at=NOW + 9)
    third = acceptance("annb@example.com", due_at=NOW)
    await accept(store, one, other, third)
    for number in range(2):
        for prefix, expected in (
            ("anna", newest(one, other)),
            ("Anna.N", [one.id]),
            ("anna@example.com", [one.id]),
            ("ann", newest(one, other, third)),
            ("50%_", [one.id]),
            ("50_", []),
            ("nna", []),
            ("é", []),
        ):
            assert await found(store, Selection(recipient_prefix=prefix)) == expected, prefix
            two_pages = await whole(store, Selection(recipient_prefix=prefix), 1)
            assert joined(two_pages) == expected, prefix
        assert await found(store, Selection(recipient_prefix="ann", state=MessageState.QUEUED)) != []
        assert await found(store, Selection(OTHER, recipient_prefix="ann")) == [other.id]
        if number == 0:
            for claimed in await claim(store):
                await settle(store, claimed, RELAYED)
    assert await found(store, Selection(recipient_prefix="ann", last_event=LastEvent.SENT)) == newest(one, third)
    frequent = Selection(recipient_prefix="ann", scan_limit=1)  # the prefix has more recipients
    assert joined(await whole(store, frequent, 9)) == newest(one, other, third)
    assert joined(await whole(store, replace(frequent, last_event=LastEvent.SENT), 9)) == newest(one, third)


async def test_the_filter_by_message_id(store: Store) -> None:
    """Postern's own, which has the id, and that of a caller; together with other filters."""
    own, called = acceptance(), acceptance()
    called = replace(called, message=replace(called.message, message_id="abc@framework.example"))
    await accept(store, own, called)
    assert await found(store, Selection(message_id=own.message.message_id)) == [own.id]
    assert await found(store, Selection(message_id="abc@framework.example")) == [called.id]
    assert await found(store, Selection(message_id=f"{own.id}@elsewhere.example")) == []
    assert await found(store, Selection(message_id="abc@framework.example", recipient="b@example.com")) == [called.id]
    assert await found(store, Selection(message_id="abc@framework.example", recipient_prefix="x")) == []


async def test_the_numbers_by_event(store: Store) -> None:
    """They equal the lists of operators, in which each message has one event, and end at the limit."""
    await in_every_state(store)
    for asked in (Selection(), Selection(key_id=KEY), Selection(recipient_prefix="no@")):
        numbers = await store.count_by_event(asked, NOW)
        assert [*numbers] == [*EVENTS]
        held = await found(store, replace(asked, state=MessageState.HELD))
        others = {event: await found(store, replace(asked, last_event=event, held=False)) for event in LastEvent}
        lists = {MessageState.HELD: held} | others
        assert {event: len(ids) for event, ids in lists.items()} == {event: n.number for event, n in numbers.items()}
        assert not any(number.more for number in numbers.values())
        assert sum(number.number for number in numbers.values()) == (await store.count_emails(asked, NOW)).number
    assert await store.count_emails(Selection(), NOW) == (60, False)
    assert await store.count_emails(Selection(), NOW, limit=3) == (3, True)
    assert (await store.count_by_event(Selection(), NOW, limit=1))[LastEvent.FAILED] == (1, True)


async def test_the_other_filters_combine(store: Store) -> None:
    """Sender, lane, tag, a part of the subject."""
    plain = acceptance()
    tagged = acceptance(
        lane=Lane.URGENT,
        head=MessageSummary(
            "A <a@contoso.com>", ("b@example.com",), r'Ihr Code ["x","y"] 50% a/b\c', tags=(("Kind", "code"), ("n", ""))
        ),
    )
    await accept(store, plain, tagged)
    for asked, expected in (
        (Selection(sender="A@CONTOSO.com"), newest(plain, tagged)),
        (Selection(sender="b@contoso.com"), []),
        (Selection(lane=Lane.URGENT), [tagged.id]),
        (Selection(lane=Lane.BULK), []),
        (Selection(tag=("Kind", "code")), [tagged.id]),
        (Selection(tag=("Kind", None)), [tagged.id]),
        (Selection(tag=("n", "")), [tagged.id]),
        (Selection(tag=("kind", "code")), []),
        (Selection(tag=("kind", "welcome")), [plain.id]),
        (Selection(tag=("x", "y")), []),
        (Selection(tag=("code", None)), []),
        (Selection(subject="rüß"), [plain.id]),
        (Selection(subject="ihr CODE"), [tagged.id]),
        (Selection(subject="0% A/B"), [tagged.id]),
        (Selection(subject='X","Y'), [tagged.id]),
        (Selection(subject="b\\C"), [tagged.id]),
        (Selection(subject="contoso"), []),
        (Selection(subject="%"), [tagged.id]),
        (Selection(subject="_"), []),
        (Selection(KEY, MessageState.QUEUED, LastEvent.QUEUED, "b@example.com", tag=("n", None)), [tagged.id]),
        (Selection(OTHER, lane=Lane.URGENT), []),
        (Selection(start=tagged.id), [tagged.id]),
        (Selection(end=tagged.id), [plain.id]),
        (Selection(start=plain.id, end=plain.id), []),
    ):
        assert await found(store, asked) == expected, asked


ASKED = (
    Selection(),
    Selection(key_id=KEY),
    Selection(state=MessageState.QUEUED),
    Selection(key_id=KEY, state=MessageState.DONE),
    *(Selection(key_id=key, last_event=event) for key in (None, KEY) for event in LastEvent),
    Selection(recipient="b@example.com"),
    Selection(key_id=KEY, recipient="no@example.com"),
    Selection(key_id=KEY, recipient="nobody@example.com"),
)


def joined(pages: Iterable[list[UUID]]) -> list[UUID]:
    """Return the pages as one list."""
    return [id for page in pages for id in page]


@pytest.mark.parametrize(("scan", "limit"), [(1, 50), (3, 2), (7, 50), (10_000, 5)])
async def test_pages_have_each_message_once(store: Store, scan: int, limit: int) -> None:
    """In order, in either direction, for any scan limit."""
    await in_every_state(store)
    expected = {asked: await found(store, asked) for asked in ASKED}
    for asked in ASKED:
        bounded = replace(asked, scan_limit=scan)
        assert joined(await whole(store, bounded, limit)) == expected[asked], asked
        backwards = await whole(store, bounded, limit, oldest_first=True)
        assert joined(reversed(backwards)) == expected[asked], asked


async def test_a_page_is_full_if_there_are_enough_matches(store: Store) -> None:
    """It says whether more follow."""
    stored = [acceptance() for _ in range(5)]
    await accept(store, *stored)
    assert [len(page) for page in await whole(store, Selection(), 2)] == [2, 2, 1]
    page = await store.list_emails(Selection(), 5, NOW)
    assert (len(page.emails), page.next_id) == (5, None)
    page = await store.list_emails(Selection(), 2, NOW, oldest_first=True)
    assert ([email.id for email in page.emails], page.next_id) == (newest(*stored[:2]), stored[1].id)


async def test_a_page_may_be_empty_before_the_last(store: Store) -> None:
    """A distant match is on the next one."""
    rare = acceptance(lane=Lane.URGENT)
    await accept(store, rare, *(acceptance() for _ in range(4)))
    asked = Selection(lane=Lane.URGENT, scan_limit=3)
    first = await store.list_emails(asked, 20, NOW)
    assert (first.emails, first.next_id is None) == ((), False)
    second = await store.list_emails(replace(asked, end=first.next_id or rare.id), 20, NOW)
    assert ([email.id for email in second.emails], second.next_id) == ([rare.id], None)
