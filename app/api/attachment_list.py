"""The files of an email as it is relayed: GET /emails/{id}/attachments, one of them, and its octets.

They are read from the content that is kept, so they are there as long as that is. A `download_url` is a path of this
API and asks for the API key like every other: there are no links here that open mail to whoever holds them.
"""

import asyncio
import email
import email.policy
import json
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from starlette.requests import Request
from starlette.responses import Response

from app.api.edge import Edge
from app.api.errors import NoEmail, NotFound
from app.api.keys import Keyring
from app.api.wire import path_id, success, timestamp
from app.frozen import frozen

PROMISED = 3600.0  # seconds for which an answer's `download_url` is promised to work


@frozen
class File:
    """One attachment. `disposition` is inline or attachment."""

    id: UUID
    filename: str
    content_type: str
    disposition: str
    content_id: str | None
    octets: bytes


class Attachments:
    """The three routes."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    async def list_(self, request: Request) -> Response:
        """GET /emails/{id}/attachments: all of them, in the order of the message."""
        id_, files = await self._read(request)
        until = self._edge.clock.now() + PROMISED
        data = [_object(id_, file, until) for file in files]
        return success(json.dumps({"object": "list", "has_more": False, "data": data}).encode())

    async def show(self, request: Request) -> Response:
        """GET /emails/{id}/attachments/{attachment_id}."""
        id_, file = await self._one(request)
        until = self._edge.clock.now() + PROMISED
        return success(json.dumps({"object": "attachment", **_object(id_, file, until)}).encode())

    async def download(self, request: Request) -> Response:
        """GET /emails/{id}/attachments/{attachment_id}/content: the octets, which no browser is to show as a page."""
        _, file = await self._one(request)
        headers = {
            "content-type": file.content_type,
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",  # RFC 6266 §4.3
            "x-content-type-options": "nosniff",
        }
        return Response(file.octets, headers=headers)

    async def _one(self, request: Request) -> tuple[UUID, File]:
        wanted = path_id(request, "attachment_id")
        id_, files = await self._read(request)
        for file in files:
            if file.id == wanted:
                return id_, file
        raise NotFound(f"The email {id_} has no attachment {wanted}.")

    async def _read(self, request: Request) -> tuple[UUID, list[File]]:
        key = await self._keyring.reader(request)
        id_ = path_id(request)
        if await self._edge.store.get(id_, key.scope) is None:
            raise NoEmail(id_)
        content = await self._edge.store.content(id_)
        if content is None:
            raise NotFound(f"The content of the email {id_} is not kept any more.", reason="content_not_kept")
        return id_, await asyncio.to_thread(files_of, id_, content)


def files_of(id_: UUID, content: bytes) -> list[File]:
    """From the bytes that are relayed. Costs milliseconds and more: not for the event loop."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    parts = [part for part in message.walk() if part.get_content_disposition() is not None]
    return [_file(id_, place, part) for place, part in enumerate(parts)]


def _file(id_: UUID, place: int, part: EmailMessage) -> File:
    content_id = part["Content-ID"]
    octets = part.get_payload(decode=True)
    return File(
        id=uuid5(id_, str(place)),  # the content never changes, so neither does this
        filename=part.get_filename() or "",
        content_type=part.get_content_type(),
        disposition=part.get_content_disposition() or "attachment",
        content_id=None if content_id is None else str(content_id).strip().removeprefix("<").removesuffix(">"),
        octets=octets if isinstance(octets, bytes) else b"",
    )


def _object(id_: UUID, file: File, until: float) -> dict[str, Any]:
    return {
        "id": str(file.id),
        "filename": file.filename,
        "size": len(file.octets),
        "content_type": file.content_type,
        "content_disposition": file.disposition,
        "content_id": file.content_id,
        "download_url": f"/emails/{id_}/attachments/{file.id}/content",
        "expires_at": timestamp(until),
    }
