"""What is refused under /email, in Postmark's shape: `{"ErrorCode", "Message"}` with Postmark's numbers and statuses.

It holds for whoever refuses: the routes, the entrance, the store. Elsewhere the shape is that of `errors`.
"""

import json
import re

from starlette.types import Scope

from app.api.postmark.translate import ATTACHMENT_MEMBERS, NATIVE_MEMBERS
from app.api.problems.key_policy import SenderNotAllowed
from app.api.problems.problem import FieldError, Invalid, InvalidKey, MalformedBody, MissingKey, Problem, RestrictedKey

BAD_TOKEN = 10
MAINTENANCE = 100  # Postmark's "maintenance": the same request may do later
INVALID_EMAIL = 300
UNKNOWN_SENDER = 400
INVALID_JSON = 402
INCOMPATIBLE_JSON = 403
NOT_ALLOWED = 405
TOO_MANY_MESSAGES = 410
RATE_LIMITED = 429
NO_TEMPLATE = 1101

_POSTMARK_MEMBERS = {ours: theirs for theirs, ours in NATIVE_MEMBERS.items()} | {"tag": "Tag", "metadata": "Metadata"}
_POSTMARK_ATTACHMENT_MEMBERS = {f".{ours}": f".{theirs}" for theirs, ours in ATTACHMENT_MEMBERS.items()}
_FIELD = re.compile(r"([a-z_]+)(\[\d+\])?(.*)", re.DOTALL)


class MissingToken(MissingKey):
    """Neither Postmark's header nor ours came with the request."""

    def __init__(self) -> None:
        super().__init__()
        self.message = "There is no API key in the request. Send it in the header X-Postmark-Server-Token."


class IncompatibleJson(Invalid):
    """JSON, but not of the form that is asked for."""

    def __init__(self, sentence: str) -> None:
        super().__init__([FieldError("", sentence)])


class TooManyMessages(IncompatibleJson):
    """More than one batch may have."""


# Postmark has 401 for whatever is wrong with a token and 422 for whatever is wrong with an email. The first kind that
# fits; else by the status, and a status that Postmark does not use stays what it is.
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
    """Whether the request is one in Postmark's words."""
    path: str = scope["path"]
    return path == "/email" or path.startswith("/email/")


def render(problem: Problem) -> tuple[int, bytes]:
    """The status and the body that Postmark's SDKs read."""
    status, _ = _codes(problem)
    return status, json.dumps(members(problem)).encode()


def members(problem: Problem) -> dict[str, int | str]:
    """The body, or what stands for one email of a batch."""
    told = [_sentence(detail["field"], detail["message"]) for detail in problem.details]
    return {"ErrorCode": _codes(problem)[1], "Message": " ".join(told) or problem.message}


def _codes(problem: Problem) -> tuple[int, int]:
    """The HTTP status and the ErrorCode."""
    if problem.reason == "unsupported_field":
        return 422, NO_TEMPLATE
    found = next((numbers for kind, numbers in _CODES_BY_TYPE.items() if isinstance(problem, kind)), None)
    return found or _CODES_BY_STATUS.get(problem.status, (problem.status, INVALID_EMAIL))


def postmark_field(place: str) -> str:
    """A field of ours with Postmark's names: `Attachments[0].Name`."""
    found = _FIELD.fullmatch(place)
    if not found:
        return place
    name, index, rest = found.groups("")
    rest = _POSTMARK_ATTACHMENT_MEMBERS.get(rest, rest) if name == "attachments" else rest
    return f"{_POSTMARK_MEMBERS.get(name, name)}{index}{rest}"


def _sentence(place: str, sentence: str) -> str:
    return f"{postmark_field(place)}: {sentence}" if place else sentence
