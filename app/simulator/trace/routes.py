"""HTTP application of the simulated Microsoft Graph, and its routes of the message trace."""

import base64
import json
from email.utils import formatdate
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from app.simulator.trace import mailbox_routes
from app.simulator.trace.errors import GraphError
from app.simulator.trace.mailboxes import Mailboxes
from app.simulator.trace.odata import FilterError
from app.simulator.trace.tenant_trace import TenantTrace

BASE = "/v1.0/admin/exchange/tracing/messageTraces"
_DEFAULT_TOP, _MAX_TOP = 1000, 5000
_routes = APIRouter()


def application(model: TenantTrace, mailboxes: Mailboxes) -> FastAPI:
    """Return the application of one tenant."""
    app = FastAPI(title="Postern's Graph simulator")
    app.state.model, app.state.mailboxes = model, mailboxes
    app.include_router(_routes)
    app.include_router(mailbox_routes.routes)
    app.add_exception_handler(GraphError, _refused)

    @app.middleware("http")
    async def dated(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        if request.url.path.startswith(mailbox_routes.BASE):
            mailboxes.record(request.method, request.url.path, response.status_code)
        response.headers["Date"] = formatdate(model.service_time(), usegmt=True)
        return response

    return app


def _model(request: Request) -> TenantTrace:
    model: TenantTrace = request.app.state.model
    return model


Model = Annotated[TenantTrace, Depends(_model)]


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GraphError)  # noqa: S101 - registered only for it
    now = formatdate(_model(request).service_time(), usegmt=True)
    inner = {"date": now, "request-id": str(uuid4()), "client-request-id": str(uuid4())}
    body = {"error": {"code": error.code, "message": error.text, "innerError": inner}}
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(body, error.status, headers)


@_routes.get(BASE)
async def list_traces(
    model: Model,
    request: Request,
    asked: Annotated[str, Query(alias="$filter")] = "",
    top: Annotated[int, Query(alias="$top")] = _DEFAULT_TOP,
    position: Annotated[str, Query(alias="$skiptoken")] = "",
) -> dict[str, Any]:
    """Return a page, newest first. Other query options are ignored."""
    with model.request("list", request.headers.get("Authorization", "")):
        if not 1 <= top <= _MAX_TOP:
            raise GraphError(400, "BadRequest", "The value of $top is not between 1 and 5000.")
        try:
            rows, more = model.page(asked, top, _position(position))
        except FilterError as error:
            raise GraphError(400, "BadRequest", str(error)) from None
        page: dict[str, Any] = {
            "@odata.context": f"{model.url}/v1.0/$metadata#admin/exchange/tracing/messageTraces",
            "value": [row.as_json() for row in rows],
        }
        if more:
            token = base64.urlsafe_b64encode(json.dumps(rows[-1].key).encode()).decode()
            page["@odata.nextLink"] = f"{model.url}{BASE}?$filter={quote(asked)}&$top={top}&$skiptoken={quote(token)}"
        return page


@_routes.get(BASE + "/{id}/getDetailsByRecipient(recipientAddress='{recipient}')")
async def details(model: Model, request: Request, id: str, recipient: str) -> dict[str, Any]:
    """Return the events of one message for one recipient."""
    with model.request("details", request.headers.get("Authorization", "")):
        return {"value": model.details(id, recipient.replace("''", "'"))}


def _position(token: str) -> tuple[int, str, str] | None:
    if not token:
        return None
    try:
        at, id, recipient = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise GraphError(400, "BadRequest", "The $skiptoken is not valid.") from None
    return int(at), str(id), str(recipient)
