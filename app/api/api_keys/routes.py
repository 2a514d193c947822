"""The routes under /keys, for administrators: who may send what. A secret is in one answer, and then nowhere.

They are Postern's own: what Resend has under /api-keys is not here.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from app import logs
from app.api.api_keys import fields as key_fields
from app.api.api_keys import schema as told
from app.api.api_keys.view import KeyObject, KeyWithSecret, key_object
from app.api.auth.authenticator import Authenticator, actor, digest, new_key
from app.api.context import ApiContext
from app.api.http import body
from app.api.http.headers import json_ok
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.operation import Answer, Body, RequiredPermission, Tag, operation
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import NotFound
from app.api.webhooks import fields as webhook_fields
from app.mail.key_policy import PolicyError
from app.store.keys.records import Key, KeyRecord, KeyRevision, KeyRotation

_told = partial(operation, tag=Tag.KEYS, needs=RequiredPermission.ADMINISTRATOR)


class KeyRoutes:
    """Made, changed, rotated, revoked; each change is in the audit."""

    def __init__(self, edge: ApiContext, keyring: Authenticator) -> None:
        self._edge = edge
        self._keyring = keyring

    @_told(
        "createKey",
        "Make an API key",
        body=Body(told.KeyInput, {"a shop": told.INPUT, "a staging": told.STAGING}),
        answer=Answer("With its secret, this once.", KeyWithSecret, {"made": told.WITH_SECRET}),
        errors=(*told.OF_INPUT, told.MISSING),
        links=told.next_steps("$response.body#/id"),
    )
    async def create(self, request: Request) -> Response:
        """POST /keys: with its secret, this once."""
        admin, given = await self._asked(request)
        name, permission, policy, disabled = key_fields.new(given)
        key = Key(uuid4(), name, permission, self._edge.clock.now(), policy, disabled)
        secret = new_key()
        await self._edge.store.create_key(key, digest(secret), actor(request, admin))
        return self._answer_with(key.id, admin, secret, await self._record(key.id), "created")

    @_told(
        "listKeys",
        "List the API keys",
        answer=Answer("All of them, revoked ones too.", told.KeyList, {"one": told.listed(told.KEY)}),
    )
    async def list_(self, request: Request) -> Response:
        """GET /keys: the oldest first."""
        await self._keyring.full_access(request)
        now = self._edge.clock.now()
        data = [key_object(record, now) for record in await self._edge.store.keys()]
        return _answer({"object": "list", "has_more": False, "data": data})

    @_told(
        "getKey",
        "See an API key",
        parameters=(told.ID_PART,),
        answer=Answer("What it may do, and what it has used.", KeyObject, {"in use": told.KEY}),
        errors=told.OF_ONE,
    )
    async def show(self, request: Request) -> Response:
        """GET /keys/{id}: what it may do, and what it has used. Its secret is not there."""
        await self._keyring.full_access(request)
        return _answer(key_object(await self._record(_id(request)), self._edge.clock.now()))

    @_told(
        "reviseKey",
        "Change an API key",
        parameters=(told.ID_PART,),
        body=Body(told.KeyRevisionInput, {"another budget": {"messages_per_day": 10_000}}, required=False),
        answer=Answer("As it is from now on.", KeyObject, {"changed": told.KEY}),
        errors=(*told.OF_ONE, *told.OF_INPUT),
        description="It counts within a second. What was accepted before goes its way.",
    )
    async def revise(self, request: Request) -> Response:
        """PATCH /keys/{id}: another name, permission, policy; disabled or enabled."""
        admin, given = await self._asked(request)
        id_, by = _id(request), actor(request, admin)
        revision = KeyRevision(id_, key_fields.changes(given), self._edge.clock.now(), by)
        try:
            if await self._edge.store.revise_key(revision) is None:
                raise _no_key(id_)
        except PolicyError as error:
            raise key_fields.conflict(error) from None
        logs.key_changed(id_, what="updated", key=admin.name)
        return _answer(key_object(await self._record(id_), self._edge.clock.now()))

    @_told(
        "rotateKey",
        "Give an API key a new secret",
        parameters=(told.ID_PART,),
        body=Body(told.RotationInput, {"an hour": {"overlap": 3600}}, required=False),
        answer=Answer("With the new secret, this once.", KeyWithSecret, {"rotated": told.WITH_SECRET}),
        errors=(*told.OF_ONE, *told.OF_ROTATION),
        description="The old secret works beside it for the overlap; one that was replaced before ends no later.",
    )
    async def rotate(self, request: Request) -> Response:
        """POST /keys/{id}/rotate: a new secret, beside which the old one works for a while."""
        admin, given = await self._asked(request)
        id_, now, secret = _id(request), self._edge.clock.now(), new_key()
        rotation = KeyRotation(id_, digest(secret), now, now + key_fields.overlap(given), actor(request, admin))
        rotated = await self._edge.store.rotate_key(rotation)
        record = await self._record(id_)
        if not rotated:
            raise KeyRevoked
        return self._answer_with(id_, admin, secret, record, "rotated")

    @_told(
        "revokeKey",
        "Revoke an API key",
        parameters=(told.ID_PART,),
        answer=Answer("It is refused from now on.", told.RevokedKey, {"revoked": told.REVOKED}),
        errors=told.OF_ONE,
        description="It stays in the list, and what it has sent stays too. A second time changes nothing.",
    )
    async def revoke(self, request: Request) -> Response:
        """DELETE /keys/{id}: it is refused from now on, within a second."""
        admin = await self._keyring.full_access(request)
        id_ = _id(request)
        if await self._edge.store.revoke_key(id_, self._edge.clock.now(), actor(request, admin)):
            logs.key_changed(id_, what="revoked", key=admin.name)
        else:
            await self._record(id_)
        return _answer({"object": "key", "id": str(id_), "deleted": True})

    async def _asked(self, request: Request) -> tuple[Key, dict[str, Any]]:
        admin = await self._keyring.full_access(request)
        return admin, webhook_fields.members(await body.read(request, self._edge.limits, UNCHARGED_SIZE))

    async def _record(self, id_: UUID) -> KeyRecord:
        record = await self._edge.store.key(id_)
        if record is None:
            raise _no_key(id_)
        return record

    def _answer_with(self, id_: UUID, admin: Key, secret: str, record: KeyRecord, what: str) -> Response:
        logs.key_changed(id_, what=what, key=admin.name)
        return _answer({**key_object(record, self._edge.clock.now()), "key": secret})


def _id(request: Request) -> UUID:
    return webhook_fields.uuid("id", request.path_params["id"])


def _no_key(id_: UUID) -> NotFound:
    return NotFound(f"There is no key {id_}.")


def _answer(content: Mapping[str, Any]) -> Response:
    return json_ok(json.dumps(content).encode())
