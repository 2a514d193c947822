"""List and creation of API keys, and the page of a key: policy, usage, rotation, revocation. Secrets are shown once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.responses import Response

from app.api.api_keys.input import KeyInput, KeyRevisionInput, RotationInput
from app.api.api_keys.view import KeyWithSecret, key_object
from app.api.auth.authenticator import DEFAULT_OVERLAP
from app.api.problems.problem import Invalid
from app.console.api import read_input
from app.console.keys.form import EMPTY, LIMITS, read_members
from app.console.request import ConsoleRequest, PageError
from app.mail.message.message import Lane
from app.mail.times import HOUR
from app.store.keys.records import KeyRecord, KeyState, Permission

NO_KEY = PageError(404, "Not found", "There is no such API key.")
DONE = {
    "changed": "The key is changed. It takes effect within a second.",
    "revoked": "The key is revoked. Requests with it are refused within a second.",
}
OVERLAPS = {0: "at once", int(HOUR): "after one hour", DEFAULT_OVERLAP: "after 24 hours"}  # by seconds
_CHOICES = {"permissions": [*Permission], "lanes": [*Lane], "limits": LIMITS}


async def show_keys(request: ConsoleRequest) -> Response:
    """GET /console/keys."""
    return await _list(request, EMPTY)


async def create_key(request: ConsoleRequest) -> Response:
    """POST /console/keys. The response has the secret, which is not shown again."""
    members = read_members(request.form)
    try:
        made = await request.context.api.keys.create_key(request.as_api, read_input(KeyInput, members))
    except Invalid as problem:
        return await _list(request, members, problem)
    return _secret_page(request, made, "The key is created.")


async def show_key(request: ConsoleRequest) -> Response:
    """GET /console/keys/{id}."""
    return await _page(request)


async def change_key(request: ConsoleRequest) -> Response:
    """POST /console/keys/{id}: change, rotate or revoke the key."""
    id, keys = _id(request), request.context.api.keys
    match request.form.get("action"):
        case "change":
            members = read_members(request.form)
            try:
                await keys.revise_key(request.as_api, id, read_input(KeyRevisionInput, members))
            except Invalid as problem:
                return await _page(request, members, problem)
            return request.redirect(f"/keys/{id}", done="changed")
        case "rotate":
            overlap = request.form.get("overlap", "")
            body = read_input(RotationInput, {"overlap": int(overlap) if overlap.isdecimal() else overlap})
            return _secret_page(request, await keys.rotate_key(request.as_api, id, body), "The key has a new secret.")
        case "revoke":
            await keys.revoke_key(request.as_api, id)
            return request.redirect(f"/keys/{id}", done="revoked")
    raise PageError(400, "Not done", "The only actions for a key are change, rotate and revoke.")


async def _list(request: ConsoleRequest, given: Mapping[str, Any], problem: Invalid | None = None) -> Response:
    every = await request.context.store.keys()
    every.sort(key=lambda record: (record.key.revoked_at is not None, record.key.name.lower()))
    sought = {name: request.query.get(name, "").strip() for name in ("q", "state")}
    return request.page(
        "keys/list.html",
        422 if problem else 200,
        records=[record for record in every if _matches(record, sought["q"].lower(), sought["state"])],
        any=bool(every),
        sought=sought,
        states=[*KeyState],
        given=given,
        refused=problem,
        **_CHOICES,
    )


def _matches(record: KeyRecord, text: str, state: str) -> bool:
    """Return whether the name, the id or a sender of a key contains a text, and the key has a state; "" is all."""
    key = record.key
    texts = (key.name, str(key.id), *key.policy.senders)
    return state in ("", key.state) and any(text in one.lower() for one in texts)


async def _page(
    request: ConsoleRequest, given: Mapping[str, Any] | None = None, problem: Invalid | None = None
) -> Response:
    record = await _record(request)
    shown = key_object(record, request.now)
    return request.page(
        "keys/key.html",
        422 if problem else 200,
        record=record,
        shown=shown,
        given=given or shown,
        refused=problem,
        overlaps=OVERLAPS,
        default_overlap=DEFAULT_OVERLAP,
        done=DONE.get(request.query.get("done", ""), ""),
        **_CHOICES,
    )


def _secret_page(request: ConsoleRequest, made: KeyWithSecret, done: str) -> Response:
    return request.page("keys/secret.html", made=made, done=done)


async def _record(request: ConsoleRequest) -> KeyRecord:
    record = await request.context.store.key(_id(request))
    if record is None:
        raise NO_KEY
    return record


def _id(request: ConsoleRequest) -> UUID:
    id: UUID = request.http.path_params["id"]
    return id
