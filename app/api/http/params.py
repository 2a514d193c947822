"""Parameters that several routes have: ids and pages of a list, with the error sentences; and the form of a list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, Field, PlainValidator
from typing_extensions import TypedDict

from app.api.openapi.types import EVENT_ID, Id
from app.api.problems.problem import ErrorName, NotFound
from app.api.problems.validation import validation_error

L = TypeVar("L")

MAX_PAGE = 100  # entries of a page
DEFAULT_PAGE = 20  # entries
INVALID_UUID = "It must be a UUID, as returned by this API."
INVALID_LIMIT = f"It must be a whole number from 1 to {MAX_PAGE}."
ONE_DIRECTION = "Give `after` or `before`, not both."
NO_ENTRY = "This list has no entry with the id in `{}`."
MISSING_MEMBER = "This member is required."

_LIMIT = re.compile("0*(?:[1-9][0-9]?|100)", re.ASCII)


def _limit(text: Any) -> int:
    if not _LIMIT.fullmatch(str(text)):
        raise validation_error(INVALID_LIMIT)
    return int(text)


def uuid(text: str, sentence: str = INVALID_UUID, name: ErrorName = ErrorName.VALIDATION_ERROR) -> UUID:
    """Return a UUID. Raises `validation_error`."""
    try:
        return UUID(text)
    except ValueError:
        raise validation_error(sentence, name=name) from None


def _path_id(text: str) -> UUID:
    return uuid(text, name=ErrorName.INVALID_PARAMETER)


PathId: TypeAlias = Annotated[UUID, PlainValidator(_path_id, Id)]
EmailId: TypeAlias = Annotated[PathId, Path(description="The id of the email.")]
PageLimit: TypeAlias = Annotated[int, PlainValidator(_limit, Annotated[int, Field(ge=1, le=MAX_PAGE)])]


class PageQuery(BaseModel):
    """Page of a list."""

    limit: PageLimit = Field(DEFAULT_PAGE, description="Entries on a page; 20 by default.", examples=[DEFAULT_PAGE])
    after: Annotated[UUID | None, PlainValidator(uuid, Id)] = Field(
        None, description="The id of an entry. The page begins after it.", examples=[EVENT_ID]
    )


class ListQuery(BaseModel):
    """Part of a list that is complete without a query, as Resend's SDKs request it."""

    limit: Annotated[int | None, PlainValidator(_limit, Annotated[int, Field(ge=1, le=MAX_PAGE)])] = Field(
        None, description="Maximum number of entries; all by default."
    )
    after: str | None = Field(None, description="The id of an entry: those behind it in the list.")
    before: str | None = Field(None, description="The id of an entry: those ahead of it in the list.")


class CompleteList(TypedDict):
    """List without pages. A subclass adds `data`."""

    object: Literal["list"]
    has_more: Literal[False]


class Page(TypedDict):
    """Page of a list. A subclass adds `data`."""

    object: Literal["list"]
    has_more: bool


def list_object(kind: type[L], data: Iterable[Any], *, has_more: bool = False) -> L:
    """Return a list of this kind, CompleteList or Page."""
    return cast("L", {"object": "list", "has_more": has_more, "data": [*data]})


def list_part(kind: type[L], data: Iterable[Mapping[str, Any]], query: ListQuery) -> L:
    """Return the entries between `after` and `before`, at most `limit`. Raises NotFound if one is not in the list."""
    rows = [*data]
    ids = [row["id"] for row in rows]
    start = _position(ids, "after", query.after) + 1 if query.after else 0
    end = _position(ids, "before", query.before) if query.before else len(rows)
    if query.limit is not None and query.before and not query.after:
        start = max(start, end - query.limit)
    part = rows[start:end][: query.limit]
    return list_object(kind, part, has_more=len(part) < len(rows[start:end]) or (start > 0 and not query.after))


def check_direction(after: object, before: object) -> None:
    """Refuse a page in both directions. Raises `validation_error`."""
    if after is not None and before is not None:
        raise validation_error(ONE_DIRECTION, at="after")


def _position(ids: Sequence[str], name: str, id: str) -> int:
    try:
        return ids.index(id)
    except ValueError:
        raise NotFound(NO_ENTRY.format(name)) from None
