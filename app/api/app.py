"""The HTTP application: which route has which path, what surrounds them, and which exception becomes which answer."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, request_response
from starlette.types import ASGIApp

from app import logs
from app.api import unsupported
from app.api.edge import Edge
from app.api.emails import Emails
from app.api.errors import (
    Crashed,
    Flaw,
    Invalid,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Problem,
    Unavailable,
    answer,
)
from app.api.health import Health
from app.api.keys import Keyring
from app.api.mailboxes import Mailboxes
from app.api.middleware import Crashes, Draining, Paths, RequestId
from app.store import StoreError


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request as it is and gives the response. FastAPI describes it, but solves no
    dependencies for it, which would cost as much again as all that POST /emails does before the commit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


def create_app(edge: Edge) -> ASGIApp:
    """The whole inbound edge as one ASGI application."""
    app = FastAPI(
        title="Postern",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Paths),
            Middleware(RequestId),
            Middleware(Crashes),
            Middleware(Draining, draining=edge.draining),
        ],
        exception_handlers={
            Problem: _on_problem,
            StoreError: _on_store_error,
            HTTPException: _on_http_exception,
            RequestValidationError: _on_validation_error,
        },
    )
    app.router.route_class = PlainRoute
    _add_routes(app, edge)
    return app


def _add_routes(app: FastAPI, edge: Edge) -> None:
    keyring = Keyring(edge.store, edge.clock)
    emails, mailboxes = Emails(edge, keyring), Mailboxes(edge, keyring)
    health, nothing = Health(edge), unsupported.Unsupported(keyring)
    app.add_api_route("/emails", emails.send, methods=["POST"])
    for path in unsupported.BEFORE_EMAILS:
        app.add_api_route(path, nothing.refuse, methods=[*unsupported.METHODS], include_in_schema=False)
    app.add_api_route("/emails/{id}", emails.show, methods=["GET", "HEAD"])
    app.add_api_route("/emails/{id}/retry", emails.retry, methods=["POST"])
    app.add_api_route("/emails/{id}/confirm", emails.confirm, methods=["POST"])
    app.add_api_route("/mailboxes", mailboxes.list_, methods=["GET", "HEAD"])
    app.add_api_route("/mailboxes/{name}/hold", mailboxes.hold, methods=["POST"])
    app.add_api_route("/mailboxes/{name}/release", mailboxes.release, methods=["POST"])
    app.add_api_route("/healthz", health.alive, methods=["GET", "HEAD"])
    app.add_api_route("/readyz", health.ready, methods=["GET", "HEAD"])
    for path in unsupported.PATHS:
        app.add_api_route(path, nothing.refuse, methods=[*unsupported.METHODS], include_in_schema=False)


async def _on_problem(request: Request, problem: Problem) -> Response:
    return answer(problem, request.scope)


async def _on_store_error(request: Request, error: StoreError) -> Response:
    logs.store_failed(f"{request.method} {request.scope['path']}", error)
    sorry = Unavailable("The email store takes nothing at the moment. Nothing was kept; try again.", retry_after=5)
    return answer(sorry, request.scope)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    """What Starlette's router and parsers raise by themselves."""
    match error.status_code:
        case 404:
            return answer(NotFound(f"There is nothing at {request.scope['path']}."), request.scope)
        case 405:
            return answer(MethodNotAllowed(request.method, _allowed(request)), request.scope)
        case status if status < 500:
            return answer(MalformedBody(str(error.detail)), request.scope)
    return answer(Crashed(), request.scope)


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """No route declares parameters, so this does not happen; if one ever does, its answer has the wire form too."""
    flaws = [Flaw(".".join(map(str, details["loc"])), str(details["msg"])) for details in error.errors()]
    return answer(Invalid(flaws), request.scope)


def _allowed(request: Request) -> str:
    """The methods of every route at this path: Starlette would name those of the first one only."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))
