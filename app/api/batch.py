"""POST /emails/batch: up to 100 emails in one request and one commit, under one Idempotency-Key.

Strict (the default): all of them or none. Permissive: the good ones are kept, and the others are told by their place.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api import body, document, idempotency
from app.api.edge import Edge
from app.api.errors import BatchRefused, Flaw, Invalid, Problem, in_item
from app.api.field_warnings import Warned
from app.api.fields import kind
from app.api.intake import Intake, Prepared
from app.api.keys import Keyring
from app.api.memory import turn
from app.api.openapi import Answer, Body, Needs, Parameter, Place, Tag, operation
from app.api.openapi_email import CODE, RECEIPT
from app.api.openapi_errors import invalid
from app.api.openapi_shared import IDEMPOTENCY_KEY, OF_BUDGET, OF_EMAIL, OF_IDEMPOTENCY, next_steps
from app.api.openapi_types import ID, OTHER_ID, Id, says
from app.api.schemas import EmailInput
from app.api.wire import header, success
from app.store.records import Idempotency, Key

PATH = "/emails/batch"
MOST = 100  # emails in one request

_PERMISSIVE = {b"strict": False, b"permissive": True}


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The good items, the others by their place, and the key under which the good ones are to be kept."""

    good: Sequence[Prepared]
    refused: Sequence[tuple[int, Problem]]
    once: Idempotency | None


class KeptItem(Warned):
    """An email of the batch that is on the disk."""

    id: Id


class RefusedItem(TypedDict):
    """An item of the batch that was not kept."""

    index: Annotated[int, says("Its place in the request, from 0 on.", ge=0)]
    message: str


class KeptBatch(TypedDict):
    """What was kept, in the order of the request."""

    data: list[KeptItem]
    errors: NotRequired[Annotated[list[RefusedItem], says("Only in a permissive batch, and then always.")]]


_VALIDATION = Parameter(
    "x-batch-validation",
    Literal["strict", "permissive"],
    "`strict` (the default): all of them or none. `permissive`: the good ones are kept.",
    place=Place.HEADER,
)
_OF_BATCH = (
    BatchRefused([(1, invalid("to", "The recipient is missing; give at least one address."))]),
    invalid("", "The list has 101 emails; a batch has 1 to 100."),
)


class Batch:
    """The route."""

    def __init__(self, edge: Edge, keyring: Keyring, intake: Intake) -> None:
        self._edge = edge
        self._keyring = keyring
        self._intake = intake

    @operation(
        "sendBatch",
        "Send up to 100 emails",
        tag=Tag.EMAILS,
        needs=Needs.HOLDER,
        parameters=(IDEMPOTENCY_KEY, _VALIDATION),
        body=Body(Annotated[list[EmailInput], Field(min_length=1, max_length=MOST)], {"two emails": [RECEIPT, CODE]}),
        answer=Answer(
            "What was kept is on the disk, by one commit.",
            KeptBatch,
            {
                "strict": {"data": [{"id": ID}, {"id": OTHER_ID}]},
                "permissive": {
                    "data": [{"id": ID}],
                    "errors": [{"index": 1, "message": "[1].to: The recipient is missing; give at least one address."}],
                },
            },
        ),
        refuses=(*OF_EMAIL, *_OF_BATCH, *OF_BUDGET, *OF_IDEMPOTENCY),
        links=next_steps("$response.body#/data/0/id"),
    )
    async def send(self, request: Request) -> Response:
        """POST /emails/batch: 200 with the ids, in order, once all that is kept is on the disk."""
        key = await self._keyring.holder(request)
        self._intake.admit(key)
        token = idempotency.key_of(request)
        permissive = _permissive(request)
        raw = await body.read(request, self._edge.limits)
        with self._held(key, token):
            # In a thread: a hundred emails take as long as a hundred requests, and those would let others between.
            now = self._edge.clock.now()
            ids = [self._intake.ids.new(now) for _ in range(MOST)]
            async with turn(request.scope, len(raw)):
                found = await asyncio.to_thread(self._sort, key, raw, token, ids, now)
                if found.refused and not permissive:
                    raise BatchRefused(found.refused)
                for _, problem in found.refused:
                    self._intake.refusals.note(request.scope, problem)
                good = [prepared.acceptance for prepared in found.good]
                kept = (await self._intake.keep(good, key, found.once)).ids if good else ()
        return _answer(_items_kept(kept, found.good), found.refused if permissive else None)

    def _held(self, key: Key, token: str | None) -> AbstractContextManager[None]:
        return nullcontext() if token is None else self._intake.in_flight.hold(key.id, PATH, token)

    def _sort(self, key: Key, raw: bytes | bytearray, token: str | None, ids: Sequence[UUID], now: float) -> _Sorted:
        value, repaired = document.parse_email(raw)
        good, refused = [], []
        for index, (item, id_) in enumerate(zip(_items(value), ids, strict=False)):
            try:
                good.append(self._intake.prepare(item, key, id_, now, repaired=repaired))
            except Problem as problem:
                refused.append((index, problem))
        once = None if token is None else Idempotency(key.id, PATH, token, document.canonical_digest(value))
        return _Sorted(good, refused, once)


def _permissive(request: Request) -> bool:
    given = header(request.scope, b"x-batch-validation") or b"strict"
    try:
        return _PERMISSIVE[given.strip().lower()]
    except KeyError:
        raise Invalid([Flaw("x-batch-validation", "It must be `strict` or `permissive`.")]) from None


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid([Flaw("", f"The request body must be a list of emails, not {kind(value)}.")])
    if not 1 <= len(value) <= MOST:
        raise Invalid([Flaw("", f"The list has {len(value)} emails; a batch has 1 to {MOST}.")])
    return value


def _items_kept(ids: Sequence[UUID], good: Sequence[Prepared]) -> list[KeptItem]:
    """Each id with its warnings. A repetition is told the earlier ids, and how many they are was decided then."""
    if len(ids) != len(good):
        return [{"id": str(id_)} for id_ in ids]
    return [{"id": str(id_), **prepared.warned} for id_, prepared in zip(ids, good, strict=True)]


def _answer(kept: list[KeptItem], refused: Sequence[tuple[int, Problem]] | None) -> Response:
    answer: KeptBatch = {"data": kept}
    if refused is not None:
        answer["errors"] = [{"index": index, "message": in_item(index, problem)} for index, problem in refused]
    return success(json.dumps(answer).encode())
