"""GET /audit: who has changed what, and what was refused. Writes nothing."""

from starlette.requests import Request
from starlette.responses import Response

from app.api.api_keys import schema
from app.api.api_keys.schema import AuditEntry
from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http import params
from app.api.http.headers import json_object
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.mail.timestamps import iso
from app.store.keys.audit_records import AuditRecord


class AuditRoute:
    """The route."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @operation(
        "listAudit",
        "See who changed what",
        tag=Tag.KEYS,
        needs=RequiredPermission.FULL_ACCESS,
        parameters=schema.PAGE_PARAMETERS,
        answer=Answer("The newest first.", schema.AuditPage, {"one": params.list_object([schema.ENTRY])}),
        errors=schema.PAGE_ERRORS,
        description="Changes of keys; mailboxes held and released; emails retried, confirmed, cancelled and erased; "
        "sends that were refused. A refusal is there a second or so after it was answered.",
    )
    async def list_(self, request: Request) -> Response:
        """GET /audit: page by page, the newest first."""
        await self._authenticator.full_access(request)
        limit, after = params.page(request.query_params)
        found = await self._context.store.audit(after, limit + 1)
        return json_object(params.list_object(map(entry, found[:limit]), has_more=len(found) > limit))


def entry(record: AuditRecord) -> AuditEntry:
    """As administrators read it, over HTTP and at the command line."""
    told_ = record.entry
    return {
        "id": str(record.id),
        "created_at": iso(told_.at),
        "action": told_.action,
        "subject": told_.subject,
        "actor": told_.by.name,
        "key_id": None if told_.by.key_id is None else str(told_.by.key_id),
        "request_id": told_.by.request_id,
        "details": dict(told_.details),
        "times": record.times,
        "last_at": iso(record.last_at),
    }
