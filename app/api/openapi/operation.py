"""Descriptions of routes, written at their endpoints: routes are mounted, authorized and documented from these."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

from starlette.responses import Response

from app.api.problems.problem import Problem
from app.store.keys.records import Permission

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "openapi"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
JSON = "application/json"


class OperationTag(StrEnum):
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
class ErrorFormat:
    """Form of the errors: their type, and the status and content of a problem."""

    type: Any
    render: Callable[[Problem], tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Description of one method of one path. The name of the endpoint is its id, the first line of the docstring its
    summary, the other lines its description, and the return type the type of its answer.

    `answer` describes the success. `errors`: samples of its problems beside those of every key and body. `body`,
    `query` and `type`: types that the endpoint does not declare, because it reads and renders JSON itself.
    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    answer: str
    examples: Mapping[str, Any]  # of the answer
    tag: OperationTag
    needs: RequiredPermission
    type: Any = None
    status: int = 200  # of the answer: 201 where Resend's own API has it
    media_type: str = JSON  # of the answer
    answer_headers: Mapping[str, str] = field(default_factory=dict)  # descriptions of the answer's own header fields
    requests: Mapping[str, Any] = field(default_factory=dict)  # examples of the body
    body: Any = None
    query: Any = None
    headers: tuple[HeaderField, ...] = ()  # of the request
    errors: tuple[Problem, ...] = ()
    links: Mapping[str, Any] = field(default_factory=dict)
    counts_as_attempt: bool = False  # limited as validations are
    uses_store: bool = True
    refused_while_stopping: bool = True
    error_format: ErrorFormat | None = None  # None: that of every other route

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of the route: one for GET answers HEAD, too."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def id(self) -> str:
        """Id of the operation: `getEmail` for `get_email`."""
        first, *others = self.endpoint.__name__.split("_")
        return first + "".join(map(str.capitalize, others))

    @property
    def summary(self) -> str:
        """First line of the endpoint's docstring, without its full stop."""
        return self._documentation[0].removesuffix(".")

    @property
    def description(self) -> str:
        """Other lines of the docstring, as one paragraph."""
        return " ".join(line for line in self._documentation[1:] if line)

    @property
    def answer_type(self) -> Any:
        """Type of the answer, None if it is not JSON."""
        returned = inspect.signature(self.endpoint).return_annotation
        return self.type if returned in {Response, bytes} else returned

    @property
    def _documentation(self) -> list[str]:
        return (inspect.getdoc(self.endpoint) or "").splitlines()


def operation(
    route: str,
    answer: str,
    examples: Mapping[str, Any] = _NOTHING,
    *,
    tag: OperationTag,
    needs: RequiredPermission,
    **more: Any,
) -> Callable[[F], F]:
    """Describe an endpoint. `route` is its method and its path; `needs` is the permission that it requires."""
    method, path = route.split()

    def mark(endpoint: F) -> F:
        vars(endpoint)[_MARK] = Operation(
            method=method,
            path=path,
            endpoint=endpoint,
            answer=answer,
            examples=examples,
            tag=tag,
            needs=needs,
            **more,
        )
        return endpoint

    return mark


def endpoints(routes: object) -> Iterator[Callable[..., Any]]:
    """Yield the described endpoints of an object, in the order of its class."""
    return (getattr(routes, name) for name, function in vars(type(routes)).items() if is_described(function))


def operation_of(endpoint: Any) -> Operation:
    """Return the description of an endpoint. Raises AttributeError without one."""
    found: Operation = getattr(endpoint, _MARK)
    return found


def is_described(endpoint: Any) -> bool:
    """Return true if the endpoint is in the document."""
    return hasattr(endpoint, _MARK)


def links(parameters: Mapping[str, str], *operations: str) -> dict[str, Any]:
    """Return links to operations. `parameters`: runtime expressions of OpenAPI, by the name of the parameter."""
    return {operation: {"operationId": operation, "parameters": dict(parameters)} for operation in operations}
