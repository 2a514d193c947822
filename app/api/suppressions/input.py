"""Parameters and bodies of the routes under /suppressions, with the error sentences."""

from typing import Annotated, Any, Self, TypeAlias
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from app.api.http.params import (
    DEFAULT_PAGE,
    INVALID_UUID,
    MISSING_MEMBER,
    JsonInput,
    PageLimit,
    Required,
    check_direction,
    uuid,
)
from app.api.openapi.types import EVENT_ID, EmailAddress, Id, describe
from app.api.problems.problem import ErrorName
from app.api.problems.validation import string, validation_error, wrong_type
from app.mail.message.address import AddressError, normalize_address
from app.mail.suppression import Origin

MAX_BATCH = 100  # addresses or ids
INVALID_KEY = "It must be the id of a suppression, or one address such as anna@example.com."
INVALID_LENGTH = f"It must be a list of 1 to {MAX_BATCH} entries."
INVALID_ORIGIN = f"It must be one of {', '.join(Origin)}."
ONE_LIST = "Give either `emails` or `ids`."
_KEY = {"type": "string", "format": "suppression-key", "minLength": 3, "examples": [EVENT_ID]}


def _key(text: str) -> UUID | str:
    """Return an id, or an address in the form for comparisons."""
    try:
        return normalize_address(text) if "@" in text else UUID(text)
    except ValueError:
        raise validation_error(INVALID_KEY, name=ErrorName.INVALID_PARAMETER) from None


def _address(value: Any) -> str:
    return normalize_address(string(value))


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_BATCH:
        raise validation_error(INVALID_LENGTH)
    return value


def _addresses(value: Any) -> tuple[str, ...]:
    """Return addresses in the form for comparisons, without duplicates."""
    found: dict[str, None] = {}
    for index, entry in enumerate(_entries(value)):
        if not isinstance(entry, str):
            raise validation_error(wrong_type("a string", entry), at=f"[{index}]")
        try:
            found[normalize_address(entry)] = None
        except AddressError as error:
            raise validation_error(str(error), at=f"[{index}]") from None
    return tuple(found)


def _ids(value: Any) -> tuple[UUID, ...]:
    found: dict[UUID, None] = {}
    for index, entry in enumerate(_entries(value)):
        try:
            found[UUID(entry)] = None
        except (ValueError, TypeError, AttributeError):
            raise validation_error(INVALID_UUID, at=f"[{index}]") from None
    return tuple(found)


def _origin(text: str) -> Origin:
    try:
        return Origin(text)
    except ValueError:
        raise validation_error(INVALID_ORIGIN) from None


SuppressionKey: TypeAlias = Annotated[
    Any,
    PlainValidator(_key, Annotated[str, WithJsonSchema(_KEY)]),
    Path(description="The id of a suppression, or its address in any case."),
]
_Cursor: TypeAlias = Annotated[UUID | None, PlainValidator(uuid, Id)]
_Length = Field(min_length=1, max_length=MAX_BATCH)
_Addresses: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_addresses, Annotated[list[EmailAddress], _Length])]
_Ids: TypeAlias = Annotated[tuple[UUID, ...], PlainValidator(_ids, Annotated[list[Id], _Length])]


class SuppressionQuery(BaseModel):
    """Filter and page of the list."""

    origin: Annotated[Origin | None, PlainValidator(_origin, Origin)] = describe("The cause.", default=None)
    limit: PageLimit = describe("Entries on a page; 20 by default.", default=DEFAULT_PAGE, examples=[DEFAULT_PAGE])
    after: _Cursor = describe("The id of an entry: those that are older.", default=None, examples=[EVENT_ID])
    before: _Cursor = describe("The id of an entry: those that are newer.", default=None)

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        check_direction(self.after, self.before)
        return self


class SuppressionInput(JsonInput):
    """An address to suppress."""

    email: Annotated[str, PlainValidator(_address, EmailAddress), Required(MISSING_MEMBER)] = describe(
        "One address, in any case; a display name is ignored.", default=""
    )


class SuppressionBatch(JsonInput):
    """Addresses to suppress."""

    emails: Annotated[_Addresses, Required(MISSING_MEMBER)] = describe("Addresses, in any case.", default=())


class SuppressionRemoval(JsonInput):
    """Suppressions to remove, by address or by id."""

    one_of = ("emails", "ids")

    emails: _Addresses = describe("Addresses, in any case.", default=())
    ids: _Ids = describe("Ids of suppressions.", default=())

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if bool(self.emails) is bool(self.ids):
            raise validation_error(ONE_LIST, at="emails")
        return self
