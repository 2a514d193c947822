"""Error responses of the API: status codes and wire form. More are in `key_policy` and `transport`.

The form is that of Resend's API (deploy/docs/api.md): `{"statusCode", "name", "message"}` with one of 15 names, and the
extra members `reason`, `details` and `request_id`. No member is named type, code or error: the SDKs' parsers fail on
them.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app import logs
from app.mail.lifecycle import MessageState
from app.mail.safe_text import cut
from app.mail.suppression import stay_suppressed

T = TypeVar("T")

DRAIN_SECONDS = 30.0  # for a caller who is still sending a body to notice the answer
MAX_DETAILS = 20  # field errors in one response
MAX_FIELD_LENGTH = 200  # characters of the path of a field
MAX_MESSAGE_LENGTH = 600  # characters of a sentence
RETRY_SOON: Mapping[str, str] = MappingProxyType({"retry-after": "1"})  # seconds
_AUTHENTICATE: Mapping[str, str] = MappingProxyType({"www-authenticate": "Bearer"})
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ErrorName(StrEnum):
    """Error names that every official SDK can parse. No others are used."""

    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    VALIDATION_ERROR = "validation_error"
    MISSING_API_KEY = "missing_api_key"
    RESTRICTED_API_KEY = "restricted_api_key"
    INVALID_API_KEY = "invalid_api_key"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_IDEMPOTENT_REQUEST = "invalid_idempotent_request"
    CONCURRENT_IDEMPOTENT_REQUESTS = "concurrent_idempotent_requests"
    INVALID_ATTACHMENT = "invalid_attachment"
    INVALID_PARAMETER = "invalid_parameter"
    MISSING_REQUIRED_FIELD = "missing_required_field"
    DAILY_QUOTA_EXCEEDED = "daily_quota_exceeded"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    APPLICATION_ERROR = "application_error"


@dataclass(frozen=True, slots=True)
class FieldError:
    """Error in one field: its path, and a sentence that says what is wrong and how to fix it."""

    field: str
    message: str
    name: ErrorName = ErrorName.VALIDATION_ERROR
    reason: str | None = None


class Problem(Exception):  # noqa: N818 - RFC 9457 calls an error response so
    """Error response of a request. `problem_response` turns it into HTTP.

    A class has the values that all its problems have; one problem may have others.
    """

    status: int = 422
    name: ErrorName = ErrorName.VALIDATION_ERROR
    message: str = ""
    reason: str | None = None
    headers: Mapping[str, str] = _NOTHING
    members: Mapping[str, object] = _NOTHING  # further members of the response
    unread: bool = False  # the caller is still sending the body

    def __init__(self, message: str | None = None, *, details: Sequence[Mapping[str, str]] = (), **values: Any) -> None:
        """Cut `message` and `details`, which may quote the caller, to a few hundred characters."""
        vars(self).update(values)
        self.message = cut(self.message if message is None else message, MAX_MESSAGE_LENGTH)
        super().__init__(self.message)
        self.details = [
            {"field": cut(detail["field"], MAX_FIELD_LENGTH), "message": cut(detail["message"], MAX_MESSAGE_LENGTH)}
            for detail in details
        ]


class Invalid(Problem):
    """The values of the request are invalid. The first field error gives name and message; `details` has all."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        first = errors[0]
        message = f"{first.field}: {first.message}" if first.field else first.message
        details = [{"field": error.field, "message": error.message} for error in errors]
        super().__init__(message, details=details, name=first.name, reason=first.reason)


class BatchRefused(Problem):
    """A strict batch with invalid items. The first one gives status, name and message; `details` has all."""

    def __init__(self, refused: Sequence[tuple[int, Problem]]) -> None:
        _, first = refused[0]
        details = [detail for index, problem in refused for detail in _item_details(index, problem)]
        same = {name: getattr(first, name) for name in ("status", "name", "reason", "headers")}
        super().__init__(item_message(*refused[0]), details=details[:MAX_DETAILS], **same)


