"""Routes under /keys: API keys and their policies; and GET /audit. All require full access; a secret is returned once.

They are Postern's own. Resend's /api-keys is not supported.
"""

from functools import partial
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path, Query
from typing_extensions import TypedDict

from app import logs
from app.api.api_keys.input import INVALID_OVERLAP, MISSING_NAME, KeyInput, KeyRevisionInput, RotationInput, conflict
from app.api.api_keys.view import AuditEntry, KeyObject, KeyWithSecret, audit_entry, key_object
from app.api.auth.authenticator import digest, new_key
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import INVALID_LIMIT, INVALID_UUID, CompleteList, Page, PageQuery, PathId, list_object
from app.api.openapi.errors import REQUEST_ID, invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, links, operation
from app.api.openapi.types import AT, EVENT_ID, ID, KEY_ID, LATER, Id
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import ErrorName, NotFound, found
from app.mail.key_policy import PolicyError
from app.mail.times import HOUR
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation

_INPUT: dict[str, Any] = {
    "name": "shop",
    "senders": ["*@shop.contoso.com"],
    "lanes": ["urgent", "normal"],
    "messages_per_minute": 60,
    "messages_per_day": 5000,
    "recipients_per_day": 8000,
}
_STAGING = {"name": "shop, staging", "redirect_to": "staging@contoso.com"}
_KEY: dict[str, Any] = {
    "object": "key",
    "id": KEY_ID,
    "permission": "sending_access",
    "default_sender": None,
    "recipients": [],
    "redirect_to": None,
    "sink": False,
    "ignore_suppressions": [],
    "retry_unseen": False,
    "strict": False,
    "disabled": False,
    "created_at": AT,
    "last_used_at": LATER,
    "revoked_at": None,
    "old_secrets_until": [],
    "recipients_per_minute": None,
    "bytes_per_minute": None,
    "bytes_per_day": None,
    "used": {
        "this_minute": 3,
        "today": 214,
        "recipients_this_minute": 5,
        "recipients_today": 371,
        "bytes_this_minute": 14_209,
        "bytes_today": 1_902_114,
    },
    **_INPUT,
}
_NEW = {**_KEY, "last_used_at": None, "key": "pst_ZXhhbXBsZS1vZi1hLXNlY3JldA"}
_ROTATED = {**_NEW, "last_used_at": LATER, "old_secrets_until": ["2026-11-25T09:00:00.000Z"]}
_REVOKED = {"object": "key", "id": KEY_ID, "deleted": True}
_NO_KEY = NotFound(f"There is no key {KEY_ID}.")
_ID_ERRORS = (invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER), _NO_KEY)
_INPUT_ERRORS = (
    invalid("lanes", "'express' is not a lane. Use one or more of urgent, normal, bulk."),
    invalid(
        "",
        "Allowed recipients, a redirection and a sink exclude each other. Set one of them and remove the others.",
        reason="policy_conflict",
    ),
)
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
_MISSING_ERROR = invalid("name", MISSING_NAME, ErrorName.MISSING_REQUIRED_FIELD)
_ROTATION_ERRORS = (
    KeyRevoked(),
    invalid("overlap", INVALID_OVERLAP),
)
_LINKS = links({"id": "$response.body#/id"}, "getKey", "reviseKey", "rotateKey", "revokeKey")

_KeyId: TypeAlias = Annotated[PathId, Path(description="The id of the key.")]
_operation = partial(operation, tag=OperationTag.KEYS, needs=RequiredPermission.FULL_ACCESS)


class KeyList(CompleteList):
    """All keys, oldest first."""

    data: list[KeyObject]


class RevokedKey(TypedDict):
    """The key that was revoked."""

    object: Literal["key"]
    id: Id
    deleted: Literal[True]


class AuditList(Page):
    """A page of entries, newest first."""

    data: list[AuditEntry]


