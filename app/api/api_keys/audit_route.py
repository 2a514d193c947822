"""GET /audit: who has changed what, and what was refused. Writes nothing."""

import json

from starlette.requests import Request
from starlette.responses import Response

from app.api.api_keys import schema as told
from app.api.api_keys.schema import AuditEntry
from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http.headers import json_ok
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.webhooks import fields
from app.mail.timestamps import iso
from app.store.keys.audit_records import AuditRecord


class AuditRoute:
    """The route."""

    def __init__(self, edge: ApiContext, keyring: Authenticator) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "listAudit",
        "See who changed what",
        tag=Tag.KEYS,
        needs=RequiredPermission.ADMINISTRATOR,
        parameters=told.PAGE,
        answer=Answer("The newest first.", told.AuditPage, {"one": told.listed(told.ENTRY)}),
        errors=told.OF_PAGE,
        description="Changes of keys; mailboxes held and released; emails retried, confirmed, cancelled and erased; "
        "sends that were refused. A refusal is there a second or so after it was answered.",
    )
    async def list_(self, request: Request) -> Response:
        """GET /audit: page by page, the newest first."""
        await self._keyring.full_access(request)
        limit = fields.limit(request.query_params.get("limit"))
        after = fields.after(request.query_params.get("after"))
        found = await self._edge.store.audit(after, limit + 1)
        data = [entry(record) for record in found[:limit]]
        return json_ok(json.dumps({"object": "list", "has_more": len(found) > limit, "data": data}).encode())


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
