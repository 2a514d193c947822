"""Validation rules of several models, the errors that rules raise, and pydantic's errors as one `Invalid`.

An unknown query parameter is an error, because a misspelt filter would select everything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from app.api.problems.problem import MAX_DETAILS, ErrorName, FieldError, Invalid
from app.mail.safe_text import escape_controls

MAX_ITEMS = 1000  # entries of a list that has no limit of its own
_SOURCES = frozenset({"body", "query", "path"})  # first part of a place that FastAPI reports
_WIRE_NAMES = {"sender": "from"}  # where Python allows no such name

NO_PARAMETERS = "This request has no query parameters; leave it out."


def json_type(value: Any) -> str:
    """Return the JSON type of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"


def wrong_type(expected: str, value: Any) -> str:
    """Return the sentence for a value of another JSON type. `expected` has an article."""
    return f"It must be {expected}, not {json_type(value)}."


def is_whole(value: Any) -> bool:
    """Return true for a whole number; 35.0 is one in JSON, too."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def string(value: Any) -> str:
    """Return a string unchanged. Raises `validation_error`."""
    if not isinstance(value, str):
        raise validation_error(wrong_type("a string", value))
    return value


def json_object(value: Any) -> dict[str, Any]:
    """Return the members of a body that is one JSON object. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object, not {json_type(value)}.")])
    return value


def validation_error(
    sentence: str, *, name: ErrorName = ErrorName.VALIDATION_ERROR, at: str = "", reason: str | None = None
) -> PydanticCustomError:
    """Return the error that a rule raises. `at` is the path inside the field, like `.content` or `[3]`."""
    return PydanticCustomError(name.value, "{sentence}", {"sentence": sentence, "at": at, "reason": reason})


def missing(sentence: str, *, at: str = "") -> PydanticCustomError:
    """Return the error for a missing value."""
    return validation_error(sentence, name=ErrorName.MISSING_REQUIRED_FIELD, at=at)


def wire_name(member: str) -> str:
    """Return the name of a model's member in the request."""
    return _WIRE_NAMES.get(member, member)


def invalid(errors: Iterable[Mapping[str, Any]]) -> Invalid:
    """Return the response for the errors of a model, at most MAX_DETAILS of them."""
    return Invalid(field_errors(errors))


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Return the errors of a model, at most MAX_DETAILS of them."""
    return [_field_error(details) for details, _ in zip(errors, range(MAX_DETAILS), strict=False)]


def _field_error(details: Mapping[str, Any]) -> FieldError:
    """Convert the error of a rule: made by `validation_error`, or a ValueError with the sentence."""
    place, context = _place(details["loc"]), details["ctx"]
    if details["type"] == "value_error":
        return FieldError(place, str(context["error"]))
    return FieldError(place + context["at"], context["sentence"], ErrorName(details["type"]), context["reason"])


def _place(path: tuple[int | str, ...]) -> str:
    """Return a place like `to[3]`."""
    steps = path[1:] if path and path[0] in _SOURCES else path
    return "".join(f"[{step}]" if isinstance(step, int) else wire_name(step) for step in steps)


def unknown_parameter(valid: Sequence[str]) -> str:
    """Return the sentence for a parameter that is not among the valid ones."""
    return f"There is no such query parameter. Valid here: {', '.join(valid)}." if valid else NO_PARAMETERS


def check_query_names(request: Request, valid: Sequence[str]) -> None:
    """Refuse a query with other parameters. Raises Invalid."""
    if unknown := dict.fromkeys(name for name in request.query_params if name not in valid):
        sentence = unknown_parameter(valid)
        raise Invalid([FieldError(escape_controls(name), sentence) for name in islice(unknown, MAX_DETAILS)])


def query_names(parameters: Iterable[Any]) -> Iterator[str]:
    """Yield the names of FastAPI's query parameters, of which a model has several."""
    for parameter in parameters:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
