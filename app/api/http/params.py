"""Input that several routes have: base of JSON bodies, ids, pages of a list, with the error sentences; form of a list.

Unknown members of a body are ignored, and null means the same as leaving a member out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from typing_extensions import TypedDict

from app.api.openapi.types import EVENT_ID, Id
from app.api.problems.problem import ErrorName, NotFound
from app.api.problems.validation import missing, validation_error

L = TypeVar("L")

MAX_PAGE = 100  # entries of a page
DEFAULT_PAGE = 20  # entries
INVALID_UUID = "It must be a UUID, as returned by this API."
INVALID_LIMIT = f"It must be a whole number from 1 to {MAX_PAGE}."
ONE_DIRECTION = "Give `after` or `before`, not both."
NO_ENTRY = "This list has no entry with the id in `{}`."
MISSING_MEMBER = "This member is required."

_LIMIT = re.compile("0*(?:[1-9][0-9]?|100)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Required:
    """Mark of a member that must be present; `sentence` is the error without it."""

    sentence: str


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add what the types do not express: the required members. A default is no value of a request."""
    if required := list(_required(model)):
        schema["required"] = required
    if issubclass(model, JsonInput) and model.one_of:
        schema["oneOf"] = [{"required": [name]} for name in model.one_of]
    for member in schema.get("properties", {}).values():
        member.pop("default", None)


class JsonInput(BaseModel):
    """Body of a request. Every member has a default in Python; the rules of its type accept any JSON value."""

    may_be_empty: ClassVar[bool] = True  # an empty body is read as `{}`
    one_of: ClassVar[tuple[str, ...]] = ()  # members of which a request has exactly one

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        json_schema_extra=_describe,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        return {name: member for name, member in value.items() if member is not None}

    @model_validator(mode="after")
    def _with_required(self) -> Self:
        """Report the first missing member, once the others are valid."""
        for name, sentence in _required(type(self)).items():
            if name not in self.model_fields_set:
                raise missing(sentence, at=name)
        return self

    def given(self) -> dict[str, Any]:
        """Return the values of the members that the request has."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _required(model: type[BaseModel]) -> dict[str, str]:
    """Return the required members with their sentences."""
    return {
        name: mark.sentence
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Required)
    }


def _limit(text: Any) -> int:
    if not _LIMIT.fullmatch(str(text)):
        raise validation_error(INVALID_LIMIT)
    return int(text)


def uuid(text: str, name: ErrorName = ErrorName.VALIDATION_ERROR) -> UUID:
    """Return a UUID. Raises `validation_error`."""
    try:
        return UUID(text)
    except ValueError:
        raise validation_error(INVALID_UUID, name=name) from None


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
