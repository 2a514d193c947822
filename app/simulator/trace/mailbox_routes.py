"""HTTP routes of Microsoft Graph's mail folders: delta queries, the header fields of a message, its MIME content."""

import base64
import json
import re
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response

from app.simulator.trace.errors import GraphError
from app.simulator.trace.folder import Cursor
from app.simulator.trace.mailboxes import DEFAULT_PAGE_SIZE, Mailboxes

BASE = "/v1.0/users/"
_SINCE = re.compile(r"receivedDateTime\s+g[et]\s+(\S+)")
_PAGE_SIZE = re.compile(r"odata\.maxpagesize=(\d+)")
_HEADERS = "internetMessageHeaders"
routes = APIRouter()


def _mailboxes(request: Request, mailbox: str) -> Mailboxes:
    mailboxes: Mailboxes = request.app.state.mailboxes
    mailboxes.check(mailbox, request.headers.get("Authorization", ""))
    return mailboxes


Readable = Annotated[Mailboxes, Depends(_mailboxes)]


@routes.get(BASE + "{mailbox}/mailFolders/{folder}/messages/delta")
@routes.get(BASE + "{mailbox}/mailFolders('{folder}')/messages/delta")  # of the links
async def delta(
    request: Request,
    mailboxes: Readable,
    mailbox: str,
    folder: str,
    asked: Annotated[str, Query(alias="$filter")] = "",
    select: Annotated[str, Query(alias="$select")] = "",
    change_type: Annotated[str, Query(alias="changeType")] = "",
    skip: Annotated[str, Query(alias="$skiptoken")] = "",
    state: Annotated[str, Query(alias="$deltatoken")] = "",
) -> dict[str, Any]:
    """Return a page of changes. The link in it contains the options of the first request."""
    token = skip or state
    if token:
        cursor, select = _parse(token)
    else:
        cursor = mailboxes.first(since=_since(asked), created_only=change_type == "created")
    size = _PAGE_SIZE.search(request.headers.get("Prefer", ""))
    changes, after, more = mailboxes.page(mailbox, folder, cursor, int(size[1]) if size else DEFAULT_PAGE_SIZE)
    headers = _HEADERS in select and mailboxes.headers_in_pages
    kind, name = ("nextLink", "$skiptoken") if more else ("deltaLink", "$deltatoken")
    url = request.app.state.model.url
    where = f"{url}{BASE}{quote(mailbox)}/mailFolders('{folder}')/messages/delta"
    return {
        "@odata.context": f"{url}/v1.0/$metadata#Collection(message)",
        f"@odata.{kind}": f"{where}?{name}={_text(after, select)}",
        "value": [change.as_json(headers=headers) for change in changes],
    }


@routes.get(BASE + "{mailbox}/messages/{id}")
async def message(
    mailboxes: Readable, mailbox: str, id: str, select: Annotated[str, Query(alias="$select")] = ""
) -> dict[str, Any]:
    """Return a message; its header fields only if they are selected."""
    return mailboxes.item(mailbox, id).as_json(headers=_HEADERS in select)


@routes.get(BASE + "{mailbox}/messages/{id}/$value")
async def mime(mailboxes: Readable, mailbox: str, id: str) -> Response:
    """Return the MIME content of a message."""
    return Response(mailboxes.item(mailbox, id).raw, media_type="text/plain")


def _since(asked: str) -> float:
    if not asked:
        return 0.0
    found = _SINCE.fullmatch(asked)
    try:
        return datetime.fromisoformat(found[1].replace("Z", "+00:00") if found else "").timestamp()
    except ValueError:
        raise GraphError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains an invalid element.") from None


def _text(cursor: Cursor, select: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([*cursor, select]).encode()).decode().rstrip("=")


def _parse(token: str) -> tuple[Cursor, str]:
    try:
        *cursor, select = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Cursor(*cursor), str(select)
    except (ValueError, TypeError):
        raise GraphError(400, "ErrorInvalidSyncStateData", "The sync state is not valid.") from None
