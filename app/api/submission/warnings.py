"""Warnings in the response to a valid email: values of the caller that were changed or not used."""

from typing import Annotated, NotRequired

from typing_extensions import TypedDict

from app.api.openapi.types import describe

MAX_WARNINGS = 20  # of one email
_MAX_FIELD = 100  # characters: a header name is the caller's text and has no limit of its own


class FieldWarning(TypedDict):
    """One change that was made to a value of the request, or one value that was not used."""

    field: Annotated[str, describe("Its place in the request, such as `cc[1]` or `headers.X-Note`.")]
    message: Annotated[str, describe("The change, in one sentence.")]


class Warned(TypedDict):
    """Optional `warnings` member of a response."""

    warnings: NotRequired[
        Annotated[list[FieldWarning], describe("Changes that were made. Left out if there are none.")]
    ]


class Warnings:
    """Collector of the warnings of one email. The field readers add to it while they validate."""

    def __init__(self) -> None:
        self._found: list[FieldWarning] = []

    def add(self, field: str, message: str) -> None:
        """Record one change, once, unless MAX_WARNINGS are recorded already."""
        warning: FieldWarning = {"field": field[:_MAX_FIELD], "message": message}
        if len(self._found) < MAX_WARNINGS and warning not in self._found:
            self._found.append(warning)

    def member(self) -> Warned:
        """Return `{"warnings": [...]}`, or `{}` without any."""
        return {"warnings": list(self._found)} if self._found else {}
