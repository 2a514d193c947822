"""What a route says of itself for the OpenAPI document: values that stand beside its code. Assembles nothing.

They are read when the document is made, so no request pays for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, TypeVar

from app.api.problems.problem import Problem
from app.store.keys.records import Permission

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "openapi"
JSON = "application/json"


class Tag(StrEnum):
    """Under which heading an operation stands."""

    EMAILS = "Emails"
    ATTACHMENTS = "Attachments"
    DECISIONS = "Decisions"
    MAILBOXES = "Mailboxes"
    WEBHOOKS = "Webhooks"
    KEYS = "API keys"
    POSTMARK = "Postmark"
    OPERATION = "Operation"


class RequiredPermission(Enum):
    """Which API keys may ask; the words are those of `Keyring`."""

    NONE = ()
    ANY_KEY = (Permission.SEND_ONLY, Permission.SENDING_ACCESS, Permission.FULL_ACCESS)
    READ_ACCESS = (Permission.SENDING_ACCESS, Permission.FULL_ACCESS)
    FULL_ACCESS = (Permission.FULL_ACCESS,)


class ParameterIn(StrEnum):
    """Where a parameter stands."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value beside the body. `type` is whatever pydantic can describe; `example` has to be accepted."""

    name: str
    type: Any
    description: str
    example: Any = None
    location: ParameterIn = ParameterIn.QUERY


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: JSON of this type. Each example has to be accepted as it stands."""

    type: Any
    examples: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: JSON of this type, or, without a type, octets. `headers`: what those mean that may come."""

    description: str
    type: Any = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """What can be done next: an operation whose parameters are found in the answer or the request."""

    operation: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How errors look: their type, and a problem as status and content."""

    type: Any
    render: Callable[[Problem], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `refuses` are samples of what it raises beyond what its key and its body may bring."""

    id: str
    summary: str
    tag: Tag
    answer: Answer
    needs: RequiredPermission
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    errors: tuple[Problem, ...] = ()
    description: str = ""
    links: Mapping[str, Link] = field(default_factory=dict)
    uses_store: bool = True
    refused_while_stopping: bool = True  # it is refused while Postern stops
    error_format: ErrorFormat | None = None  # None: that of every other route


def operation(
    id: str,
    summary: str,
    *,
    tag: Tag,
    answer: Answer,
    needs: RequiredPermission,
    **more: Any,
) -> Callable[[F], F]:
    """Beside a route's endpoint: what the document says of it. Its docstring tells the rest."""

    def mark(endpoint: F) -> F:
        told = Operation(id, summary, tag, answer, needs, **more)
        vars(endpoint)[_MARK] = told
        return endpoint

    return mark


def of_endpoint(endpoint: Any) -> Operation | None:
    """What a route's endpoint says of itself, if it does."""
    return getattr(endpoint, _MARK, None)