def item_message(index: int, problem: Problem) -> str:
    """Return the message for the item of a batch at this index (from 0), like `[2].to: It must be …`."""
    named = problem.details and problem.details[0]["field"]
    return f"[{index}].{problem.message}" if named else f"[{index}]: {problem.message}"


def _item_details(index: int, problem: Problem) -> list[Mapping[str, str]]:
    if not problem.details:
        return [{"field": f"[{index}]", "message": problem.message}]
    return [
        {**detail, "field": f"[{index}].{detail['field']}" if detail["field"] else f"[{index}]"}
        for detail in problem.details
    ]


class MalformedBody(Problem):
    """The body is not JSON, or ended early."""

    status = 400


class MissingKey(Problem):
    """No API key came with the request."""

    status = 401
    name = ErrorName.MISSING_API_KEY
    message = "There is no API key in the request. Send it in the header `Authorization: Bearer <key>`."
    headers = _AUTHENTICATE


class RestrictedKey(Problem):
    """The permission of the API key does not include the request."""

    status = 401
    name = ErrorName.RESTRICTED_API_KEY
    headers = _AUTHENTICATE

    def __init__(self, has: str, needs: Sequence[str]) -> None:
        super().__init__(f"This API key has the permission {has}. Use a key with the permission {' or '.join(needs)}.")


class InvalidKey(Problem):
    """The key is unknown, disabled, revoked or replaced: the response does not say which."""

    status = 403
    name = ErrorName.INVALID_API_KEY
    message = "The API key is unknown, disabled, or was revoked or replaced. `postern keys list` shows them."


class NotFound(Problem):
    """The resource does not exist, or this key may not read it."""

    status = 404
    name = ErrorName.NOT_FOUND


def found(value: T | None, problem: NotFound) -> T:
    """Return what the store found. Raises the problem if it is None or False."""
    if value is None or value is False:
        raise problem
    return value


class NoEmail(NotFound):
    """No email has this id, or it is another key's: the response does not say which."""

    def __init__(self, id_: UUID) -> None:
        super().__init__(f"There is no email {id_}, or this API key may not see it.")


class NotScheduled(Problem):
    """The email cannot be rescheduled or cancelled: it is due, sent or cancelled."""

    reason = "not_scheduled"

    def __init__(self, state: MessageState) -> None:
        stands = f"{state} and due" if state is MessageState.QUEUED else state
        super().__init__(
            f"The email is {stands}. It can be rescheduled or cancelled only before the time it is scheduled for; "
            "what waits after that, an administrator takes back with `postern emails cancel`."
        )


class NotRetryable(Problem):
    """The state of the email does not allow a retry. `suppressed`: its recipients on the suppression list."""

    def __init__(self, state: MessageState, *, kept: bool = True, suppressed: Sequence[str] = ()) -> None:
        can = "Only an email that is held, or done with a failed recipient, can be retried."
        if not kept:
            can = "Its content is not kept any more, so it cannot be retried: send it anew."
        why = f" {stay_suppressed(suppressed)}" if suppressed else ""
        super().__init__(f"The email is {state}. {can}{why}", reason="not_retryable" if kept else "content_not_kept")


class NotHeld(Problem):
    """The email is not held, so it cannot be confirmed."""

    reason = "not_held"

    def __init__(self, state: MessageState) -> None:
        super().__init__(f"The email is {state}. Only an email that is held can be confirmed.")


class NotEnded(Problem):
    """The email has not ended, so it cannot be erased."""

    reason = "not_over"

    def __init__(self, state: MessageState) -> None:
        how = "Cancel it with `postern emails cancel`, or wait until it is over, then erase it."
        if state is MessageState.ACTIVE:
            how = "It is being relayed now: wait until it is over, then erase it."
        super().__init__(f"The email is {state}. Only an email that is done or cancelled can be erased. {how}")


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status = 405
    name = ErrorName.METHOD_NOT_ALLOWED

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not possible here; use {allowed}.", headers={"allow": allowed})


class InvalidIdempotencyKey(Problem):
    """The value of the Idempotency-Key header is invalid."""

    status = 400
    name = ErrorName.INVALID_IDEMPOTENCY_KEY
    message = "The header Idempotency-Key must be 1 to 256 printable ASCII characters."


