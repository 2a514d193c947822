"""Page that sends a test email as one of the API keys, with the key's own policy."""

from collections.abc import Mapping
from uuid import UUID

from starlette.responses import Response

from app import logs
from app.api.problems.problem import Problem
from app.console.request import ACTOR, ConsoleRequest, PageError
from app.mail.message.message import Lane
from app.store.keys.audit import AuditAction, Entry
from app.store.keys.records import Key

_FIELDS = ("key", "from", "to", "subject", "text", "lane")
_EMPTY = {
    **dict.fromkeys(_FIELDS, ""),
    "subject": "A test from Postern",
    "text": "If you can read this, the relay works.\n",
}
NO_KEY = PageError(422, "Not done", "Choose an API key of the list: it may have been revoked in the meantime.")


async def show_form(request: ConsoleRequest) -> Response:
    """GET /console/test."""
    return await _page(request, {**_EMPTY, "key": request.query.get("key", "")})


async def send(request: ConsoleRequest) -> Response:
    """POST /console/test: submit the email and open its page."""
    given = {name: request.form.get(name, "") for name in _FIELDS}
    key = next((candidate for candidate in await _keys(request) if str(candidate.id) == given["key"]), None)
    if key is None:
        raise NO_KEY
    members = {name: given[name] for name in ("from", "subject", "text", "lane") if given[name].strip()}
    try:
        email = {**members, "to": given["to"].split()}
        id = await request.context.api.submissions.submit_as(key, email, request.client)
    except Problem as problem:
        return await _page(request, given, problem)
    await _record(request, id, key)
    return request.redirect(f"/emails/{id}", done="tested")


async def _record(request: ConsoleRequest, id: UUID, key: Key) -> None:
    details = {"key": key.name, "key_id": str(key.id)}
    await request.context.store.record(Entry(request.now, request.actor, AuditAction.EMAIL_TESTED, str(id), details))
    logs.tested(id, sent_as=key.name, key=ACTOR)


async def _page(request: ConsoleRequest, given: Mapping[str, str], problem: Problem | None = None) -> Response:
    return request.page(
        "send_test/form.html",
        problem.status if problem else 200,
        given=given,
        keys=await _keys(request),
        lanes=[*Lane],
        default_sender=request.context.api.default_sender,
        refused=problem,
    )


async def _keys(request: ConsoleRequest) -> list[Key]:
    """Return the keys that may send, by name."""
    keys = (record.key for record in await request.context.store.keys())
    return sorted((key for key in keys if key.is_usable), key=lambda key: key.name.lower())
