"""GET /audit: changes, reads of content, test emails, cancellations and refused sends; entries as JSON."""

from typing import Annotated, Any

from fastapi import Query
from typing_extensions import TypedDict

from app.api.context import ApiContext
from app.api.http.params import INVALID_LIMIT, Page, PageQuery, list_object
from app.api.openapi.errors import REQUEST_ID, invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import AT, EVENT_ID, ID, KEY_ID, Id, Timestamp, describe
from app.mail.times import iso
from app.store.keys.audit import Action, AuditRecord


class AuditEntry(TypedDict):
    """An administrative change, a cancellation or a refused send."""

    id: Id
    created_at: Timestamp
    action: Action
    subject: Annotated[
        str,
        describe("The changed key, email, mailbox or webhook, or the refused request; of several requests, the first."),
    ]
    actor: Annotated[str, describe("The name of an API key, or `command line`, or `nobody known` without a valid key.")]
    key_id: Annotated[Id | None, describe("The id of the API key.")]
    request_id: str | None
    details: Annotated[dict[str, Any], describe("Old and new values of a change, or the error of a refusal.")]
    times: Annotated[
        int,
        describe(
            "Number of events. Equal refusals and cancellations of a key are combined into one entry per hour.", ge=1
        ),
    ]
    last_at: Timestamp


class AuditList(Page):
    """A page of entries, newest first."""

    data: list[AuditEntry]


_ENTRY = {
    "id": EVENT_ID,
    "created_at": AT,
    "action": "key.updated",
    "subject": KEY_ID,
    "actor": "POSTERN_API_KEY",
    "key_id": ID,
    "request_id": REQUEST_ID,
    "details": {"name": "shop", "messages_per_day": {"before": None, "after": 5000}},
    "times": 1,
    "last_at": AT,
}


class AuditRoute:
    """Route of the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @operation(
        "GET /audit",
        "A page of entries, newest first.",
        {"one": list_object(AuditList, [_ENTRY])},
        tag=OperationTag.KEYS,
        needs=RequiredPermission.FULL_ACCESS,
        errors=(invalid("limit", INVALID_LIMIT),),
    )
    async def list_audit(self, page: Annotated[PageQuery, Query()]) -> AuditList:
        """List the audit.

        Changes of keys, webhooks and suppressions; held and released mailboxes; retried, confirmed, rescheduled,
        cancelled and erased emails; refused sends. A refusal is listed about one second after its response.
        """
        found = await self._context.store.audit(page.after, page.limit + 1)
        return list_object(AuditList, map(entry, found[: page.limit]), has_more=len(found) > page.limit)


def entry(record: AuditRecord) -> AuditEntry:
    """Return an audit entry as JSON, for HTTP and the command line."""
    source = record.entry
    return {
        "id": str(record.id),
        "created_at": iso(source.at),
        "action": source.action,
        "subject": source.subject,
        "actor": source.by.name,
        "key_id": None if source.by.key_id is None else str(source.by.key_id),
        "request_id": source.by.request_id,
        "details": dict(source.details),
        "times": record.times,
        "last_at": iso(record.last_at),
    }