class IdempotencyMismatch(Problem):
    """The Idempotency-Key was used before with another body."""

    status = 409
    name = ErrorName.INVALID_IDEMPOTENT_REQUEST
    message = "This Idempotency-Key was used before with a different body. Use a new key for a new email."


class IdempotencyInFlight(Problem):
    """Another request with the same Idempotency-Key is in progress."""

    status = 409
    name = ErrorName.CONCURRENT_IDEMPOTENT_REQUESTS
    message = "Another request with this Idempotency-Key is still being answered. Wait for it, then repeat this one."
    headers = RETRY_SOON


class MessageTooLarge(Problem):
    """The composed message exceeds the limit of the upstream."""

    reason = "message_too_large"

    def __init__(self, size: int, limit: int, *, attachments: bool) -> None:
        super().__init__(
            f"Encoded for the mail the message has {size} octets, and the limit is {limit}. "
            + ("Send smaller attachments, or links to them." if attachments else "Shorten the html or the text."),
            name=ErrorName.INVALID_ATTACHMENT if attachments else ErrorName.VALIDATION_ERROR,
        )


class Unavailable(Problem):
    """The request is valid, but cannot be stored now."""

    status = 503
    name = ErrorName.APPLICATION_ERROR

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"retry-after": str(max(1, retry_after))})


DATABASE_UNAVAILABLE = "The database does not answer or cannot be written to. Nothing was stored; try again."


class DiskAlmostFull(Problem):
    """The email is valid, but the rest of the disk is reserved for accepted emails."""

    status = 503
    name = ErrorName.APPLICATION_ERROR
    message = (
        "The disk of Postern's database is almost full, so no email is accepted now. Nothing was stored; send this "
        "again later. An administrator has to make room: deploy/RUNBOOK.md, The disk."
    )
    reason = "disk_almost_full"
    headers = MappingProxyType({"retry-after": "30"})


class NotReady(Problem):
    """The process is not ready. The response has the members of a success beside those of the error."""

    status = 503
    name = ErrorName.APPLICATION_ERROR
    headers = MappingProxyType({"retry-after": "5"})

    def __init__(self, readiness: Mapping[str, Any]) -> None:
        why = " ".join(reason["summary"] for reason in readiness["reasons"])
        super().__init__(f"Postern is not ready: {why}", members=readiness)


class InternalError(Problem):
    """An unexpected exception."""

    status = 500
    name = ErrorName.APPLICATION_ERROR
    message = "Postern failed at this request. The log has the cause under its request_id."


class DrainingResponse(Response):
    """Response to a caller that is still sending: the rest of the body is read and discarded. Closing at once would
    reset the connection, and the caller would never read the response (RFC 9112 §9.6)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response within DRAIN_SECONDS."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def problem_response(
    problem: Problem, scope: Scope, form: tuple[int, bytes] | None = None, docs: str | None = None
) -> Response:
    """Return the response in the wire form, or in another `form` (status, body), and log client errors.

    `docs`: path of the documentation, to whose part about this error the header field Link refers (RFC 8288).
    """
    status, content = form or (problem.status, render(problem, scope.get("request_id")))
    if status < 500:
        logs.refused(
            status=status,
            name=problem.name,
            message=problem.message,
            method=scope["method"],
            path=scope["path"],
            client=(scope.get("client") or ("",))[0],
        )
    kind = DrainingResponse if problem.unread else Response
    link = {} if docs is None else {"link": f'<{docs}#errors-{problem.name}>; rel="help"'}
    return kind(content, status, {**problem.headers, **link}, media_type="application/json")


def render(problem: Problem, request_id: str | None) -> bytes:
    """Return the body of an error response."""
    members: dict[str, object] = {"statusCode": problem.status, "name": problem.name, "message": problem.message}
    members |= problem.members
    if problem.reason is not None:
        members["reason"] = problem.reason
    if problem.details:
        members["details"] = list(problem.details)
    if request_id is not None:
        members["request_id"] = request_id
    return json.dumps(members).encode()
