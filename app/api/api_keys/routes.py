"""Routes under /keys: API keys and their policies. All require full access; a secret is returned once.

They are Postern's own. Resend's /api-keys is not supported.
"""

from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path
from starlette.responses import Response

from app import logs
from app.api.api_keys import schema
from app.api.api_keys.input import KeyInput, KeyRevisionInput, RotationInput, conflict
from app.api.api_keys.view import KeyObject, KeyWithSecret, key_object
from app.api.auth.authenticator import digest, new_key
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.headers import json_object
from app.api.http.params import PathId, list_object
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import NotFound
from app.mail.key_policy import PolicyError
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation

_KeyId: TypeAlias = Annotated[PathId, Path(description="The id of the key.")]
_operation = partial(operation, tag=Tag.KEYS, needs=RequiredPermission.FULL_ACCESS)


class KeyRoutes:
    """Create, change, rotate and revoke API keys. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "createKey",
        "Create an API key",
        examples={"a shop": schema.INPUT, "a staging": schema.STAGING},
        answer=Answer("The key with its secret, which is returned only once.", KeyWithSecret, {"made": schema.NEW}),
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.LINKS,
    )
    async def create(self, request: ApiRequest, body: KeyInput) -> Response:
        """POST /keys: the only response with the secret."""
        key = Key(uuid4(), body.name, body.permission, self._context.clock.now(), body.policy(), body.disabled)
        secret = new_key()
        await self._context.store.create_key(key, digest(secret), request.actor)
        return self._answer_with(key.id, request.key, secret, await self._record(key.id), "created")

    @_operation(
        "listKeys",
        "List the API keys",
        answer=Answer("All keys, including revoked ones.", schema.KeyList, {"one": list_object([schema.KEY])}),
    )
    async def list_(self) -> Response:
        """GET /keys, oldest first."""
        now = self._context.clock.now()
        data = [key_object(record, now) for record in await self._context.store.keys()]
        return json_object(list_object(data))

    @_operation(
        "getKey",
        "Get an API key",
        answer=Answer("The policy of the key and its usage.", KeyObject, {"in use": schema.KEY}),
        errors=schema.ID_ERRORS,
    )
    async def show(self, id: _KeyId) -> Response:
        """GET /keys/{id}: policy and usage, without the secret."""
        return json_object(key_object(await self._record(id), self._context.clock.now()))

    @_operation(
        "reviseKey",
        "Change an API key",
        examples={"another limit": {"messages_per_day": 10_000}},
        answer=Answer("The changed key.", KeyObject, {"changed": schema.KEY}),
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
        description="The change takes effect within a second. Emails that were accepted before are not affected.",
    )
    async def revise(self, request: ApiRequest, id: _KeyId, body: KeyRevisionInput) -> Response:
        """PATCH /keys/{id}: change the name, permission, policy or `disabled`."""
        revision = KeyRevision(id, body.given(), self._context.clock.now(), request.actor)
        try:
            if await self._context.store.revise_key(revision) is None:
                raise _no_key(id)
        except PolicyError as error:
            raise conflict(error) from None
        logs.key_changed(id, what="updated", key=request.key.name)
        return json_object(key_object(await self._record(id), self._context.clock.now()))

    @_operation(
        "rotateKey",
        "Rotate the secret of an API key",
        examples={"an hour": {"overlap": 3600}},
        answer=Answer(
            "The key with its new secret, which is returned only once.", KeyWithSecret, {"rotated": schema.ROTATED}
        ),
        errors=(*schema.ID_ERRORS, *schema.ROTATION_ERRORS),
        description="The old secret stays valid for `overlap` seconds. Secrets that were replaced earlier expire no "
        "later.",
    )
    async def rotate(self, request: ApiRequest, id: _KeyId, body: RotationInput) -> Response:
        """POST /keys/{id}/rotate: a new secret; the old one stays valid for `overlap` seconds."""
        now, secret = self._context.clock.now(), new_key()
        rotation = KeyRotation(id, digest(secret), now, now + body.overlap, request.actor)
        rotated = await self._context.store.rotate_key(rotation)
        record = await self._record(id)
        if not rotated:
            raise KeyRevoked
        return self._answer_with(id, request.key, secret, record, "rotated")

    @_operation(
        "revokeKey",
        "Revoke an API key",
        answer=Answer("The key was revoked.", schema.RevokedKey, {"revoked": schema.REVOKED}),
        errors=schema.ID_ERRORS,
        description="The key stays in the list, and its emails are kept. Revoking it again changes nothing.",
    )
    async def revoke(self, request: ApiRequest, id: _KeyId) -> Response:
        """DELETE /keys/{id}: revoke the key, which takes effect within a second."""
        if await self._context.store.revoke_key(id, self._context.clock.now(), request.actor):
            logs.key_changed(id, what="revoked", key=request.key.name)
        else:
            await self._record(id)
        return json_object({"object": "key", "id": str(id), "deleted": True})

    async def _record(self, id_: UUID) -> KeyRecord:
        record = await self._context.store.key(id_)
        if record is None:
            raise _no_key(id_)
        return record

    def _answer_with(self, id_: UUID, admin: Key, secret: str, record: KeyRecord, what: str) -> Response:
        logs.key_changed(id_, what=what, key=admin.name)
        return json_object({**key_object(record, self._context.clock.now()), "key": secret})


def _no_key(id_: UUID) -> NotFound:
    return NotFound(f"There is no key {id_}.")
