"""Routes under /suppressions, with the paths and members of Resend's. All require full access."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import list_object
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.problems.problem import NotFound, found
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

_operation = partial(operation, tag=OperationTag.SUPPRESSIONS, needs=RequiredPermission.FULL_ACCESS)


class SuppressionRoutes:
    """Add, list, read and remove suppressions. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /suppressions",
        "The suppression of the address.",
        {"added": schema.ADDED},
        status=201,
        requests={"an address": schema.INPUT},
        errors=schema.INPUT_ERRORS,
        links=schema.LINKS,
    )
    async def add_suppression(self, request: ApiRequest, body: SuppressionInput) -> schema.AddedSuppression:
        """Suppress an address.

        An address that is suppressed already keeps its suppression, which does not expire any more. Emails that were
        accepted before are sent.
        """
        (added,) = await self._add(request, [body.email])
        return _reference(added)

    @_operation(
        "POST /suppressions/batch/add",
        "The suppression of each address.",
        {"added": {"data": [schema.ADDED, schema.OTHER_ADDED]}},
        status=201,
        requests={"two": schema.BATCH},
        errors=(*schema.BATCH_ERRORS, schema.BATCH_MISSING_ERROR),
    )
    async def add_suppressions(self, request: ApiRequest, body: SuppressionBatch) -> schema.AddedSuppressions:
        """Suppress several addresses.

        Up to 100 addresses, without duplicates. If one of them is no address, none is suppressed.
        """
        return {"data": [*map(_reference, await self._add(request, body.emails))]}

    @_operation(
        "GET /suppressions",
        "A page of suppressions, newest first.",
        {"one": list_object(schema.SuppressionList, [schema.LISTED])},
        errors=schema.PAGE_ERRORS,
    )
    async def list_suppressions(self, query: Annotated[SuppressionQuery, Query()]) -> schema.SuppressionList:
        """List the suppressions.

        Give `after` or `before`, not both. `has_more`: there are more in that direction.
        """
        page, has_more = await self._context.store.suppressions(
            query.origin, query.limit, self._context.clock.now(), after=query.after, before=query.before
        )
        return list_object(schema.SuppressionList, map(view.listed, page), has_more=has_more)

    @_operation(
        "GET /suppressions/{id:but_batch_words}",
        "The suppression.",
        {"a bounce": schema.SUPPRESSION},
        errors=schema.KEY_ERRORS,
    )
    async def get_suppression(self, id: SuppressionKey) -> view.SuppressionObject:
        """Get a suppression."""
        record = await self._context.store.suppression(id, self._context.clock.now())
        return view.suppression(found(record, _no_suppression(id)))

    @_operation(
        "DELETE /suppressions/{id:but_batch_words}",
        "The address gets emails again.",
        {"removed": {**schema.ADDED, "deleted": True}},
        errors=schema.KEY_ERRORS,
    )
    async def remove_suppression(self, request: ApiRequest, id: SuppressionKey) -> schema.RemovedSuppression:
        """Remove a suppression.

        Emails that ended as suppressed are not sent again: submit them again.
        """
        removed = await self._remove(request, **{"ids" if isinstance(id, UUID) else "addresses": (id,)})
        if not removed:
            raise _no_suppression(id)
        return _removed(removed[0])

    @_operation(
        "POST /suppressions/batch/remove",
        "The suppressions that were removed.",
        {"removed": {"data": [{**schema.ADDED, "deleted": True}]}},
        requests={"by address": schema.BATCH, "by id": {"ids": [schema.ADDED["id"]]}},
        errors=schema.REMOVAL_ERRORS,
    )
    async def remove_suppressions(self, request: ApiRequest, body: SuppressionRemoval) -> schema.RemovedSuppressions:
        """Remove several suppressions.

        Up to 100 addresses or ids. Those that are not suppressed are left out of the answer.
        """
        return {"data": [*map(_removed, await self._remove(request, ids=body.ids, addresses=body.emails))]}

    async def _add(self, request: ApiRequest, addresses: Sequence[str]) -> list[Suppression]:
        additions = Additions(tuple(addresses), Origin.MANUAL, self._context.clock.now(), request.actor)
        added = await self._context.store.add_suppressions(additions)
        logs.suppressions_changed(len(added), what="added", key=request.actor.name)
        return added

    async def _remove(self, request: ApiRequest, **selection: Any) -> list[Suppression]:
        removals = Removals(self._context.clock.now(), request.actor, **selection)
        removed = await self._context.store.remove_suppressions(removals)
        logs.suppressions_changed(len(removed), what="removed", key=request.actor.name)
        return removed


def _reference(suppression: Suppression) -> schema.AddedSuppression:
    return {"object": "suppression", "id": str(suppression.id)}


def _removed(suppression: Suppression) -> schema.RemovedSuppression:
    return {**_reference(suppression), "deleted": True}


def _no_suppression(key: UUID | str) -> NotFound:
    return NotFound(f"There is no suppression {key}.")
