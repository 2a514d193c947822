"""Attachments of an email: GET /emails/{id}/attachments, one of them, and its content.

They are read from the stored content, so they exist as long as it is stored. A `download_url` is a path of this API
and requires an API key: no link alone gives access to mail.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid5

from fastapi import Path, Query
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.auth.limits import large_work_slot, reserve
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import INVALID_UUID, EmailId, ListQuery, Page, PathId, list_object, list_part
from app.api.openapi.email_samples import ID_ERRORS
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, links, operation
from app.api.openapi.types import AT, ID, OTHER_ID, Id, Timestamp, describe
from app.api.problems.problem import ErrorName, NoEmail, NotFound, found
from app.mail.message.stored_parts import Part, parts
from app.mail.times import HOUR, iso

T = TypeVar("T")

PROMISED = HOUR  # seconds for which an answer's `download_url` is promised to work


class ListedAttachment(TypedDict):
    """A file of an email."""

    id: Id
    filename: str
    size: Annotated[int, describe("Bytes.", ge=0)]
    content_type: str
    content_disposition: Annotated[str, describe("`inline` when the html shows it, else `attachment`.")]
    content_id: str | None
    download_url: Annotated[str, describe("A path of this API, which requires an API key like every other.")]
    expires_at: Annotated[Timestamp, describe("Time until which the path is guaranteed to work.")]


class AttachmentObject(ListedAttachment):
    """One file of an email."""

    object: Literal["attachment"]


class AttachmentList(Page):
    """The files of an email, in its order."""

    data: list[ListedAttachment]


def _not_kept(id: UUID | str) -> NotFound:
    return NotFound(f"The content of the email {id} is not kept any more.", reason="content_not_kept")


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
_NO_FILE = NotFound(f"The email {ID} has no attachment {OTHER_ID}.")
_operation = partial(operation, tag=OperationTag.ATTACHMENTS, needs=RequiredPermission.READ_ACCESS)
_BAD_FILE = invalid("attachment_id", INVALID_UUID, ErrorName.INVALID_PARAMETER)
_FILE_ERRORS = (*ID_ERRORS, _BAD_FILE, _NO_FILE, _not_kept(ID))
_FileId: TypeAlias = Annotated[PathId, Path(description="The id of the file, from the list.")]
_FILE_PARAMETERS = {"id": "$request.path.id", "attachment_id": "$response.body#/data/0/id"}


class AttachmentRoutes:
    """Routes that list, show and download attachments."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "GET /emails/{id}/attachments",
        "All of them.",
        {"one file": list_object(AttachmentList, [_FILE])},
        errors=(*ID_ERRORS, _not_kept(ID)),
        links=links(_FILE_PARAMETERS, "getAttachment", "downloadAttachment"),
    )
    async def list_attachments(
        self, request: ApiRequest, id: EmailId, query: Annotated[ListQuery, Query()]
    ) -> AttachmentList:
        """List the files of an email."""
        until = self._context.clock.now() + PROMISED
        data = await self._read(
            request, id, lambda files: [self._object(id, file_id, file, until) for file_id, file in files.items()]
        )
        return list_part(AttachmentList, data, query)

    @_operation(
        "GET /emails/{id}/attachments/{attachment_id}",
        "The file.",
        {"a file": {"object": "attachment", **_FILE}},
        errors=_FILE_ERRORS,
    )
    async def get_attachment(self, request: ApiRequest, id: EmailId, attachment_id: _FileId) -> AttachmentObject:
        """Get one file of an email."""
        until = self._context.clock.now() + PROMISED
        shown = await self._with_file(
            request, id, attachment_id, lambda file: self._object(id, attachment_id, file, until)
        )
        return {"object": "attachment", **shown}

    @_operation(
        "GET /emails/{id}/attachments/{attachment_id}/content",
        "Its bytes, with its own media type.",
        media_type="*/*",
        answer_headers={
            "Content-Disposition": "`attachment` with the filename (RFC 6266): no browser shows it as a page.",
            "X-Content-Type-Options": "`nosniff`.",
        },
        errors=_FILE_ERRORS,
    )
    async def download_attachment(self, request: ApiRequest, id: EmailId, attachment_id: _FileId) -> Response:
        """Download one file of an email."""
        content_type, filename, content = await self._with_file(request, id, attachment_id, _decoded)
        headers = {
            "content-type": content_type,
            "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",  # RFC 6266 §4.3
            "x-content-type-options": "nosniff",
        }
        return Response(content, headers=headers)

    async def _with_file(self, request: ApiRequest, id: UUID, attachment_id: UUID, answer: Callable[[Part], T]) -> T:
        missing = NotFound(f"The email {id} has no attachment {attachment_id}.")
        return await self._read(request, id, lambda files: answer(found(files.get(attachment_id), missing)))

    async def _read(self, request: ApiRequest, id: UUID, answer: Callable[[Mapping[UUID, Part]], T]) -> T:
        """Return the result of `answer` for the files, while the content is in memory."""
        email = found(await self._context.store.get(id, request.key.scope), NoEmail(id))
        reserve(request.scope, email.size)
        async with large_work_slot(request.scope, email.size):
            content = found(await self._context.store.content(id), _not_kept(id))
            return await asyncio.to_thread(lambda: answer(files_of(id, content)))

    def _object(self, id_: UUID, file_id: UUID, file: Part, until: float) -> ListedAttachment:
        return {
            "id": str(file_id),
            "filename": file.filename,
            "size": file.size,
            "content_type": file.head.get_content_type(),
            "content_disposition": file.disposition or "attachment",
            "content_id": file.content_id,
            "download_url": f"{self._context.root_path}/emails/{id_}/attachments/{file_id}/content",
            "expires_at": iso(until),
        }


def _decoded(file: Part) -> tuple[str, str, bytes]:
    """Return the media type, the filename and the bytes of a download."""
    return file.head.get_content_type(), file.filename, file.decoded()


def files_of(id_: UUID, content: bytes) -> dict[UUID, Part]:
    """Parse the stored message. It takes milliseconds or more, so it must not run in the event loop."""
    files = [part for part in parts(content) if part.disposition is not None]
    return {uuid5(id_, str(place)): part for place, part in enumerate(files)}  # the content never changes
