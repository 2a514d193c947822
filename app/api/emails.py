"""POST /emails, GET /emails/{id} and what a person decides about one email. Never relays, never waits for a relay."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from app import logs, metrics
from app.api import body, document, email_object, explanation, idempotency, schemas, senders
from app.api.edge import Edge
from app.api.errors import (
    Flaw,
    IdempotencyMismatch,
    Invalid,
    MessageTooLarge,
    Name,
    NotFound,
    NotHeld,
    NotRetryable,
    Problem,
)
from app.api.fields import Reading
from app.api.idempotency import InFlight
from app.api.ids import Ids
from app.api.keys import Keyring
from app.api.wire import success
from app.mail import schedule
from app.mail.compose import compose
from app.mail.lifecycle import MessageState
from app.mail.message import Message, Submission
from app.store.records import Acceptance, Accepted, Change, Head, Idempotency, IdempotencyConflict, Key, Permission

INLINE = 256 * 1024  # octets; parsing and composing more would keep every other request waiting
SEND = "/emails"

Verb = Callable[[UUID, float], Awaitable[Change | None]]


class Emails:
    """The routes under /emails."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring
        self._ids = Ids(edge.clock)
        self._in_flight = InFlight()

    async def send(self, request: Request) -> Response:
        """POST /emails: 200 with the id once the email is on the disk."""
        key = await self._keyring.holder(request)
        token = idempotency.key_of(request)
        raw = await body.read(request, self._edge.limits)
        if token is None:
            return _accepted(await self._accept(key, raw, None))
        with self._in_flight.hold(key.id, SEND, token):
            return _accepted(await self._accept(key, raw, token))

    async def show(self, request: Request) -> Response:
        """GET /emails/{id}: where it stands, with its content while that is kept."""
        key = await self._keyring.reader(request)
        id_ = _uuid(request.path_params["id"])
        email = await self._edge.store.get(id_, None if key.permission is Permission.FULL_ACCESS else key.id)
        if email is None:
            raise _no_email(id_)
        content = await self._edge.store.content(id_)
        texts = await asyncio.to_thread(email_object.texts, content) if content else email_object.Texts()
        now = self._edge.clock.now()
        outlook = await self._edge.store.outlook(id_, now) if explanation.waits(email, now) else None
        prospect = explanation.prospect(email, outlook, self._edge.capacities, now)
        return success(email_object.render(email, texts, prospect, now))

    async def retry(self, request: Request) -> Response:
        """POST /emails/{id}/retry: a held email, or the failed recipients of an ended one, go into the queue again."""
        return await self._decide(request, self._edge.store.retry, NotRetryable, logs.retried)

    async def confirm(self, request: Request) -> Response:
        """POST /emails/{id}/confirm: a held email has arrived, as somebody has seen in Message trace."""
        return await self._decide(request, self._edge.store.confirm, NotHeld, logs.confirmed)

    async def _decide(
        self, request: Request, verb: Verb, impossible: Callable[[MessageState], Problem], log: Callable[..., None]
    ) -> Response:
        key = await self._keyring.administrator(request)
        id_ = _uuid(request.path_params["id"])
        change = await verb(id_, self._edge.clock.now())
        if change is None:
            raise _no_email(id_)
        if not change.happened:
            raise impossible(change.state)
        log(id_, key=key.name)
        return success(b'{"object":"email","id":"%s"}' % str(id_).encode())

    async def _accept(self, key: Key, raw: bytes | bytearray, token: str | None) -> Accepted:
        prepare = partial(self._prepare, key, raw, token, self._ids.new(), self._edge.clock.now())
        # Small work at once; large work in a thread, so that the others need not wait for it.
        acceptance, once = prepare() if len(raw) <= INLINE else await asyncio.to_thread(prepare)
        return await self._keep(acceptance, key, once)

    def _prepare(
        self, key: Key, raw: bytes | bytearray, token: str | None, id_: UUID, now: float
    ) -> tuple[Acceptance, Idempotency | None]:
        """All that can be said before the store is asked. Refers to nothing that changes, so any thread may do it."""
        value = document.parse(raw)
        reading = Reading(now, key.default_sender or self._edge.default_sender, self._edge.limits.max_recipients)
        submission = schemas.read_email(value, reading)
        pool = senders.pool_for(submission.sender, key, self._edge.route, reading.default_sender)
        once = Idempotency(key.id, SEND, token, document.canonical_digest(value)) if token is not None else None
        return self._compose(submission, id_, key, pool, now), once

    def _compose(self, submission: Submission, id_: UUID, key: Key, pool: str, now: float) -> Acceptance:
        due = submission.scheduled_at or now
        message = compose(submission, id=id_, now=datetime.fromtimestamp(due, UTC))
        self._check_size(message, submission)
        return Acceptance(
            id=id_,
            key_id=key.id,
            pool=pool,
            message=message,
            head=_head(submission),
            created_at=now,
            due_at=due,
            expires_at=due + (submission.expires_in or schedule.LIFETIME),
            scheduled_at=submission.scheduled_at,
            on_unknown=submission.on_unknown,
            lane=submission.lane,
            coalesce=submission.coalesce,
        )

    def _check_size(self, message: Message, submission: Submission) -> None:
        limit = self._edge.limits.max_message_bytes
        if len(message.content) > limit:
            raise MessageTooLarge(len(message.content), limit, attachments=bool(submission.attachments))

    async def _keep(self, acceptance: Acceptance, key: Key, once: Idempotency | None) -> Accepted:
        """The durable line: when this returns, the email is on the disk."""
        kept = await self._edge.store.accept([acceptance], once)
        if isinstance(kept, IdempotencyConflict):
            raise IdempotencyMismatch
        if not kept.replayed:
            metrics.accepted()
            logs.accepted(
                acceptance.id,
                key=key.name,
                pool=acceptance.pool,
                size=len(acceptance.message.content),
                recipients=len(acceptance.message.envelope.rcpt_to),
            )
        return kept


def _head(submission: Submission) -> Head:
    return Head(
        sender=submission.sender.render(),
        to=tuple(address.render() for address in submission.to),
        subject=submission.subject,
        cc=tuple(address.render() for address in submission.cc),
        bcc=tuple(address.render() for address in submission.bcc),
        reply_to=tuple(address.render() for address in submission.reply_to),
        tags=submission.tags,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid([Flaw("id", "It must be a UUID, as POST /emails answered it.", Name.INVALID_PARAMETER)]) from None


def _no_email(id_: UUID) -> NotFound:
    return NotFound(f"There is no email {id_}, or this API key may not see it.")


def _accepted(kept: Accepted) -> Response:
    return success(b'{"id":"%s"}' % str(kept.ids[0]).encode())
