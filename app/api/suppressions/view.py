"""Suppressions as JSON, for HTTP, the command line and the console."""

from typing import Annotated, Literal

from typing_extensions import TypedDict

from app.api.http.headers import timestamp
from app.api.openapi.types import Id, Timestamp, describe
from app.mail.suppression import Origin, SeenBy
from app.mail.times import iso
from app.store.suppressions.records import Suppression


class SuppressionEvidence(TypedDict):
    """The report that caused a suppression."""

    email_id: Id
    code: Annotated[str, describe("The enhanced status code (RFC 3463), such as `5.1.10`.")]
    text: Annotated[str, describe("The server's text.")]
    seen_by: Annotated[SeenBy, describe("The SMTP reply, Exchange's message trace, or a non-delivery report.")]


class ListedSuppression(TypedDict):
    """An entry of the list."""

    id: Id
    email: Annotated[str, describe("The address in lower case, its domain in A-labels.")]
    origin: Origin
    source_id: Annotated[Id | None, describe("The email that caused it; null if there is none.")]
    created_at: Timestamp
    expires_at: Annotated[Timestamp | None, describe("null: it stays until it is removed.")]
    evidence: SuppressionEvidence | None


class SuppressionObject(ListedSuppression):
    """An address to which no email is sent."""

    object: Literal["suppression"]


def listed(record: Suppression) -> ListedSuppression:
    """Return an entry of the list."""
    found = record.evidence
    return {
        "id": str(record.id),
        "email": record.address,
        "origin": record.origin,
        "source_id": None if record.source_id is None else str(record.source_id),
        "created_at": iso(record.created_at),
        "expires_at": timestamp(record.expires_at),
        "evidence": None
        if found is None
        else {"email_id": str(found.email_id), "code": found.code, "text": found.text, "seen_by": found.seen_by},
    }


def suppression(record: Suppression) -> SuppressionObject:
    """Return one suppression."""
    return {"object": "suppression", **listed(record)}
