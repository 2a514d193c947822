"""Values for a store, and short calls of the steps of a worker."""

from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from app.mail import lifecycle, policy
from app.mail.lifecycle import MessageState, Settlement
from app.mail.message.message import Envelope, Message, MessageSummary, OnUnknown
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Line, Phase, Reply
from app.store import Store
from app.store.mailboxes.records import Replica
from app.store.message_trace.records import Scope
from app.store.queue.accept import Acceptance, Accepted, Idempotency
from app.store.read.records import Selection
from app.store.records import AttemptLog, Claimed, Email

NOW = 1_800_000_000.0  # epoch seconds
DAY = 86_400.0
KEY = UUID(int=7)
POOL = "default"
MAILBOX = "noreply@contoso.com"
SCOPE = Scope(frozenset({POOL}), complete=frozenset({POOL}))  # of a tenant's message trace
CONTENT = b"Subject: Hello\r\n\r\nHello.\r\n"

RELAYED = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]))
DEFERRED = Attempt(Phase.DOT, Reply.of(451, ["4.3.0 Not now"]))
REFUSED = Attempt(Phase.DOT, Reply.of(550, ["5.7.1 No"]))
PAUSED = Attempt(Phase.AUTH, Reply.of(454, ["4.7.0 Not now"]))
LOST = Attempt(Phase.DOT, failure=Failure(Phase.DOT, FailureKind.CLOSED, "The connection was closed."))

WORKER = UUID(int=99)  # replica of the workers in these tests

_serial = count(1)
_fences: WeakKeyDictionary[Store, dict[str, int]] = WeakKeyDictionary()


def new_id() -> UUID:
    """Return ids that sort by age, as UUIDv7 do."""
    return UUID(int=(next(_serial) << 80) | (uuid4().int & ((1 << 80) - 1)))


def acceptance(*to: str, **changes: Any) -> Acceptance:
    """Return one message to store, due now."""
    id = changes.pop("id", None) or new_id()
    envelope = Envelope("a@contoso.com", to or ("b@example.com",))
    facts: dict[str, Any] = {
        "id": id,
        "key_id": KEY,
        "pool": POOL,
        "message": Message(envelope, f"{id}@contoso.com", changes.pop("content", CONTENT)),
        "head": MessageSummary("Ä <a@contoso.com>", envelope.rcpt_to, "Grüße", tags=(("kind", "welcome"),)),
        "created_at": NOW,
        "due_at": NOW,
        "expires_at": NOW + 5 * DAY,
        "scheduled_at": None,
        "on_unknown": OnUnknown.RETRY_ONCE,
    }
    return Acceptance(**{**facts, **changes})


def once(key: str = "k", fingerprint: bytes = b"same", **changes: Any) -> Idempotency:
    """Return an Idempotency-Key."""
    return Idempotency(changes.get("key_id", KEY), changes.get("endpoint", "/emails"), key, fingerprint)


async def accept(store: Store, *acceptances: Acceptance) -> tuple[UUID, ...]:
    """Accept these (one if none is given)."""
    answer = await store.accept(acceptances or (acceptance(),))
    assert isinstance(answer, Accepted)
    return answer.ids


async def owned(store: Store, mailbox: str = MAILBOX) -> int:
    """Return the fence of a mailbox of the tests' one replica; acquired once for each open store."""
    fences = _fences.setdefault(store, {})
    if mailbox not in fences:
        roll = await store.replicas.heartbeat(Replica(WORKER, "tests", "all", (mailbox,), 86_400.0))
        [mine] = [one for one in roll.owners if one.mailbox == mailbox]
        if mine.replica == WORKER:
            fences[mailbox] = mine.token
        else:
            [taken] = await store.replicas.acquire(WORKER, [mailbox], NOW)
            fences[mailbox] = taken.token
    return fences[mailbox]


async def claim(store: Store, limit: int = 100, now: float = NOW, **changes: Any) -> list[Claimed]:
    """Claim for a minute."""
    pool, mailbox, until = changes.get("pool", POOL), changes.get("mailbox", MAILBOX), changes.get("until", now + 60)
    fence = await owned(store, mailbox)
    claimed = await store.claim(pool, mailbox, limit, now, until, fence=fence, non_urgent=changes.get("others"))
    assert claimed is not None
    return claimed


async def claim_one(store: Store, now: float = NOW, **changes: Any) -> Claimed:
    """Claim the only due message."""
    (claimed,) = await claim(store, 2, now, **changes)
    return claimed


def evaluated(claimed: Claimed, attempt: Attempt, now: float = NOW) -> tuple[Settlement, AttemptLog]:
    """Return the relay's result of an attempt."""
    verdicts = policy.judge(attempt, claimed.envelope.rcpt_to)
    settlement = lifecycle.settle(claimed.delivery_state, verdicts, now, 0.0)
    record = AttemptLog(
        ended_at=now,
        phase=attempt.phase,
        failure=attempt.failure.kind if attempt.failure else None,
        detail=attempt.failure.detail if attempt.failure else None,
        replies=(str(attempt.reply),) if attempt.reply else (),
        verdicts={address: str(verdict.action) for address, verdict in verdicts.items()},
        dialogue=(Line("C", "MAIL FROM:<a@contoso.com>"), Line("S", "250 2.1.0 Sender OK")),
        in_doubt=settlement.in_doubt,
    )
    return settlement, record


async def settle(store: Store, claimed: Claimed, attempt: Attempt, now: float = NOW) -> bool:
    """Evaluate and settle."""
    return await store.settle(claimed, *evaluated(claimed, attempt, now))


async def stored_emails(
    store: Store, key_id: UUID | None = None, *, state: MessageState | None = None, limit: int = 20
) -> list[Email]:
    """Return the newest messages of a key (None: of all keys), without their attempts."""
    return list((await store.list_emails(Selection(key_id=key_id, state=state), limit, NOW)).emails)


def ids(claimed: Sequence[Claimed]) -> list[UUID]:
    """Return their ids in order."""
    return [one.id for one in claimed]
