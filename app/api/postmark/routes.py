"""POST /email and POST /email/batch, for callers with Postmark's SDKs. Other paths under /email are refused.

An email is translated to the native form (`email`) and submitted like any other: same keys, policies, limits,
idempotency and commit. Responses have Postmark's form; that of errors is in `errors`.
"""

import json
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.auth.authenticator import Authenticator
from app.api.http.headers import FIELDS, timestamp
from app.api.openapi.email_samples import EMAIL_ERRORS, IDEMPOTENCY_ERRORS, IDEMPOTENCY_KEY, LIMIT_ERRORS, email_links
from app.api.openapi.operation import ErrorFormat, OperationTag, RequiredPermission, operation
from app.api.openapi.types import (
    AT,
    ID,
    OTHER_ID,
    Id,
    Timestamp,
    describe,
)
from app.api.postmark.email import PostmarkEmail, to_native
from app.api.postmark.errors import IncompatibleJson, MissingToken, TooManyMessages, members, postmark_field, render
from app.api.problems.problem import FieldError, IdempotencyMismatch, Invalid, NotFound
from app.api.problems.validation import json_type
from app.api.submission.fields import Warned
from app.api.submission.pipeline import PreparedEmail, SubmissionEndpoint, SubmissionPipeline
from app.store.db.uuid7 import timestamp_of

_RECEIPT: dict[str, Any] = {
    "From": "Contoso <noreply@contoso.com>",
    "To": "ada@example.net, Charles <charles@example.net>",
    "Subject": "Your receipt",
    "HtmlBody": "<p>Thank you.</p>",
    "Headers": [{"Name": "X-Invoice", "Value": "1187"}],
    "Attachments": [{"Name": "invoice.pdf", "Content": "JVBERi0xLjQK", "ContentType": "application/pdf"}],
    "Tag": "receipt",
    "Metadata": {"customer": "42"},
}
_CODE: dict[str, Any] = {
    "From": "noreply@contoso.com",
    "To": "ada@example.net",
    "Subject": "Code",
    "TextBody": "491 302",
}
_SENT: dict[str, Any] = {
    "To": "ada@example.net, Charles <charles@example.net>",
    "SubmittedAt": AT,
    "MessageID": ID,
    "ErrorCode": 0,
    "Message": "OK",
}
_SENT_BATCH = [
    {**_SENT, "To": "ada@example.net", "MessageID": OTHER_ID},
    {"ErrorCode": 300, "Message": "To[0]: The address has no @; write it like anna@example.com."},
]

SEND_PATH = "/email"
BATCH_PATH = "/email/batch"
TEMPLATE_PATHS = ("/email/withTemplate", "/email/batchWithTemplates")
MAX_BATCH = 500  # emails in one request, as in Postmark's SDKs

_NO_OBJECT = IncompatibleJson("An email must be one JSON object, not a list.")
_BATCH_ERRORS = (
    IncompatibleJson("The list has no emails."),
    TooManyMessages(f"The list has {MAX_BATCH + 1} emails; a batch has {MAX_BATCH} at most."),
)


class PostmarkSent(Warned):
    """A stored email, which will be relayed."""

    To: str
    SubmittedAt: Timestamp
    MessageID: Id
    ErrorCode: Literal[0]
    Message: Literal["OK"]


class PostmarkError(TypedDict):
    """Every response under /email that is no success."""

    ErrorCode: Annotated[int, describe("One of Postmark's numbers.", ge=1)]
    Message: Annotated[str, describe("The error and how to fix it, with Postmark's names of members.", min_length=1)]


_ERROR_FORMAT = ErrorFormat(PostmarkError, render)

_ANSWERS = list[PostmarkSent | PostmarkError]

_operation = partial(
    operation,
    tag=OperationTag.POSTMARK,
    needs=RequiredPermission.ANY_KEY,
    headers=(IDEMPOTENCY_KEY,),
    error_format=_ERROR_FORMAT,
)


