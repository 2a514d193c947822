"""GET /audit: administrative changes, cancellations and refused sends."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from app.api.api_keys import schema
from app.api.api_keys.schema import AuditEntry
from app.api.context import ApiContext
from app.api.http.headers import json_object
from app.api.http.params import INVALID_LIMIT, PageQuery, list_object
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.mail.times import iso
from app.store.keys.audit_records import AuditRecord


class AuditRoute:
    """Route of the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @operation(
        "listAudit",
        "List the audit",
        tag=Tag.KEYS,
        needs=RequiredPermission.FULL_ACCESS,
        answer=Answer("A page of entries, newest first.", schema.AuditPage, {"one": list_object([schema.ENTRY])}),
        errors=(invalid("limit", INVALID_LIMIT),),
        description="Changes of keys; held and released mailboxes; retried, confirmed, cancelled and erased emails; "
        "refused sends. A refusal is listed about one second after its response.",
    )
    async def list_(self, page: Annotated[PageQuery, Query()]) -> Response:
        """GET /audit, newest first."""
        found = await self._context.store.audit(page.after, page.limit + 1)
        return json_object(list_object(map(entry, found[: page.limit]), has_more=len(found) > page.limit))


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
