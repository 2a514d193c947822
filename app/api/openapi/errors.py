"""Errors of the OpenAPI document: their type, their header fields, and responses made of samples of problems.

The code that sends a problem also renders its sample.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.api.http.body import MAX_BYTES_AS_NUMBERS, MAX_VALUES
from app.api.openapi.operation import JSON, ErrorFormat, Operation, RequiredPermission
from app.api.openapi.types import ID, describe
from app.api.problems import problem as errors
from app.api.problems.problem import (
    DATABASE_UNAVAILABLE,
    ErrorName,
    FieldError,
    InternalError,
    Invalid,
    InvalidKey,
    MalformedBody,
    MissingKey,
    NoEmail,
    Problem,
    RestrictedKey,
    Unavailable,
)
from app.api.problems.transport import (
    BodyBudgetExhausted,
    BodyTooLarge,
    RequestBodyTimeout,
    TooManyRequests,
    TooManyValues,
    UnsupportedCoding,
)
from app.api.problems.validation import NO_PARAMETERS
from app.store.keys.records import Permission

REQUEST_ID = "5b0f6d0c3f6f4c1a9f0e7d21"
NO_EMAIL = NoEmail(UUID(ID))


HEADERS: Mapping[str, Any] = {
    "XRequestId": {
        "description": "The caller's own X-Request-Id (1 to 128 characters), or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~:+/=@-]{1,128}$"},
        "example": "5b0f6d0c3f6f4c1a9f0e7d21",
    },
    "RetryAfter": {
        "description": "Seconds after which the request may be sent again. Never a date.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "RateLimitLimit": {
        "description": "On every response to a valid API key: its limit of messages for the current minute or day, "
        "whichever has fewer left. 1000000000 without a limit.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 60,
    },
    "RateLimitRemaining": {
        "description": "Remaining messages in that minute or day.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 59,
    },
    "RateLimitReset": {
        "description": "Seconds until that minute or day (UTC) is over.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 17,
    },
    "WwwAuthenticate": {
        "description": "Authentication scheme.",
        "required": True,
        "schema": {"const": "Bearer"},
        "example": "Bearer",
    },
}


class Detail(TypedDict):
    """One of several errors."""

    field: NotRequired[Annotated[str, describe("Place, like `to[3]` or `[2].subject`; empty for the whole body.")]]
    message: Annotated[str, describe("The error and how to fix it.")]


class Error(TypedDict):
    """Every response that is no success."""

    statusCode: Annotated[int, describe("The HTTP status again.", ge=400, le=599)]
    name: ErrorName
    message: Annotated[str, describe("The error and how to fix it, for a person.", min_length=1)]
    reason: NotRequired[Annotated[str, describe("A more specific cause than `name`, for programs.")]]
    details: NotRequired[Annotated[list[Detail], describe("All errors. The first one gives `name`.")]]
    request_id: Annotated[str, describe("The same as the header X-Request-Id; the log has it too.")]


_KEY_PROBLEMS: Mapping[RequiredPermission, tuple[Problem, ...]] = {
    RequiredPermission.NONE: (),
    RequiredPermission.ANY_KEY: (MissingKey(), InvalidKey()),
    RequiredPermission.READ_ACCESS: (
        MissingKey(),
        InvalidKey(),
        RestrictedKey(Permission.SEND_ONLY, RequiredPermission.READ_ACCESS.value),
    ),
    RequiredPermission.FULL_ACCESS: (
        MissingKey(),
        InvalidKey(),
        RestrictedKey(Permission.SENDING_ACCESS, RequiredPermission.FULL_ACCESS.value),
    ),
}
_BODY_PROBLEMS = (
    MalformedBody("The request body is not valid JSON in UTF-8: EOF while parsing an object at line 1 column 9."),
    BodyTooLarge(52_428_800, unread=False),
    TooManyValues(MAX_VALUES, MAX_BYTES_AS_NUMBERS),
    UnsupportedCoding(
        "The request has the header Content-Encoding: gzip. Send the body uncompressed, without that header."
    ),
    RequestBodyTimeout(60.0, 4096),
    BodyBudgetExhausted(unread=False),
)
_STOPPING = Unavailable("Postern is stopping. Send the request again in a moment.", retry_after=5)
_NO_STORE = Unavailable(DATABASE_UNAVAILABLE, retry_after=5)


def header_ref(name: str) -> dict[str, Any]:
    """Return a reference to a header field of the components."""
    return {"$ref": f"#/components/headers/{name}"}


def invalid(
    field: str, message: str, name: ErrorName = ErrorName.VALIDATION_ERROR, reason: str | None = None
) -> Invalid:
    """Return a sample of a request with a wrong value."""
    return Invalid([FieldError(field, message, name, reason)])


def _usual(problem: Problem) -> tuple[int, bytes]:
    return problem.status, errors.render(problem, REQUEST_ID)


USUAL = ErrorFormat(Error, _usual)


_UNKNOWN_PARAMETER = invalid("verbose", NO_PARAMETERS)


def _problems(operation: Operation, has_body: bool) -> list[Problem]:
    """Return samples of all problems of an operation."""
    common: list[Problem] = [*_KEY_PROBLEMS[operation.needs]]
    if operation.needs is not RequiredPermission.NONE:
        common += (TooManyRequests(450), _UNKNOWN_PARAMETER)
    if has_body:
        common += _BODY_PROBLEMS
    if operation.uses_store:
        common.append(_NO_STORE)
    if operation.refused_while_stopping:
        common.append(_STOPPING)
    return [*common, *operation.errors, InternalError()]


def responses(operation: Operation, has_body: bool) -> dict[str, dict[str, Any]]:
    """Return the error responses of an operation by status."""
    form = operation.error_format or USUAL
    rendered = [(problem, *form.render(problem)) for problem in _problems(operation, has_body)]
    rendered.sort(key=lambda row: row[1])
    return {
        str(status): _response(status, [(problem, json.loads(content)) for problem, _, content in group], form)
        for status, group in groupby(rendered, key=lambda row: row[1])
    }


def _response(status: int, samples: list[tuple[Problem, dict[str, Any]]], form: ErrorFormat) -> dict[str, Any]:
    sentences = dict.fromkeys(_sentence(problem) for problem, _ in samples)
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{form.type.__name__}"}
    if form is USUAL:
        schema["properties"] = _possible(status, [body for _, body in samples])
    return {
        "description": " ".join(sentences),
        "headers": _headers([problem for problem, _ in samples]),
        "content": {JSON: {"schema": schema, "examples": _examples(samples)}},
    }


def _possible(status: int, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of the members that are possible here."""
    reasons = dict.fromkeys(body["reason"] for body in bodies if "reason" in body)
    return {
        "statusCode": {"const": status},
        "name": {"enum": [*dict.fromkeys(body["name"] for body in bodies)]},
        **({"reason": {"enum": [*reasons]}} if reasons else {}),
    }


def _headers(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the header fields that all of the responses have, and those that some have."""
    known = {"retry-after": "RetryAfter", "www-authenticate": "WwwAuthenticate"}
    found: dict[str, Any] = {"X-Request-Id": header_ref("XRequestId")}
    for name in sorted({name for problem in problems for name in problem.headers} & known.keys()):
        always = all(name in problem.headers for problem in problems)
        found[name.title()] = header_ref(known[name]) if always else {**HEADERS[known[name]], "required": False}
    return found


def _examples(samples: list[tuple[Problem, dict[str, Any]]]) -> dict[str, Any]:
    examples: dict[str, Any] = {}
    for problem, body in samples:
        name = problem.reason or str(problem.name)
        key = name if name not in examples else f"{name}-{len(examples) + 1}"
        examples[key] = {"summary": _sentence(problem), "value": body}
    return examples


def _sentence(problem: Problem) -> str:
    return (type(problem).__doc__ or "").splitlines()[0]
