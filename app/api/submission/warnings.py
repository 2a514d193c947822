"""Warnings in the answer to an accepted email: each change that was made to the caller's values. Refuses nothing."""

from typing import Annotated, NotRequired

from typing_extensions import TypedDict

from app.api.openapi.types import describe

MAX_WARNINGS = 20  # of one email; a further one changes nothing for its reader
_MAX_FIELD = 100  # characters: a header name is the caller's text and has no limit of its own


class FieldWarning(TypedDict):
    """One change that was made to a value of the request, or one value that was not used."""

    field: Annotated[str, describe("Its place in the request, such as `cc[1]` or `headers.X-Note`.")]
    message: Annotated[str, describe("The change, in one sentence.")]


class Warned(TypedDict):
    """The member of an answer; it is left out when there is nothing to warn of."""

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
        """`{"warnings": [...]}`, or `{}` without any."""
        return {"warnings": list(self._found)} if self._found else {}
