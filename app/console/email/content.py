"""Content of an email: download and preview, which the audit records, and its structure, which it does not.

The preview is a document of its own, in a sandboxed frame. It has no rights and no origin, runs no script, sends no
form and loads nothing from the network. Inline images of the email itself are shown.
"""

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from app import logs
from app.console.email.lookup import email_id, find_email
from app.console.request import ConsoleRequest, PageError
from app.console.templates_env import HEADERS
from app.mail.message import stored_parts as mime
from app.store.keys.audit import AuditAction, Entry
from app.store.records import Email

MAX_PARSED_SIZE = 8 * 2**20  # bytes
FRAME_HEADERS = {
    **HEADERS,
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
    "x-dns-prefetch-control": "off",
}
KINDS = {"html": "text/html", "text": "text/plain"}
NO_CONTENT = PageError(404, "Not found", "The content of this email is not stored any more.")
TOO_LARGE = PageError(413, "Too large", "The email is too large for a preview. Download it as a file.")
NO_SUCH_PART = PageError(404, "Not found", "The email has no such part.")
# Elements for which Chromium opens connections before it applies a policy. They get another name.
_CONNECTING = re.compile(r"<(?=(?:link|meta|base|i?frame|frameset|object|embed|fencedframe)[\s/>])", re.IGNORECASE)
# A pointer on a link opens a connection to its host, so links have no target in the preview.
_LINK_TARGET = re.compile(r"\b(?=(?:href|ping)[\s=])", re.IGNORECASE)
_INLINE_IMAGE = re.compile(r"cid:([^\s\"'<>)]+)", re.IGNORECASE)
_IMAGE = re.compile("image/(?:png|jpeg|gif|webp|bmp)")


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Part of an email; size in bytes, None of a container."""

    depth: int
    type: str
    name: str
    disposition: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Structure:
    """Header fields and parts of an email. `kinds`: the previews it has."""

    headers: list[tuple[str, str]]
    parts: list[PartSummary]
    kinds: list[str]

    @property
    def attachments(self) -> list[PartSummary]:
        """Parts that a reader sees as files."""
        return [
            part for part in self.parts if part.size is not None and (part.name or part.disposition == "attachment")
        ]


async def download(request: ConsoleRequest) -> Response:
    """GET /console/emails/{id}/message.eml: the message as it is sent."""
    content = await _content(request, await find_email(request))
    await _record(request, "message")
    headers = {**HEADERS, "content-disposition": f'attachment; filename="{email_id(request)}.eml"'}
    return Response(content, headers=headers, media_type="message/rfc822")


async def show_preview(request: ConsoleRequest) -> Response:
    """GET /console/emails/{id}/preview/{kind}: the page with the frame. Reads only which previews there are."""
    email = await find_email(request)
    found = await structure(request, email)
    if found is None:
        raise NO_CONTENT if email.content_removed_at else TOO_LARGE
    kind = request.http.path_params["kind"]
    if kind not in found.kinds:
        raise NO_SUCH_PART
    response = request.page("email/preview.html", email=email, kind=kind, kinds=found.kinds, live=0)
    response.headers["content-security-policy"] += "; frame-src 'self'"
    return response


async def show_frame(request: ConsoleRequest) -> Response:
    """GET /console/emails/{id}/frame/{kind}: the document in the frame."""
    email, kind = await find_email(request), request.http.path_params["kind"]
    content = await _content(request, email)
    if len(content) > MAX_PARSED_SIZE:
        raise TOO_LARGE
    text = await asyncio.to_thread(_preview(kind), content) if kind in KINDS else None
    if text is None:
        raise NO_SUCH_PART
    await _record(request, kind)
    return Response(text.encode("utf-8", "replace"), headers=FRAME_HEADERS, media_type=KINDS[kind])


async def structure(request: ConsoleRequest, email: Email) -> Structure | None:
    """Return the structure, or None if the content was removed or is too large to parse for a page."""
    readable = email.content_removed_at is None and email.size <= MAX_PARSED_SIZE
    content = await request.context.store.content(email.id) if readable else None
    return None if content is None else await asyncio.to_thread(_structure, content)


async def _content(request: ConsoleRequest, email: Email) -> bytes:
    content = await request.context.store.content(email.id)
    if content is None:
        raise NO_CONTENT
    return content


async def _record(request: ConsoleRequest, what: str) -> None:
    """Record the reader before the content leaves."""
    id = email_id(request)
    entry = Entry(request.now, request.actor, AuditAction.EMAIL_CONTENT_READ, str(id), {"what": what})
    await request.context.store.record(entry)
    logs.content_read(id, what=what, key=request.actor.name)


def _structure(content: bytes) -> Structure:
    """Return the structure of a message. Takes milliseconds, so call it outside of the event loop."""
    found = [*mime.entities(content)]
    headers = [(name, str(value)) for name, value in found[0][0].head.items()] if found else []
    kinds = [kind for kind in KINDS if mime.displayed_text(content, _subtype(kind)) is not None]
    return Structure(headers, [_summary(*entity) for entity in found], kinds)


def _summary(part: mime.Part, depth: int, is_leaf: bool) -> PartSummary:
    size = part.size if is_leaf else None
    return PartSummary(depth, part.head.get_content_type(), part.filename, part.disposition or "", size)


def _preview(kind: str) -> Callable[[bytes], str | None]:
    return _html if kind == "html" else lambda content: mime.displayed_text(content, "plain")


def _html(content: bytes) -> str | None:
    """Return the HTML with its inline images, and without what opens connections."""
    html = mime.displayed_text(content, "html")
    if html is None:
        return None
    images = {part.content_id: part for part in mime.parts(content) if part.content_id}

    def replace(match: re.Match[str]) -> str:
        part = images.get(match[1])
        kind = part.head.get_content_type() if part else ""
        if part is None or not _IMAGE.fullmatch(kind):
            return match[0]
        return f"data:{kind};base64,{base64.b64encode(part.decoded()).decode()}"

    inert = _LINK_TARGET.sub("data-", _CONNECTING.sub("<x-", html))
    return _INLINE_IMAGE.sub(replace, inert)


def _subtype(kind: str) -> Any:
    return KINDS[kind].partition("/")[2]
