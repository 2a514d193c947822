"""Errors of reading a request, head and body: not HTTP, unsupported coding, too large, too slow, too many.

`app/http_server` sends some of them below the application, as complete responses.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from app.api.problems.problem import RETRY_SOON, ErrorName, Problem, render

_CLOSE: Mapping[str, str] = MappingProxyType({"connection": "close"})


class NotHttp(Problem):
    """The received bytes are not HTTP/1.1."""

    status = 400
    message = "This is not an HTTP/1.1 request. Check the client or the gateway."


class RequestHeadTimeout(Problem):
    """The request line and the header fields did not arrive in time."""

    status = 408
    message = "The head of the request did not arrive in time. Send it at once."
    reason = "too_slow"


class HeadTooLarge(Problem):
    """The request line and the header fields are larger than any client's."""

    status = 431
    message = "The head of the request is too large. Put what is long into the body."
    reason = "head_too_large"


class TooManyConnections(Problem):
    """The maximum number of connections is reached."""

    status = 503
    name = ErrorName.APPLICATION_ERROR
    message = "Too many connections are open. Close those that you do not use, and try again in a moment."
    reason = "too_many_connections"
    headers = RETRY_SOON


class BodyTooLarge(Problem):
    """The body exceeds the limit of one request."""

    status = 413
    reason = "body_too_large"
    headers = _CLOSE

    def __init__(self, limit: int, *, unread: bool) -> None:
        super().__init__(
            f"The request body is larger than {limit} octets. Send smaller files, and as base64 instead of numbers.",
            unread=unread,
        )


class TooManyValues(Problem):
    """The JSON of the body has so many values that they would take many times its bytes."""

    status = 413
    reason = "too_many_values"

    def __init__(self, values: int, numbers: int) -> None:
        super().__init__(
            f"The JSON in the request body has more than {values} values, or more than {numbers} bytes as numbers. "
            "Send files as base64 strings, and leave out the members that Postern does not use."
        )


class UnsupportedCoding(Problem):
    """The content or transfer coding of the body is not supported."""

    status = 415
    reason = "unsupported_encoding"

    def __init__(self, message: str, *, unread: bool = False) -> None:
        super().__init__(message, unread=unread, headers=_CLOSE if unread else {})


class RequestBodyTimeout(Problem):
    """The body did not arrive in time."""

    status = 408
    reason = "body_timeout"
    headers = _CLOSE

    def __init__(self, seconds: float, rate: int) -> None:
        super().__init__(
            f"The request body did not arrive within {seconds:g} seconds, or it arrived at less than {rate} bytes a "
            "second. Send the request again."
        )


class TooManyRequests(Problem):
    """One address or API key has its maximum of requests in progress."""

    status = 429
    name = ErrorName.RATE_LIMIT_EXCEEDED
    reason = "too_many_requests_under_way"
    headers = RETRY_SOON

    def __init__(self, most: int) -> None:
        super().__init__(f"This address or this API key has {most} requests under way already. Wait for their answers.")


class BodyBudgetExhausted(Problem):
    """The memory budget of requests, or the caller's share of it, is used up."""

    status = 503
    name = ErrorName.APPLICATION_ERROR
    message = "Too many large requests are under way. Nothing was kept; try again in a moment."
    reason = "too_much_in_flight"
    headers = MappingProxyType({**RETRY_SOON, **_CLOSE})


def transport_responses() -> Mapping[int, bytes]:
    """Return the responses sent below the application, by status. The connection is closed after each."""
    return {
        problem.status: _response_bytes(problem)
        for problem in (NotHttp(), RequestHeadTimeout(), HeadTooLarge(), TooManyConnections())
    }


def _response_bytes(problem: Problem) -> bytes:
    content = render(problem, None)
    headers = {
        **problem.headers,
        **_CLOSE,
        "cache-control": "no-store",
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content
