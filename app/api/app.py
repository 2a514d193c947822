"""The HTTP application: which route has which path."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import unsupported
from app.api.edge import Edge
from app.api.emails import Emails
from app.api.entrance import Entrance
from app.api.health import Health
from app.api.keys import Keyring
from app.api.mailboxes import Mailboxes


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request as it is and gives the response. FastAPI describes it, but solves no
    dependencies for it, which would cost as much again as all that POST /emails does before the commit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = app


def create_app(edge: Edge) -> ASGIApp:
    """The whole inbound edge as one ASGI application."""
    app = FastAPI(title="Postern", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.router.route_class = PlainRoute
    _add_routes(app, edge)
    return Entrance(app, edge.draining)


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
    app.add_api_route("/metrics", health.counted, methods=["GET", "HEAD"])
    for path in unsupported.PATHS:
        app.add_api_route(path, nothing.refuse, methods=[*unsupported.METHODS], include_in_schema=False)
