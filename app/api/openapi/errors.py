"""The errors of the OpenAPI document: samples of what is raised become responses in the wire form, by its own code."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.api.http.json_limits import MAX_BYTES_AS_NUMBERS, MAX_VALUES
from app.api.openapi.operation import JSON, ErrorFormat, Operation, RequiredPermission
from app.api.openapi.text import HEADERS
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
from app.store.keys.records import Permission

REQUEST_ID = "5b0f6d0c3f6f4c1a9f0e7d21"
NO_EMAIL = NoEmail(UUID(ID))


class Detail(TypedDict):
    """One of several things that are wrong."""

    field: NotRequired[Annotated[str, describe("Where, like `to[3]` or `[2].subject`; empty for the whole body.")]]
    message: Annotated[str, describe("What is wrong and what mends it.")]


class Error(TypedDict):
    """Every answer that is no success, whoever gives it."""

    statusCode: Annotated[int, describe("The HTTP status again.", ge=400, le=599)]
    name: ErrorName
    message: Annotated[str, describe("What is wrong and what mends it, for a person.", min_length=1)]
    reason: NotRequired[Annotated[str, describe("A finer cause than `name`, for a program.")]]
    details: NotRequired[Annotated[list[Detail], describe("Everything that is wrong, the first decided `name`.")]]
    request_id: Annotated[str, describe("The same as the header X-Request-Id; the log has it too.")]


_OF_KEY: Mapping[RequiredPermission, tuple[Problem, ...]] = {
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
_OF_BODY = (
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


def invalid(
    field: str, message: str, name: ErrorName = ErrorName.VALIDATION_ERROR, reason: str | None = None
) -> Invalid:
    """A sample of a request with a wrong value."""
    return Invalid([FieldError(field, message, name, reason)])


def _usual(problem: Problem) -> tuple[int, bytes]:
    return problem.status, errors.render(problem, REQUEST_ID)


USUAL = ErrorFormat(Error, _usual)


def problems(told: Operation) -> list[Problem]:
    """Everything that the operation may answer but a success."""
    common: list[Problem] = [*_OF_KEY[told.needs]]
    if told.needs is not RequiredPermission.NONE:
        common.append(TooManyRequests(450))
    if told.body is not None:
        common += _OF_BODY
    if told.uses_store:
        common.append(_NO_STORE)
    if told.refused_while_stopping:
        common.append(_STOPPING)
    return [*common, *told.errors, InternalError()]


def responses(told: Operation, error: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By status. `error` is the schema of the form that the operation answers in."""
    form = told.error_format or USUAL
    rendered = [(problem, *form.render(problem)) for problem in problems(told)]
    rendered.sort(key=lambda one: one[1])
    return {
        str(status): _response(status, [(problem, json.loads(content)) for problem, _, content in group], error, form)
        for status, group in groupby(rendered, key=lambda one: one[1])
    }


def _response(
    status: int, told: list[tuple[Problem, dict[str, Any]]], error: Mapping[str, Any], form: ErrorFormat
) -> dict[str, Any]:
    sentences = dict.fromkeys(_sentence(problem) for problem, _ in told)
    narrowed = {**error, "properties": _narrowed(status, [body for _, body in told])} if form is USUAL else error
    return {
        "description": " ".join(sentences),
        "headers": _headers([problem for problem, _ in told]),
        "content": {JSON: {"schema": narrowed, "examples": _examples(told)}},
    }


def _narrowed(status: int, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """Which of all errors are possible here."""
    reasons = dict.fromkeys(body["reason"] for body in bodies if "reason" in body)
    return {
        "statusCode": {"const": status},
        "name": {"enum": [*dict.fromkeys(body["name"] for body in bodies)]},
        **({"reason": {"enum": [*reasons]}} if reasons else {}),
    }


def _headers(told: Sequence[Problem]) -> dict[str, Any]:
    """Those that every one of the answers has, and those that some have."""
    known = {"retry-after": "RetryAfter", "www-authenticate": "WwwAuthenticate"}
    found: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}}
    for name in sorted({name for problem in told for name in problem.headers} & known.keys()):
        always = all(name in problem.headers for problem in told)
        shared = {"$ref": f"#/components/headers/{known[name]}"}
        found[name.title()] = shared if always else {**HEADERS[known[name]], "required": False}
    return found


def _examples(told: list[tuple[Problem, dict[str, Any]]]) -> dict[str, Any]:
    examples: dict[str, Any] = {}
    for problem, body in told:
        name = problem.reason or str(problem.name)
        key = name if name not in examples else f"{name}-{len(examples) + 1}"
        examples[key] = {"summary": _sentence(problem), "value": body}
    return examples


def _sentence(problem: Problem) -> str:
    return (type(problem).__doc__ or "").splitlines()[0]
