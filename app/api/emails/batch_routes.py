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

from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http import body, idempotency, strict_json
from app.api.http.headers import header, json_ok
from app.api.http.memory_budget import large_work_slot
from app.api.openapi.email_types import CODE, RECEIPT
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, Body, Parameter, ParameterIn, RequiredPermission, Tag, operation
from app.api.openapi.shared import IDEMPOTENCY_KEY, OF_BUDGET, OF_EMAIL, OF_IDEMPOTENCY, next_steps
from app.api.openapi.types import ID, OTHER_ID, Id, describe
from app.api.problems.problem import BatchRefused, FieldError, Invalid, Problem, item_message
from app.api.submission.fields import json_type
from app.api.submission.pipeline import Prepared, SubmissionPipeline
from app.api.submission.schema import EmailInput
from app.api.submission.warnings import Warned
from app.store.keys.records import Key
from app.store.records import Idempotency

PATH = "/emails/batch"
MAX_BATCH = 100  # emails in one request

_PERMISSIVE = {b"strict": False, b"permissive": True}


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The good items, the others by their place, and the key under which the good ones are to be kept."""

    good: Sequence[Prepared]
    refused: Sequence[tuple[int, Problem]]
    once: Idempotency | None


class AcceptedItem(Warned):
    """An email of the batch that is on the disk."""

    id: Id


class RejectedItem(TypedDict):
    """An item of the batch that was not kept."""

    index: Annotated[int, describe("Its place in the request, from 0 on.", ge=0)]
    message: str


class AcceptedBatch(TypedDict):
    """What was kept, in the order of the request."""

    data: list[AcceptedItem]
    errors: NotRequired[Annotated[list[RejectedItem], describe("Only in a permissive batch, and then always.")]]


_VALIDATION = Parameter(
    "x-batch-validation",
    Literal["strict", "permissive"],
    "`strict` (the default): all of them or none. `permissive`: the good ones are kept.",
    place=ParameterIn.HEADER,
)
_OF_BATCH = (
    BatchRefused([(1, invalid("to", "The recipient is missing; give at least one address."))]),
    invalid("", "The list has 101 emails; a batch has 1 to 100."),
)


class BatchRoute:
    """The route."""

    def __init__(self, edge: ApiContext, keyring: Authenticator, intake: SubmissionPipeline) -> None:
        self._edge = edge
        self._keyring = keyring
        self._intake = intake

    @operation(
        "sendBatch",
        "Send up to 100 emails",
        tag=Tag.EMAILS,
        needs=RequiredPermission.HOLDER,
        parameters=(IDEMPOTENCY_KEY, _VALIDATION),
        body=Body(
            Annotated[list[EmailInput], Field(min_length=1, max_length=MAX_BATCH)], {"two emails": [RECEIPT, CODE]}
        ),
        answer=Answer(
            "What was kept is on the disk, by one commit.",
            AcceptedBatch,
            {
                "strict": {"data": [{"id": ID}, {"id": OTHER_ID}]},
                "permissive": {
                    "data": [{"id": ID}],
                    "errors": [{"index": 1, "message": "[1].to: The recipient is missing; give at least one address."}],
                },
            },
        ),
        errors=(*OF_EMAIL, *_OF_BATCH, *OF_BUDGET, *OF_IDEMPOTENCY),
        links=next_steps("$response.body#/data/0/id"),
    )
    async def send(self, request: Request) -> Response:
        """POST /emails/batch: 200 with the ids, in order, once all that is kept is on the disk."""
        key = await self._keyring.any_key(request)
        self._intake.admit(key)
        token = idempotency.key_of(request)
        permissive = _permissive(request)
        raw = await body.read(request, self._edge.limits)
        with self._held(key, token):
            # In a thread: a hundred emails take as long as a hundred requests, and those would let others between.
            now = self._edge.clock.now()
            ids = [self._intake.ids.new(now) for _ in range(MAX_BATCH)]
            async with large_work_slot(request.scope, len(raw)):
                found = await asyncio.to_thread(self._sort, key, raw, token, ids, now)
                if found.refused and not permissive:
                    raise BatchRefused(found.refused)
                for _, problem in found.refused:
                    self._intake.refusals.record(request.scope, problem)
                good = [prepared.acceptance for prepared in found.good]
                kept = (await self._intake.commit(good, key, found.once)).ids if good else ()
        return _answer(_items_kept(kept, found.good), found.refused if permissive else None)

    def _held(self, key: Key, token: str | None) -> AbstractContextManager[None]:
        return nullcontext() if token is None else self._intake.in_flight.hold(key.id, PATH, token)

    def _sort(self, key: Key, raw: bytes | bytearray, token: str | None, ids: Sequence[UUID], now: float) -> _Sorted:
        value, repaired = strict_json.parse_email(raw)
        good, refused = [], []
        for index, (item, id_) in enumerate(zip(_items(value), ids, strict=False)):
            try:
                good.append(self._intake.build(item, key, id_, now, repaired=repaired))
            except Problem as problem:
                refused.append((index, problem))
        once = None if token is None else Idempotency(key.id, PATH, token, strict_json.canonical_digest(value))
        return _Sorted(good, refused, once)


def _permissive(request: Request) -> bool:
    given = header(request.scope, b"x-batch-validation") or b"strict"
    try:
        return _PERMISSIVE[given.strip().lower()]
    except KeyError:
        raise Invalid([FieldError("x-batch-validation", "It must be `strict` or `permissive`.")]) from None


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid([FieldError("", f"The request body must be a list of emails, not {json_type(value)}.")])
    if not 1 <= len(value) <= MAX_BATCH:
        raise Invalid([FieldError("", f"The list has {len(value)} emails; a batch has 1 to {MAX_BATCH}.")])
    return value


def _items_kept(ids: Sequence[UUID], good: Sequence[Prepared]) -> list[AcceptedItem]:
    """Each id with its warnings. A repetition is told the earlier ids, and how many they are was decided then."""
    if len(ids) != len(good):
        return [{"id": str(id_)} for id_ in ids]
    return [{"id": str(id_), **prepared.warned} for id_, prepared in zip(ids, good, strict=True)]


def _answer(kept: list[AcceptedItem], refused: Sequence[tuple[int, Problem]] | None) -> Response:
    answer: AcceptedBatch = {"data": kept}
    if refused is not None:
        answer["errors"] = [{"index": index, "message": item_message(index, problem)} for index, problem in refused]
    return json_ok(json.dumps(answer).encode())
