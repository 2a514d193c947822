"""Routes of the inbox: a list with a search, a message, and its HTML body in a sandbox."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.simulator.dependencies import Sim, message_of
from app.simulator.message_view import body, details, parse, summary
from app.simulator.recorder import ReceivedMessage

REFRESH_INTERVAL = 3  # seconds

_TEMPLATES = Path(__file__).parent / "templates"
_PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
# The HTML of a message runs no script, sends no form and loads nothing: `sandbox` also without the frame around it.
_FOREIGN = {
    **_PAGE,
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
}

inbox = APIRouter(include_in_schema=False)
_Message = Annotated[ReceivedMessage, Depends(message_of)]


@inbox.get("/")
async def list_inbox(sim: Sim, q: str = "") -> Response:
    """List the messages, newest first; `q` is searched in addresses, subject, mailbox and id."""
    rows = [row for message in reversed(sim.messages) if _matches(row := summary(message), q)]
    return _page("inbox.html", rows=rows, q=q, port=sim.port, refresh=REFRESH_INTERVAL)


@inbox.get("/inbox/style.css")
@inbox.get("/inbox/refresh.js")
async def static_file(request: Request) -> Response:
    """Return the style sheet or the script of the pages."""
    return FileResponse(_TEMPLATES / Path(request.url.path).name)


@inbox.get("/inbox/{id}")
async def show_inbox_message(message: _Message) -> Response:
    """Return one message: envelope, bodies, header fields, source."""
    source = message.content.decode("utf-8", "replace")
    return _page("message.html", message=details(message), source=source)


@inbox.get("/inbox/{id}/html")
async def show_html_body(message: _Message) -> Response:
    """Return the HTML body, isolated by its Content-Security-Policy."""
    return HTMLResponse(body(parse(message), "html") or "", headers=_FOREIGN)


def _matches(row: Mapping[str, Any], query: str) -> bool:
    searched = (row["id"], row["from"], row["to"], row["subject"], row["mailbox"], *row["recipients"])
    return any(query.casefold() in text.casefold() for text in searched)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_ENVIRONMENT = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
_ENVIRONMENT.filters["time"] = _time


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(**values), headers=_PAGE)
