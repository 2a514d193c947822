"""Caller of a request with its concurrency limit, and aggregated audit entries of refused sends and cancellations.

Equal refusals, or cancellations of scheduled emails, of a key are one entry per hour, counted in memory and written
about a second later, so a crash may lose the last second. Other changes are written in their own transaction.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from starlette.types import Scope

from app import logs
from app.api.auth.limits import AttemptLimiter
from app.api.problems.problem import Problem
from app.clock import Clock
from app.logs.format import mask_addresses
from app.mail.lifecycle import MessageState
from app.mail.times import HOUR
from app.store import Store, StoreError
from app.store.keys.audit import Actor, AuditAction, CountedEntry, Entry
from app.store.keys.records import Key

AUDIT_PERIOD = HOUR  # seconds that one entry covers
_WRITE_INTERVAL = 1.0  # seconds between two writes
_MAX_SUBJECT = 500  # characters of a message
_WAS_QUEUED = {"was": MessageState.QUEUED.value}
SUBMISSION_PATHS = frozenset({"/emails", "/emails/batch", "/email", "/email/batch"})

_Kind = tuple[UUID | str | int | None, ...]  # one entry each


class RefusalAudit:
    """Entries that are not written yet. Each refusal also counts against the limit of attempts."""

    def __init__(self, store: Store, clock: Clock, attempts: AttemptLimiter) -> None:
        self._store = store
        self._clock = clock
        self._attempts = attempts
        self._counted: dict[_Kind, CountedEntry] = {}
        self._task: asyncio.Task[None] | None = None

    def record(self, scope: Scope, problem: Problem) -> None:
        """Record a refusal. Requests that are no sends, and server errors, are ignored."""
        if scope["path"] not in SUBMISSION_PATHS or scope["method"] != "POST" or problem.status >= 500:
            return
        now, key = self._clock.now(), scope["caller"].key
        if key is not None:
            self._attempts.count(key.id)
        kind = (key and key.id, problem.status, problem.name.value, problem.reason, int(now // AUDIT_PERIOD))
        self._add(kind, partial(_entry, scope, key, problem), now)

    async def canceled(self, id_: UUID, actor: Actor) -> None:
        """Record the cancellation of a scheduled email. Written on return, or later if the store is unavailable."""
        now = self._clock.now()
        entry = partial(Entry, by=actor, action=AuditAction.EMAIL_CANCELED, subject=str(id_), details=_WAS_QUEUED)
        self._add((actor.key_id, AuditAction.EMAIL_CANCELED.value, int(now // AUDIT_PERIOD)), entry, now)
        await asyncio.shield(self._write())  # a caller that disconnects must not cancel the write of other entries

    def _add(self, kind: _Kind, entry: Callable[[float], Entry], now: float) -> None:
        known = self._counted.get(kind)
        self._counted[kind] = (
            replace(known, last_at=now, times=known.times + 1)
            if known
            else CountedEntry(entry(now), now, 1, "/".join(map(str, kind)))
        )
        if self._task is None:
            self._task = asyncio.ensure_future(self._write_soon())

    async def close(self) -> None:
        """Write the remaining entries."""
        if self._task is not None:
            self._task.cancel()
        await self._write()

    async def _write_soon(self) -> None:
        try:
            while self._counted:
                await asyncio.sleep(_WRITE_INTERVAL)
                await self._write()
        finally:
            self._task = None

    async def _write(self) -> None:
        counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            await self._store.record_refusals([*counted.values()])
        except StoreError as error:
            logs.store_failed("audit", error)
            for kind, old in counted.items():
                more = self._counted.get(kind)
                self._counted[kind] = replace(old, last_at=more.last_at, times=old.times + more.times) if more else old


def _entry(scope: Scope, key: Key | None, problem: Problem, now: float) -> Entry:
    actor = Actor(key.name if key else "no valid key", key.id if key else None, scope["request_id"])
    details: dict[str, Any] = {"status": problem.status, "name": problem.name.value}
    if problem.reason is not None:
        details["reason"] = problem.reason
    return Entry(
        now,
        actor,
        AuditAction.SEND_REFUSED,
        f"POST {scope['path']}",
        {**details, "message": mask_addresses(problem.message[:_MAX_SUBJECT], frozenset())},
    )