class PostmarkRoutes:
    """Routes under /email."""

    def __init__(self, authenticator: Authenticator, pipeline: SubmissionPipeline) -> None:
        self._authenticator = authenticator
        self._pipeline = pipeline

    @_operation(
        f"POST {SEND_PATH}",
        "It is stored on disk and will be relayed.",
        {"kept": _SENT},
        type=PostmarkSent,
        body=PostmarkEmail,
        requests={"a receipt": _RECEIPT, "a one-time code": _CODE},
        errors=(*EMAIL_ERRORS, *LIMIT_ERRORS, *IDEMPOTENCY_ERRORS, _NO_OBJECT),
        links=email_links("$response.body#/MessageID"),
    )
    async def send_postmark_email(self, request: Request) -> bytes:
        """Send an email in Postmark's form.

        The API key may come in the header X-Postmark-Server-Token instead.
        """
        submitted = await self._pipeline.submit(request, _SEND)
        return _answer(_sent(submitted.accepted[0], submitted.ids[0]))

    @_operation(
        f"POST {BATCH_PATH}",
        "In the order of the request: the stored emails, and the errors of the others.",
        {"one of two": _SENT_BATCH},
        type=_ANSWERS,
        body=Annotated[list[PostmarkEmail], Field(min_length=1, max_length=MAX_BATCH)],
        requests={"two emails": [_RECEIPT, _CODE]},
        errors=(*LIMIT_ERRORS, *IDEMPOTENCY_ERRORS, *_BATCH_ERRORS),
        links=email_links("$response.body#/0/MessageID"),
    )
    async def send_postmark_batch(self, request: Request) -> bytes:
        """Send up to 500 emails in Postmark's form.

        The API key may come in the header X-Postmark-Server-Token instead.
        """
        submitted = await self._pipeline.submit(request, _SEND_BATCH)
        if len(submitted.ids) != len(submitted.accepted):  # a replay whose body has other valid emails by now
            raise IdempotencyMismatch
        rejected = dict(submitted.rejected)
        sent = map(_sent, submitted.accepted, submitted.ids)
        places = range(len(rejected) + len(submitted.accepted))
        return _answer([members(rejected[place]) if place in rejected else next(sent) for place in places])

    async def refuse_template(self, request: Request) -> Response:
        """POST /email/withTemplate and the like: refused after authentication."""
        await self._authenticator.any_key(_with_bearer(request))
        sentence = "This relay has no templates. Send the finished HtmlBody or TextBody to /email."
        raise Invalid([FieldError("template", sentence, reason="unsupported_field")])

    async def refuse(self, request: Request) -> Response:
        """Other paths of Postmark under /email: refused after authentication."""
        await self._authenticator.any_key(_with_bearer(request))
        sentence = f"{request.scope['path']} is not available on this relay. Use POST /email and POST /email/batch."
        raise NotFound(sentence, reason="unsupported_resource")


def _with_bearer(request: Request) -> Request:
    """Return the request with Postmark's token as a bearer token. A request with a bearer token alone is unchanged."""
    fields = request.scope[FIELDS]
    token = fields.get(b"x-postmark-server-token")
    if token is None or not token.strip():
        if b"authorization" not in fields:
            raise MissingToken
        return request
    bearer = {b"authorization": b"Bearer " + token.strip()}
    return Request({**request.scope, FIELDS: {**fields, **bearer}}, request.receive)


def _to_native(value: Any) -> Any:
    if not isinstance(value, dict):
        raise IncompatibleJson(f"An email must be one JSON object, not {json_type(value)}.")
    return to_native(value)


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise IncompatibleJson(f"The request body must be a list of emails, not {json_type(value)}.")
    if not value:
        raise IncompatibleJson("The list has no emails.")
    if len(value) > MAX_BATCH:
        raise TooManyMessages(f"The list has {len(value)} emails; a batch has {MAX_BATCH} at most.")
    return value


def _always(_: Request) -> bool:
    return True


_SEND = SubmissionEndpoint(SEND_PATH, to_native=_to_native, with_bearer=_with_bearer)

_SEND_BATCH = SubmissionEndpoint(BATCH_PATH, MAX_BATCH, _items, _to_native, _with_bearer, is_permissive=_always)


def _sent(prepared: PreparedEmail, id_: UUID) -> dict[str, Any]:
    """Return the response for one email. For a replay, `id_` is that of the first request."""
    return {
        "To": ", ".join(prepared.acceptance.head.to),
        "SubmittedAt": timestamp(timestamp_of(id_)),
        "MessageID": str(id_),
        "ErrorCode": 0,
        "Message": "OK",
        **_with_postmark_fields(prepared.warned),
    }


def _with_postmark_fields(warned: Warned) -> Warned:
    if "warnings" not in warned:
        return warned
    return {"warnings": [{**warning, "field": postmark_field(warning["field"])} for warning in warned["warnings"]]}


def _answer(content: Any) -> bytes:
    return json.dumps(content).encode()
