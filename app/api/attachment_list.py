"""The files of an email as it is relayed: GET /emails/{id}/attachments, one of them, and its octets.

They are read from the content that is kept, so they are there as long as that is. A `download_url` is a path of this
API and asks for the API key like every other: there are no links here that open mail to whoever holds them.
"""

import asyncio
import email
import email.policy
import json
from email.message import EmailMessage
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID, uuid5

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.edge import Edge
from app.api.errors import Name, NoEmail, NotFound
from app.api.keys import Keyring
from app.api.openapi import Answer, Link, Needs, Parameter, Place, Tag, operation
from app.api.openapi_errors import invalid
from app.api.openapi_shared import ID_PART, OF_ONE
from app.api.openapi_types import AT, ID, OTHER_ID, Id, Timestamp, says
from app.api.wire import path_id, success
from app.frozen import frozen
from app.mail.moment import iso

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


class ListedAttachment(TypedDict):
    """A file of an email."""

    id: Id
    filename: str
    size: Annotated[int, says("Octets.", ge=0)]
    content_type: str
    content_disposition: Annotated[str, says("`inline` when the html shows it, else `attachment`.")]
    content_id: str | None
    download_url: Annotated[str, says("A path of this API, which asks for the API key like every other.")]
    expires_at: Annotated[Timestamp, says("Until then the path is promised to work.")]


class AttachmentObject(ListedAttachment):
    """A file of an email, by itself."""

    object: Literal["attachment"]


class AttachmentList(TypedDict):
    """The files of an email, in its order."""

    object: Literal["list"]
    has_more: Literal[False]
    data: list[ListedAttachment]


_FILE = {
    "id": OTHER_ID,
    "filename": "invoice.pdf",
    "size": 48213,
    "content_type": "application/pdf",
    "content_disposition": "attachment",
    "content_id": None,
    "download_url": f"/emails/{ID}/attachments/{OTHER_ID}/content",
    "expires_at": AT,
}
_NOT_KEPT = NotFound(f"The content of the email {ID} is not kept any more.", reason="content_not_kept")
_NO_FILE = NotFound(f"The email {ID} has no attachment {OTHER_ID}.")
_BAD_FILE = invalid("attachment_id", "It must be a UUID, as this API answered it.", Name.INVALID_PARAMETER)
_FILE_PART = Parameter("attachment_id", Id, "The id of the file, from the list.", place=Place.PATH)
_OF_FILE = {"id": "$request.path.id", "attachment_id": "$response.body#/data/0/id"}


class Attachments:
    """The three routes."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "listAttachments",
        "List the files of an email",
        tag=Tag.ATTACHMENTS,
        needs=Needs.READER,
        parameters=(ID_PART,),
        answer=Answer(
            "All of them.", AttachmentList, {"one file": {"object": "list", "has_more": False, "data": [_FILE]}}
        ),
        refuses=(*OF_ONE, _NOT_KEPT),
        links={"getAttachment": Link("getAttachment", _OF_FILE), "download": Link("downloadAttachment", _OF_FILE)},
    )
    async def list_(self, request: Request) -> Response:
        """GET /emails/{id}/attachments: all of them, in the order of the message."""
        id_, files = await self._read(request)
        until = self._edge.clock.now() + PROMISED
        data = [self._object(id_, file, until) for file in files]
        return success(json.dumps({"object": "list", "has_more": False, "data": data}).encode())

    @operation(
        "getAttachment",
        "See one file of an email",
        tag=Tag.ATTACHMENTS,
        needs=Needs.READER,
        parameters=(ID_PART, _FILE_PART),
        answer=Answer("The file.", AttachmentObject, {"a file": {"object": "attachment", **_FILE}}),
        refuses=(*OF_ONE, _BAD_FILE, _NO_FILE, _NOT_KEPT),
    )
    async def show(self, request: Request) -> Response:
        """GET /emails/{id}/attachments/{attachment_id}."""
        id_, file = await self._one(request)
        until = self._edge.clock.now() + PROMISED
        return success(json.dumps({"object": "attachment", **self._object(id_, file, until)}).encode())

    @operation(
        "downloadAttachment",
        "Download one file of an email",
        tag=Tag.ATTACHMENTS,
        needs=Needs.READER,
        parameters=(ID_PART, _FILE_PART),
        answer=Answer(
            "Its octets, under its own media type.",
            media_type="*/*",
            headers={
                "Content-Disposition": "`attachment` with the filename (RFC 6266): no browser shows it as a page.",
                "X-Content-Type-Options": "`nosniff`.",
            },
        ),
        refuses=(*OF_ONE, _BAD_FILE, _NO_FILE, _NOT_KEPT),
    )
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

    def _object(self, id_: UUID, file: File, until: float) -> ListedAttachment:
        return {
            "id": str(file.id),
            "filename": file.filename,
            "size": len(file.octets),
            "content_type": file.content_type,
            "content_disposition": file.disposition,
            "content_id": file.content_id,
            "download_url": f"{self._edge.root_path}/emails/{id_}/attachments/{file.id}/content",
            "expires_at": iso(until),
        }


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
