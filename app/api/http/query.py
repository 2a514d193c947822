"""Names of query parameters: an unknown one is an error, because a misspelt filter would select everything."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from app.api.problems.problem import MAX_DETAILS, FieldError, Invalid
from app.mail.safe_text import escape_controls

NO_PARAMETERS = "This request has no query parameters; leave it out."


def unknown_parameter(valid: Sequence[str]) -> str:
    """Return the sentence for a parameter that is not among the valid ones."""
    return f"There is no such query parameter. Valid here: {', '.join(valid)}." if valid else NO_PARAMETERS


def check_names(request: Request, valid: Sequence[str]) -> None:
    """Refuse a query with other parameters. Raises Invalid."""
    if request.scope.get("query_string"):
        unknown = dict.fromkeys(name for name in request.query_params if name not in valid)
        if unknown:
            sentence = unknown_parameter(valid)
            raise Invalid([FieldError(escape_controls(name), sentence) for name in islice(unknown, MAX_DETAILS)])


def names_of(parameters: Iterable[Any]) -> Iterator[str]:
    """Yield the names of FastAPI's query parameters, of which a model has several."""
    for parameter in parameters:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
