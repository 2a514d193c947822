"""Error responses under /email in Postmark's form: `{"ErrorCode", "Message"}` with Postmark's codes and statuses.

They cover the errors of the routes, the middleware and the store. All other paths use the form of `problems`. Paths of
native fields are translated to Postmark's names.
"""

import json
import re

from starlette.types import Scope

from app.api.postmark.email import ATTACHMENT_MEMBERS, PostmarkEmail
from app.api.problems.key_policy import SenderNotAllowed
from app.api.problems.problem import FieldError, Invalid, InvalidKey, MalformedBody, MissingKey, Problem, RestrictedKey
from app.api.problems.validation import wire_name

BAD_TOKEN = 10
MAINTENANCE = 100  # Postmark's "maintenance": the same request may succeed later
INVALID_EMAIL = 300
UNKNOWN_SENDER = 400
INVALID_JSON = 402
INCOMPATIBLE_JSON = 403
NOT_ALLOWED = 405
TOO_MANY_MESSAGES = 410
RATE_LIMITED = 429
NO_TEMPLATE = 1101

_POSTMARK_MEMBERS = {wire_name(name): str(field.alias) for name, field in PostmarkEmail.model_fields.items()}
_POSTMARK_ATTACHMENT_MEMBERS = {f".{ours}": f".{theirs}" for theirs, ours in ATTACHMENT_MEMBERS.items()}
_FIELD = re.compile(r"([a-z_]+)(\[\d+\])?(.*)", re.DOTALL)


class MissingToken(MissingKey):
    """The request has neither Postmark's header nor `Authorization`."""

    message = "There is no API key in the request. Send it in the header X-Postmark-Server-Token."


class IncompatibleJson(Invalid):
    """The body is JSON of another form."""

    def __init__(self, sentence: str) -> None:
        super().__init__([FieldError("", sentence)])


class TooManyMessages(IncompatibleJson):
    """The batch has too many emails."""


# Postmark uses 401 for errors of a token and 422 for errors of an email. The first type that matches applies, else the
# status; a status that Postmark does not use stays unchanged.
_CODES_BY_TYPE: dict[type[Problem], tuple[int, int]] = {
    MissingKey: (401, BAD_TOKEN),
    InvalidKey: (401, BAD_TOKEN),
    RestrictedKey: (401, BAD_TOKEN),
    SenderNotAllowed: (422, UNKNOWN_SENDER),
    MalformedBody: (422, INVALID_JSON),
    TooManyMessages: (422, TOO_MANY_MESSAGES),
    IncompatibleJson: (422, INCOMPATIBLE_JSON),
}
_CODES_BY_STATUS = {
    400: (422, INVALID_EMAIL),
    403: (422, NOT_ALLOWED),
    408: (408, MAINTENANCE),
    429: (429, RATE_LIMITED),
    500: (500, MAINTENANCE),
    503: (503, MAINTENANCE),
}


def is_postmark_request(scope: Scope) -> bool:
    """Return true for a path of Postmark's API."""
    path: str = scope["path"]
    return path == "/email" or path.startswith("/email/")


def render(problem: Problem) -> tuple[int, bytes]:
    """Return the status and the body in Postmark's form."""
    status, _ = _codes(problem)
    return status, json.dumps(members(problem)).encode()


def members(problem: Problem) -> dict[str, int | str]:
    """Return the members of the body, or of one email of a batch."""
    sentences = [_sentence(detail["field"], detail["message"]) for detail in problem.details]
    return {"ErrorCode": _codes(problem)[1], "Message": " ".join(sentences) or problem.message}


def _codes(problem: Problem) -> tuple[int, int]:
    """Return the HTTP status and the ErrorCode."""
    if problem.reason == "unsupported_field":
        return 422, NO_TEMPLATE
    found = next((numbers for kind, numbers in _CODES_BY_TYPE.items() if isinstance(problem, kind)), None)
    return found or _CODES_BY_STATUS.get(problem.status, (problem.status, INVALID_EMAIL))


def postmark_field(place: str) -> str:
    """Return the path of a native field in Postmark's names: `Attachments[0].Name`."""
    found = _FIELD.fullmatch(place)
    if not found:
        return place
    name, index, rest = found.groups("")
    rest = _POSTMARK_ATTACHMENT_MEMBERS.get(rest, rest) if name == "attachments" else rest
    return f"{_POSTMARK_MEMBERS.get(name, name)}{index}{rest}"


def _sentence(place: str, sentence: str) -> str:
    return f"{postmark_field(place)}: {sentence}" if place else sentence
