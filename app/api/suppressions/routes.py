"""Routes under /suppressions, with the paths and members of Resend's. All require full access."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from typing_extensions import TypedDict

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import INVALID_LIMIT, MISSING_MEMBER, ONE_DIRECTION, Page, list_object
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, links, operation
from app.api.openapi.types import AT, EVENT_ID, ID, OTHER_ID, Id
from app.api.problems.problem import ErrorName, NotFound, found
from app.api.suppressions import view
from app.api.suppressions.input import (
    INVALID_KEY,
    INVALID_LENGTH,
    INVALID_ORIGIN,
    ONE_LIST,
    SuppressionBatch,
    SuppressionInput,
    SuppressionKey,
    SuppressionQuery,
    SuppressionRemoval,
)
from app.api.suppressions.view import ListedSuppression
from app.mail.suppression import Origin
from app.store.suppressions.records import Additions, Removals, Suppression

_INPUT = {"email": "anna@example.com"}
_BATCH = {"emails": ["anna@example.com", "bob@example.net"]}
_ADDED = {"object": "suppression", "id": EVENT_ID}
_OTHER_ADDED = {"object": "suppression", "id": OTHER_ID}
_LISTED: dict[str, Any] = {
    "id": EVENT_ID,
    "email": "anna@example.com",
    "origin": "bounce",
    "source_id": ID,
    "created_at": AT,
    "expires_at": "2027-11-24T09:00:00.000Z",
    "evidence": {
        "email_id": ID,
        "code": "5.1.10",
        "text": "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "seen_by": "reply",
    },
}
_SUPPRESSION = {"object": "suppression", **_LISTED}

_KEY_ERRORS = (
    invalid("id", INVALID_KEY, ErrorName.INVALID_PARAMETER),
    NotFound(f"There is no suppression {EVENT_ID}."),
)
_PAGE_ERRORS = (
    invalid("limit", INVALID_LIMIT),
    invalid("origin", INVALID_ORIGIN),
    invalid("after", ONE_DIRECTION),
)
_INPUT_ERRORS = (
    invalid("email", "The address has no @; write it like anna@example.com."),
    invalid("email", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD),
)
_BATCH_ERRORS = (
    invalid("emails", INVALID_LENGTH),
    invalid("emails[1]", "The address has no @; write it like anna@example.com."),
)
_BATCH_MISSING_ERROR = invalid("emails", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD)
_REMOVAL_ERRORS = (*_BATCH_ERRORS, invalid("emails", ONE_LIST))
_LINKS = links({"id": "$response.body#/id"}, "getSuppression", "removeSuppression")

_operation = partial(operation, tag=OperationTag.SUPPRESSIONS, needs=RequiredPermission.FULL_ACCESS)


class AddedSuppression(TypedDict):
    """The suppression of an address, new or from before."""

    object: Literal["suppression"]
    id: Id


class RemovedSuppression(AddedSuppression):
    """The suppression that was removed."""

    deleted: Literal[True]


class AddedSuppressions(TypedDict):
    """The suppression of each address, in the order of the request."""

    data: list[AddedSuppression]


class RemovedSuppressions(TypedDict):
    """The suppressions that were removed."""

    data: list[RemovedSuppression]


class SuppressionList(Page):
    """A page of suppressions, newest first."""

    data: list[ListedSuppression]


class SuppressionRoutes:
    """Add, list, read and remove suppressions. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /suppressions",
        "The suppression of the address.",
        {"added": _ADDED},
        status=201,
        requests={"an address": _INPUT},
        errors=_INPUT_ERRORS,
        links=_LINKS,
    )
    async def add_suppression(self, request: ApiRequest, body: SuppressionInput) -> AddedSuppression:
        """Suppress an address.

        An address that is suppressed already keeps its suppression, which does not expire any more. Emails that were
        accepted before are sent.
        """
        (added,) = await self._add(request, [body.email])
        return _reference(added)

    @_operation(
        "POST /suppressions/batch/add",
        "The suppression of each address.",
        {"added": {"data": [_ADDED, _OTHER_ADDED]}},
        status=201,
        requests={"two": _BATCH},
        errors=(*_BATCH_ERRORS, _BATCH_MISSING_ERROR),
    )
    async def add_suppressions(self, request: ApiRequest, body: SuppressionBatch) -> AddedSuppressions:
        """Suppress several addresses.

        Up to 100 addresses, without duplicates. If one of them is no address, none is suppressed.
        """
        return {"data": [*map(_reference, await self._add(request, body.emails))]}

    @_operation(
        "GET /suppressions",
        "A page of suppressions, newest first.",
        {"one": list_object(SuppressionList, [_LISTED])},
        errors=_PAGE_ERRORS,
    )
    async def list_suppressions(self, query: Annotated[SuppressionQuery, Query()]) -> SuppressionList:
        """List the suppressions.

        Give `after` or `before`, not both. `has_more`: there are more in that direction.
        """
        page, has_more = await self._context.store.suppressions(
            query.origin, query.limit, self._context.clock.now(), after=query.after, before=query.before
        )
        return list_object(SuppressionList, map(view.listed, page), has_more=has_more)

    @_operation(
        "GET /suppressions/{id:but_batch_words}",
        "The suppression.",
        {"a bounce": _SUPPRESSION},
        errors=_KEY_ERRORS,
    )
    async def get_suppression(self, id: SuppressionKey) -> view.SuppressionObject:
        """Get a suppression."""
        record = await self._context.store.suppression(id, self._context.clock.now())
        return view.suppression(found(record, _no_suppression(id)))

    @_operation(
        "DELETE /suppressions/{id:but_batch_words}",
        "The address gets emails again.",
        {"removed": {**_ADDED, "deleted": True}},
        errors=_KEY_ERRORS,
    )
    async def remove_suppression(self, request: ApiRequest, id: SuppressionKey) -> RemovedSuppression:
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
        {"removed": {"data": [{**_ADDED, "deleted": True}]}},
        requests={"by address": _BATCH, "by id": {"ids": [_ADDED["id"]]}},
        errors=_REMOVAL_ERRORS,
    )
    async def remove_suppressions(self, request: ApiRequest, body: SuppressionRemoval) -> RemovedSuppressions:
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


def _reference(suppression: Suppression) -> AddedSuppression:
    return {"object": "suppression", "id": str(suppression.id)}


def _removed(suppression: Suppression) -> RemovedSuppression:
    return {**_reference(suppression), "deleted": True}


def _no_suppression(key: UUID | str) -> NotFound:
    return NotFound(f"There is no suppression {key}.")
