"""Routes under /keys: API keys and their policies. All require full access; a secret is returned once.

They are Postern's own. Resend's /api-keys is not supported.
"""

from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path

from app import logs
from app.api.api_keys import schema
from app.api.api_keys.input import KeyInput, KeyRevisionInput, RotationInput, conflict
from app.api.api_keys.view import KeyObject, KeyWithSecret, key_object
from app.api.auth.authenticator import digest, new_key
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import PathId, list_object
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import NotFound, found
from app.mail.key_policy import PolicyError
from app.mail.times import HOUR
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation

_KeyId: TypeAlias = Annotated[PathId, Path(description="The id of the key.")]
_operation = partial(operation, tag=OperationTag.KEYS, needs=RequiredPermission.FULL_ACCESS)


class KeyRoutes:
    """Create, change, rotate and revoke API keys. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /keys",
        "The key with its secret, which is returned only once.",
        {"made": schema.NEW},
        requests={"a shop": schema.INPUT, "a staging": schema.STAGING},
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.LINKS,
    )
    async def create_key(self, request: ApiRequest, body: KeyInput) -> KeyWithSecret:
        """Create an API key."""
        key = Key(uuid4(), body.name, body.permission, self._context.clock.now(), body.policy(), body.disabled)
        secret = new_key()
        await self._context.store.create_key(key, digest(secret), request.actor)
        return self._with_secret(request, secret, await self._record(key.id), "created")

    @_operation("GET /keys", "All keys, including revoked ones.", {"one": list_object(schema.KeyList, [schema.KEY])})
    async def list_keys(self) -> schema.KeyList:
        """List the API keys."""
        now = self._context.clock.now()
        return list_object(schema.KeyList, [key_object(record, now) for record in await self._context.store.keys()])

    @_operation(
        "GET /keys/{id}", "The policy of the key and its usage.", {"in use": schema.KEY}, errors=schema.ID_ERRORS
    )
    async def get_key(self, id: _KeyId) -> KeyObject:
        """Get an API key."""
        return key_object(await self._record(id), self._context.clock.now())

    @_operation(
        "PATCH /keys/{id}",
        "The changed key.",
        {"changed": schema.KEY},
        requests={"another limit": {"messages_per_day": 10_000}},
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
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
        {"rotated": schema.ROTATED},
        requests={"an hour": {"overlap": HOUR}},
        errors=(*schema.ID_ERRORS, *schema.ROTATION_ERRORS),
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

    @_operation("DELETE /keys/{id}", "The key was revoked.", {"revoked": schema.REVOKED}, errors=schema.ID_ERRORS)
    async def revoke_key(self, request: ApiRequest, id: _KeyId) -> schema.RevokedKey:
        """Revoke an API key.

        The key stays in the list, and its emails are kept. Revoking it again changes nothing.
        """
        if await self._context.store.revoke_key(id, self._context.clock.now(), request.actor):
            logs.key_changed(id, what="revoked", key=request.actor.name)
        else:
            await self._record(id)
        return {"object": "key", "id": str(id), "deleted": True}

    async def _record(self, id_: UUID) -> KeyRecord:
        return found(await self._context.store.key(id_), _no_key(id_))

    def _with_secret(self, request: ApiRequest, secret: str, record: KeyRecord, what: str) -> KeyWithSecret:
        logs.key_changed(record.key.id, what=what, key=request.actor.name)
        return {**key_object(record, self._context.clock.now()), "key": secret}


def _no_key(id_: UUID) -> NotFound:
    return NotFound(f"There is no key {id_}.")
