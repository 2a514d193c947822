"""OpenAPI types of responses, error samples, examples and links of the routes under /suppressions."""

from typing import Any, Literal

from typing_extensions import TypedDict

from app.api.http.params import INVALID_LIMIT, MISSING_MEMBER, ONE_DIRECTION, Page
from app.api.openapi.errors import invalid
from app.api.openapi.operation import links
from app.api.openapi.types import AT, EVENT_ID, ID, OTHER_ID, Id
from app.api.problems.problem import ErrorName, NotFound
from app.api.suppressions.input import INVALID_KEY, INVALID_LENGTH, INVALID_ORIGIN, ONE_LIST
from app.api.suppressions.view import ListedSuppression


class AddedSuppression(TypedDict):
    """The suppression of an address, new or from before."""

    object: Literal["suppression"]
    id: Id


class RemovedSuppression(AddedSuppression):
    """The suppression that was removed."""

    deleted: Literal[True]


class AddedSuppressions(TypedDict):
    """The suppression of each address, in the order of the request."""

    data: list[AddedSuppression]


class RemovedSuppressions(TypedDict):
    """The suppressions that were removed."""

    data: list[RemovedSuppression]


class SuppressionList(Page):
    """A page of suppressions, newest first."""

    data: list[ListedSuppression]


INPUT = {"email": "anna@example.com"}
BATCH = {"emails": ["anna@example.com", "bob@example.net"]}
ADDED = {"object": "suppression", "id": EVENT_ID}
OTHER_ADDED = {"object": "suppression", "id": OTHER_ID}
LISTED: dict[str, Any] = {
    "id": EVENT_ID,
    "email": "anna@example.com",
    "origin": "bounce",
    "source_id": ID,
    "created_at": AT,
    "expires_at": "2027-11-24T09:00:00.000Z",
    "evidence": {
        "email_id": ID,
        "code": "5.1.10",
        "text": "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "seen_by": "reply",
    },
}
SUPPRESSION = {"object": "suppression", **LISTED}

KEY_ERRORS = (
    invalid("id", INVALID_KEY, ErrorName.INVALID_PARAMETER),
    NotFound(f"There is no suppression {EVENT_ID}."),
)
PAGE_ERRORS = (
    invalid("limit", INVALID_LIMIT),
    invalid("origin", INVALID_ORIGIN),
    invalid("after", ONE_DIRECTION),
)
INPUT_ERRORS = (
    invalid("email", "The address has no @; write it like anna@example.com."),
    invalid("email", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD),
)
BATCH_ERRORS = (
    invalid("emails", INVALID_LENGTH),
    invalid("emails[1]", "The address has no @; write it like anna@example.com."),
)
BATCH_MISSING_ERROR = invalid("emails", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD)
REMOVAL_ERRORS = (*BATCH_ERRORS, invalid("emails", ONE_LIST))
LINKS = links({"id": "$response.body#/id"}, "getSuppression", "removeSuppression")
