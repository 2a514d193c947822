"""Descriptions of routes for the OpenAPI document, written beside their code and read when the document is made."""

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
    """Heading of an operation."""

    EMAILS = "Emails"
    ATTACHMENTS = "Attachments"
    DECISIONS = "Decisions"
    MAILBOXES = "Mailboxes"
    WEBHOOKS = "Webhooks"
    SUPPRESSIONS = "Suppressions"
    KEYS = "API keys"
    POSTMARK = "Postmark"
    OPERATION = "Operation"


class RequiredPermission(Enum):
    """Permissions of an API key, one of which an operation requires."""

    NONE = ()
    ANY_KEY = (Permission.SEND_ONLY, Permission.SENDING_ACCESS, Permission.FULL_ACCESS)
    READ_ACCESS = (Permission.SENDING_ACCESS, Permission.FULL_ACCESS)
    FULL_ACCESS = (Permission.FULL_ACCESS,)


@dataclass(frozen=True, slots=True)
class HeaderField:
    """Header field of a request, which the route reads itself. `schema` is JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    description: str
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Success: JSON of this type, or content of another media type. `headers`: descriptions of its own fields.

    `status`: 200, but where Resend's own API answers 201.
    """

    description: str
    type: Any = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """Form of the errors: their type, and the status and content of a problem."""

    type: Any
    render: Callable[[Problem], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `errors`: samples of its problems beside those of every key and body.

    `body` and `query`: types that the endpoint does not declare, because it reads the request itself.
    """

    id: str
    summary: str
    tag: Tag
    answer: Answer
    needs: RequiredPermission
    examples: Mapping[str, Any] = field(default_factory=dict)  # of the body
    body: Any = None
    query: Any = None
    headers: tuple[HeaderField, ...] = ()
    errors: tuple[Problem, ...] = ()
    description: str = ""
    links: Mapping[str, Any] = field(default_factory=dict)
    uses_store: bool = True
    refused_while_stopping: bool = True
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
    """Describe the endpoint of a route. Its permission is the one that the route checks."""

    def mark(endpoint: F) -> F:
        vars(endpoint)[_MARK] = Operation(id, summary, tag, answer, needs, **more)
        return endpoint

    return mark


def of_endpoint(endpoint: Any) -> Operation:
    """Return the description of an endpoint. Raises AttributeError without one."""
    found: Operation = getattr(endpoint, _MARK)
    return found


def is_described(endpoint: Any) -> bool:
    """Return true if the endpoint is in the document."""
    return hasattr(endpoint, _MARK)


def links(parameters: Mapping[str, str], *operations: str) -> dict[str, Any]:
    """Return links to operations. `parameters`: runtime expressions of OpenAPI, by the name of the parameter."""
    return {operation: {"operationId": operation, "parameters": dict(parameters)} for operation in operations}
