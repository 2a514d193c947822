"""Routes under /suppressions, with the paths and members of Resend's. All require full access."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.headers import json_object
from app.api.http.params import list_object
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.problems.problem import NotFound
from app.api.suppressions import schema, view
from app.api.suppressions.input import (
    SuppressionBatch,
    SuppressionInput,
    SuppressionKey,
    SuppressionQuery,
    SuppressionRemoval,
)
from app.mail.suppression import Origin
from app.store.suppressions.records import Additions, Removals, Suppression

_operation = partial(operation, tag=Tag.SUPPRESSIONS, needs=RequiredPermission.FULL_ACCESS)


class SuppressionRoutes:
    """Add, list, read and remove suppressions. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "addSuppression",
        "Suppress an address",
        examples={"an address": schema.INPUT},
        answer=Answer("The suppression of the address.", schema.AddedSuppression, {"added": schema.ADDED}, status=201),
        errors=schema.INPUT_ERRORS,
        links=schema.LINKS,
        description="An address that is suppressed already keeps its suppression, which does not expire any more. "
        "Emails that were accepted before are sent.",
    )
    async def add(self, request: ApiRequest, body: SuppressionInput) -> Response:
        """POST /suppressions."""
        (added,) = await self._add(request, [body.email])
        return json_object(_reference(added), 201)

    @_operation(
        "addSuppressions",
        "Suppress several addresses",
        examples={"two": schema.BATCH},
        answer=Answer(
            "The suppression of each address.",
            schema.AddedSuppressions,
            {"added": {"data": [schema.ADDED, schema.OTHER_ADDED]}},
            status=201,
        ),
        errors=(*schema.BATCH_ERRORS, schema.BATCH_MISSING_ERROR),
        description="Up to 100 addresses, without duplicates. If one of them is no address, none is suppressed.",
    )
    async def add_batch(self, request: ApiRequest, body: SuppressionBatch) -> Response:
        """POST /suppressions/batch/add."""
        return json_object({"data": [*map(_reference, await self._add(request, body.emails))]}, 201)

    @_operation(
        "listSuppressions",
        "List the suppressions",
        answer=Answer(
            "A page of suppressions, newest first.",
            schema.SuppressionList,
            {"one": list_object([schema.LISTED])},
        ),
        errors=schema.PAGE_ERRORS,
        description="Give `after` or `before`, not both. `has_more`: there are more in that direction.",
    )
    async def list_(self, query: Annotated[SuppressionQuery, Query()]) -> Response:
        """GET /suppressions, newest first."""
        found, has_more = await self._context.store.suppressions(
            query.origin, query.limit, self._context.clock.now(), after=query.after, before=query.before
        )
        return json_object(list_object(map(view.listed, found), has_more=has_more))

    @_operation(
        "getSuppression",
        "Get a suppression",
        answer=Answer("The suppression.", view.SuppressionObject, {"a bounce": schema.SUPPRESSION}),
        errors=schema.KEY_ERRORS,
    )
    async def show(self, id: SuppressionKey) -> Response:
        """GET /suppressions/{id}, by id or address."""
        found = await self._context.store.suppression(id, self._context.clock.now())
        if found is None:
            raise _no_suppression(id)
        return json_object(view.suppression(found))

    @_operation(
        "removeSuppression",
        "Remove a suppression",
        answer=Answer(
            "The address gets emails again.", schema.RemovedSuppression, {"removed": {**schema.ADDED, "deleted": True}}
        ),
        errors=schema.KEY_ERRORS,
        description="Emails that ended as suppressed are not sent again: submit them again.",
    )
    async def remove(self, request: ApiRequest, id: SuppressionKey) -> Response:
        """DELETE /suppressions/{id}, by id or address."""
        removed = await self._remove(request, **{"ids" if isinstance(id, UUID) else "addresses": (id,)})
        if not removed:
            raise _no_suppression(id)
        return json_object(_removed(removed[0]))

    @_operation(
        "removeSuppressions",
        "Remove several suppressions",
        examples={"by address": schema.BATCH, "by id": {"ids": [schema.ADDED["id"]]}},
        answer=Answer(
            "The suppressions that were removed.",
            schema.RemovedSuppressions,
            {"removed": {"data": [{**schema.ADDED, "deleted": True}]}},
        ),
        errors=schema.REMOVAL_ERRORS,
        description="Up to 100 addresses or ids. Those that are not suppressed are left out of the answer.",
    )
    async def remove_batch(self, request: ApiRequest, body: SuppressionRemoval) -> Response:
        """POST /suppressions/batch/remove."""
        removed = await self._remove(request, ids=body.ids, addresses=body.emails)
        return json_object({"data": [*map(_removed, removed)]})

    async def _add(self, request: ApiRequest, addresses: Sequence[str]) -> list[Suppression]:
        additions = Additions(tuple(addresses), Origin.MANUAL, self._context.clock.now(), request.actor)
        added = await self._context.store.add_suppressions(additions)
        logs.suppressions_changed(len(added), what="added", key=request.key.name)
        return added

    async def _remove(self, request: ApiRequest, **of: Any) -> list[Suppression]:
        removals = Removals(self._context.clock.now(), request.actor, **of)
        removed = await self._context.store.remove_suppressions(removals)
        logs.suppressions_changed(len(removed), what="removed", key=request.key.name)
        return removed


def _reference(one: Suppression) -> dict[str, Any]:
    return {"object": "suppression", "id": str(one.id)}


def _removed(one: Suppression) -> dict[str, Any]:
    return {**_reference(one), "deleted": True}


def _no_suppression(key: UUID | str) -> NotFound:
    return NotFound(f"There is no suppression {key}.")
