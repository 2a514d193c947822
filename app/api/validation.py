"""POST /emails/validate: everything that POST /emails does with an email but keeping it."""

import asyncio
import json
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from app.api import body, document
from app.api.edge import Edge
from app.api.explanation import estimate
from app.api.intake import INLINE, Intake
from app.api.keys import Keyring
from app.api.wire import success, timestamp
from app.store.records import Acceptance, Key


class Validation:
    """The route."""

    def __init__(self, edge: Edge, keyring: Keyring, intake: Intake) -> None:
        self._edge = edge
        self._keyring = keyring
        self._intake = intake

    async def validate(self, request: Request) -> Response:
        """POST /emails/validate: 200, or what POST /emails would answer. Nothing is kept, no Idempotency-Key used."""
        key = await self._keyring.holder(request)
        raw = await body.read(request, self._edge.limits)
        now = self._edge.clock.now()
        prepare = partial(self._prepare, key, raw, self._intake.ids.new(now), now)
        would_be = prepare() if len(raw) <= INLINE else await asyncio.to_thread(prepare)
        answer = {
            "object": "validation",
            "valid": True,
            "size": len(would_be.message.content),
            "pool": would_be.pool,
            "scheduled_at": timestamp(would_be.scheduled_at),
            "estimated_send_at": timestamp(await self._estimate(would_be, now)),
        }
        return success(json.dumps(answer).encode())

    def _prepare(self, key: Key, raw: bytes | bytearray, id_: UUID, now: float) -> Acceptance:
        return self._intake.prepare(document.parse(raw), key, id_, now)

    async def _estimate(self, would_be: Acceptance, now: float) -> float | None:
        if would_be.due_at > now:
            return would_be.due_at
        outlook = await self._edge.store.outlook_of_next(would_be.pool, would_be.lane, would_be.key_id, now)
        return estimate(now, outlook, self._edge.capacities, now)
