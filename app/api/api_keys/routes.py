"""Routes under /keys: API keys and their policies. All require full access; a secret is returned once.

They are Postern's own. Resend's /api-keys is not supported.
"""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from app import logs
from app.api.api_keys import fields as key_fields
from app.api.api_keys import schema
from app.api.api_keys.view import KeyObject, KeyWithSecret, key_object
from app.api.auth.authenticator import Authenticator, actor, digest, new_key
from app.api.context import ApiContext
from app.api.http import body, params
from app.api.http.headers import json_object, path_id
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.operation import Answer, Body, RequiredPermission, Tag, operation
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import NotFound
from app.mail.key_policy import PolicyError
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation

_operation = partial(operation, tag=Tag.KEYS, needs=RequiredPermission.FULL_ACCESS)


class KeyRoutes:
    """Create, change, rotate and revoke API keys. Each change is recorded in the audit."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @_operation(
        "createKey",
        "Create an API key",
        body=Body(schema.KeyInput, {"a shop": schema.INPUT, "a staging": schema.STAGING}),
        answer=Answer(
            "The key with its secret, which is returned only once.", KeyWithSecret, {"made": schema.WITH_SECRET}
        ),
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.next_steps("$response.body#/id"),
    )
    async def create(self, request: Request) -> Response:
        """POST /keys: the only response with the secret."""
        admin, given = await self._asked(request)
        name, permission, policy, disabled = key_fields.new(given)
        key = Key(uuid4(), name, permission, self._context.clock.now(), policy, disabled)
        secret = new_key()
        await self._context.store.create_key(key, digest(secret), actor(request, admin))
        return self._answer_with(key.id, admin, secret, await self._record(key.id), "created")

    @_operation(
        "listKeys",
        "List the API keys",
        answer=Answer("All keys, including revoked ones.", schema.KeyList, {"one": params.list_object([schema.KEY])}),
    )
    async def list_(self, request: Request) -> Response:
        """GET /keys, oldest first."""
        await self._authenticator.full_access(request)
        now = self._context.clock.now()
        data = [key_object(record, now) for record in await self._context.store.keys()]
        return json_object(params.list_object(data))

    @_operation(
        "getKey",
        "Get an API key",
        parameters=(schema.ID_PARAMETER,),
        answer=Answer("The policy of the key and its usage.", KeyObject, {"in use": schema.KEY}),
        errors=schema.ID_ERRORS,
    )
    async def show(self, request: Request) -> Response:
        """GET /keys/{id}: policy and usage, without the secret."""
        await self._authenticator.full_access(request)
        return json_object(key_object(await self._record(path_id(request)), self._context.clock.now()))

    @_operation(
        "reviseKey",
        "Change an API key",
        parameters=(schema.ID_PARAMETER,),
        body=Body(schema.KeyRevisionInput, {"another limit": {"messages_per_day": 10_000}}, required=False),
        answer=Answer("The changed key.", KeyObject, {"changed": schema.KEY}),
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
        description="The change takes effect within a second. Emails that were accepted before are not affected.",
    )
    async def revise(self, request: Request) -> Response:
        """PATCH /keys/{id}: change the name, permission, policy or `disabled`."""
        admin, given = await self._asked(request)
        id_, by = path_id(request), actor(request, admin)
        revision = KeyRevision(id_, key_fields.changes(given), self._context.clock.now(), by)
        try:
            if await self._context.store.revise_key(revision) is None:
                raise _no_key(id_)
        except PolicyError as error:
            raise key_fields.conflict(error) from None
        logs.key_changed(id_, what="updated", key=admin.name)
        return json_object(key_object(await self._record(id_), self._context.clock.now()))

    @_operation(
        "rotateKey",
        "Rotate the secret of an API key",
        parameters=(schema.ID_PARAMETER,),
        body=Body(schema.RotationInput, {"an hour": {"overlap": 3600}}, required=False),
        answer=Answer(
            "The key with its new secret, which is returned only once.", KeyWithSecret, {"rotated": schema.WITH_SECRET}
        ),
        errors=(*schema.ID_ERRORS, *schema.ROTATION_ERRORS),
        description="The old secret stays valid for `overlap` seconds. Secrets that were replaced earlier expire no "
        "later.",
    )
    async def rotate(self, request: Request) -> Response:
        """POST /keys/{id}/rotate: a new secret; the old one stays valid for `overlap` seconds."""
        admin, given = await self._asked(request)
        id_, now, secret = path_id(request), self._context.clock.now(), new_key()
        rotation = KeyRotation(id_, digest(secret), now, now + key_fields.overlap(given), actor(request, admin))
        rotated = await self._context.store.rotate_key(rotation)
        record = await self._record(id_)
        if not rotated:
            raise KeyRevoked
        return self._answer_with(id_, admin, secret, record, "rotated")

    @_operation(
        "revokeKey",
        "Revoke an API key",
        parameters=(schema.ID_PARAMETER,),
        answer=Answer("The key was revoked.", schema.RevokedKey, {"revoked": schema.REVOKED}),
        errors=schema.ID_ERRORS,
        description="The key stays in the list, and its emails are kept. Revoking it again changes nothing.",
    )
    async def revoke(self, request: Request) -> Response:
        """DELETE /keys/{id}: revoke the key, which takes effect within a second."""
        admin = await self._authenticator.full_access(request)
        id_ = path_id(request)
        if await self._context.store.revoke_key(id_, self._context.clock.now(), actor(request, admin)):
            logs.key_changed(id_, what="revoked", key=admin.name)
        else:
            await self._record(id_)
        return json_object({"object": "key", "id": str(id_), "deleted": True})

    async def _asked(self, request: Request) -> tuple[Key, dict[str, Any]]:
        admin = await self._authenticator.full_access(request)
        return admin, params.json_members(await body.read(request, self._context.limits, UNCHARGED_SIZE))

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