class KeyRoutes:
    """Create, change, rotate and revoke API keys. Each change is recorded in the audit, which they list, too."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /keys",
        "The key with its secret, which is returned only once.",
        {"made": _NEW},
        requests={"a shop": _INPUT, "a staging": _STAGING},
        errors=(*_INPUT_ERRORS, _MISSING_ERROR),
        links=_LINKS,
    )
    async def create_key(self, request: ApiRequest, body: KeyInput) -> KeyWithSecret:
        """Create an API key."""
        key = Key(uuid4(), body.name, body.permission, self._context.clock.now(), body.policy(), body.disabled)
        secret = new_key()
        await self._context.store.create_key(key, digest(secret), request.actor)
        return self._with_secret(request, secret, await self._record(key.id), "created")

    @_operation("GET /keys", "All keys, including revoked ones.", {"one": list_object(KeyList, [_KEY])})
    async def list_keys(self) -> KeyList:
        """List the API keys."""
        now = self._context.clock.now()
        return list_object(KeyList, [key_object(record, now) for record in await self._context.store.keys()])

    @_operation("GET /keys/{id}", "The policy of the key and its usage.", {"in use": _KEY}, errors=_ID_ERRORS)
    async def get_key(self, id: _KeyId) -> KeyObject:
        """Get an API key."""
        return key_object(await self._record(id), self._context.clock.now())

    @_operation(
        "PATCH /keys/{id}",
        "The changed key.",
        {"changed": _KEY},
        requests={"another limit": {"messages_per_day": 10_000}},
        errors=(*_ID_ERRORS, *_INPUT_ERRORS),
    )
    async def revise_key(self, request: ApiRequest, id: _KeyId, body: KeyRevisionInput) -> KeyObject:
        """Change an API key.

        The change takes effect within a second. Emails that were accepted before are not affected.
        """
        revision = KeyRevision(id, body.given(), self._context.clock.now(), request.actor)
        try:
            found(await self._context.store.revise_key(revision), _no_key(id))
        except PolicyError as error:
            raise conflict(error) from None
        logs.key_changed(id, what="updated", key=request.actor.name)
        return key_object(await self._record(id), self._context.clock.now())

    @_operation(
        "POST /keys/{id}/rotate",
        "The key with its new secret, which is returned only once.",
        {"rotated": _ROTATED},
        requests={"an hour": {"overlap": HOUR}},
        errors=(*_ID_ERRORS, *_ROTATION_ERRORS),
    )
    async def rotate_key(self, request: ApiRequest, id: _KeyId, body: RotationInput) -> KeyWithSecret:
        """Rotate the secret of an API key.

        The old secret stays valid for `overlap` seconds. Secrets that were replaced earlier expire no later.
        """
        now, secret = self._context.clock.now(), new_key()
        rotation = KeyRotation(id, digest(secret), now, now + body.overlap, request.actor)
        rotated = await self._context.store.rotate_key(rotation)
        record = await self._record(id)
        if not rotated:
            raise KeyRevoked
        return self._with_secret(request, secret, record, "rotated")

    @_operation("DELETE /keys/{id}", "The key was revoked.", {"revoked": _REVOKED}, errors=_ID_ERRORS)
    async def revoke_key(self, request: ApiRequest, id: _KeyId) -> RevokedKey:
        """Revoke an API key.

        The key stays in the list, and its emails are kept. Revoking it again changes nothing.
        """
        if await self._context.store.revoke_key(id, self._context.clock.now(), request.actor):
            logs.key_changed(id, what="revoked", key=request.actor.name)
        else:
            await self._record(id)
        return {"object": "key", "id": str(id), "deleted": True}

    @_operation(
        "GET /audit",
        "A page of entries, newest first.",
        {"one": list_object(AuditList, [_ENTRY])},
        errors=(invalid("limit", INVALID_LIMIT),),
    )
    async def list_audit(self, page: Annotated[PageQuery, Query()]) -> AuditList:
        """List the audit.

        Changes of keys, webhooks and suppressions; held and released mailboxes; retried, confirmed, rescheduled,
        cancelled and erased emails; refused sends. A refusal is listed about one second after its response.
        """
        found = await self._context.store.audit(page.after, page.limit + 1)
        return list_object(AuditList, map(audit_entry, found[: page.limit]), has_more=len(found) > page.limit)

    async def _record(self, id_: UUID) -> KeyRecord:
        return found(await self._context.store.key(id_), _no_key(id_))

    def _with_secret(self, request: ApiRequest, secret: str, record: KeyRecord, what: str) -> KeyWithSecret:
        logs.key_changed(record.key.id, what=what, key=request.actor.name)
        return {**key_object(record, self._context.clock.now()), "key": secret}


def _no_key(id_: UUID) -> NotFound:
    return NotFound(f"There is no key {id_}.")
