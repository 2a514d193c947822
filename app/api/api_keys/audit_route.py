"""GET /audit: administrative changes, cancellations and refused sends."""

from starlette.requests import Request
from starlette.responses import Response

from app.api.api_keys import schema
from app.api.api_keys.schema import AuditEntry
from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http import params
from app.api.http.headers import json_object
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.mail.times import iso
from app.store.keys.audit_records import AuditRecord


class AuditRoute:
    """Route of the audit."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @operation(
        "listAudit",
        "List the audit",
        tag=Tag.KEYS,
        needs=RequiredPermission.FULL_ACCESS,
        parameters=schema.PAGE_PARAMETERS,
        answer=Answer(
            "A page of entries, newest first.", schema.AuditPage, {"one": params.list_object([schema.ENTRY])}
        ),
        errors=schema.PAGE_ERRORS,
        description="Changes of keys; held and released mailboxes; retried, confirmed, cancelled and erased emails; "
        "refused sends. A refusal is listed about one second after its response.",
    )
    async def list_(self, request: Request) -> Response:
        """GET /audit, newest first."""
        await self._authenticator.full_access(request)
        limit, after = params.page(request.query_params)
        found = await self._context.store.audit(after, limit + 1)
        return json_object(params.list_object(map(entry, found[:limit]), has_more=len(found) > limit))


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
