"""Base of the models of JSON bodies, and the mark of their required members.

Unknown members are ignored, and null means the same as leaving a member out.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from app.api.problems.validation import missing


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
