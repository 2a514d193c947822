"""HTTP application: the paths and their routes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.api_keys.audit_route import AuditRoute
from app.api.api_keys.routes import KeyRoutes
from app.api.auth.attempt_limit import AttemptLimiter
from app.api.auth.authenticator import Authenticator
from app.api.auth.rate_limit_headers import RateLimitHeaders
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.emails.attachment_routes import AttachmentRoutes
from app.api.emails.batch_routes import BatchRoute
from app.api.emails.erase_routes import EraseRoutes
from app.api.emails.list_route import ListRoute
from app.api.emails.routes import EmailRoutes
from app.api.emails.schedule_routes import ScheduleRoutes
from app.api.emails.validate_route import ValidateRoute
from app.api.http.memory_budget import MemoryBudget
from app.api.mailboxes import MailboxRoutes
from app.api.openapi.routes import DocsRoutes
from app.api.operations.health import HealthRoutes
from app.api.operations.metrics import MetricsRoute
from app.api.postmark.routes import BATCH_PATH, SEND_PATH, TEMPLATE_PATHS, PostmarkRoutes
from app.api.server import starting, unsupported
from app.api.server.middleware import RequestMiddleware
from app.api.submission.pipeline import SubmissionPipeline
from app.api.webhooks.routes import WebhookRoutes

_Route = tuple[str, Sequence[str], Callable[[Request], Awaitable[Response]]]

_POST = ("POST",)
_GET = ("GET", "HEAD")


class _ExceptActions(StringConvertor):
    """One path segment, except the names of other routes, for which another method is a 405 and not an id."""

    regex = "(?!(?:batch|validate|erase)$)[^/]+"


class _ExceptBatch(PathConvertor):
    """Rest of a path, except `batch`."""

    regex = "(?!batch$).*"


register_url_convertor("but_words", _ExceptActions())
register_url_convertor("but_batch", _ExceptBatch())


class PlainRoute(APIRoute):
    """Route whose endpoint maps a request to a response. FastAPI describes it but resolves no dependencies, which would
    double the cost of POST /emails before the commit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = app


def create_app(edge: ApiContext) -> RequestMiddleware:
    """Return the whole API as one ASGI application."""
    room = MemoryBudget(edge.limits.max_bytes_in_flight, edge.limits.max_body_bytes)
    entrance = create_middleware(edge.draining, room, edge.root_path, counted=False)
    mount_routes(entrance, edge)
    return entrance


def create_middleware(
    draining: Callable[[], bool], room: MemoryBudget, root_path: str, *, counted: bool
) -> RequestMiddleware:
    """Return the application that answers until the store is open: alive, not ready, 503 for everything else.

    `counted`: with GET /metrics. `mount_routes` adds the routes.
    """
    app = _plain_app()
    app.add_api_route("/healthz", starting.healthz, methods=[*_GET])
    app.add_api_route("/readyz", starting.readyz, methods=[*_GET])
    if counted:
        app.add_api_route("/metrics", MetricsRoute(starting.metrics_text).get, methods=[*_GET])
    app.router.default = starting.starting_application
    return RequestMiddleware(app, draining, room, root_path)


def mount_routes(entrance: RequestMiddleware, edge: ApiContext, *, public: bool = True) -> None:
    """Mount the routes. If not `public`, only /healthz, /readyz and /metrics."""
    app, rates, attempts = (
        _plain_app(),
        RateLimitHeaders(edge.clock.now),
        AttemptLimiter(edge.clock.now, edge.limits.attempts_per_minute),
    )
    refusals = RefusalAudit(edge.store, edge.clock, attempts)
    keyring = Authenticator(edge.store, edge.clock, rates)
    if public:
        pipeline = SubmissionPipeline(edge, keyring, rates, refusals, attempts)
        _add_routes(app, edge, keyring, pipeline, ScheduleRoutes(edge, keyring, refusals, attempts))
    else:
        for path, methods, endpoint in _health_routes(edge, keyring):
            app.add_api_route(path, endpoint, methods=[*methods])
    entrance.set_routes(app, rates, refusals)


def create_metrics_app(text: Callable[[], Awaitable[bytes]]) -> RequestMiddleware:
    """Return an application that has GET /metrics alone."""
    app = _plain_app()
    app.add_api_route("/metrics", MetricsRoute(text).get, methods=[*_GET])
    return RequestMiddleware(app, lambda: False)


def _plain_app() -> FastAPI:
    app = FastAPI(title="Postern", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.router.route_class = PlainRoute
    return app


def _add_routes(
    app: FastAPI, edge: ApiContext, keyring: Authenticator, pipeline: SubmissionPipeline, schedule: ScheduleRoutes
) -> None:
    """Add the public routes. The first match is used, so POST /emails, the hot path, comes first."""
    nothing = unsupported.UnsupportedRoutes(keyring).refuse
    emails = EmailRoutes(edge, keyring, pipeline)
    app.add_api_route("/emails", emails.send, methods=["POST"])
    app.add_api_route("/emails", ListRoute(edge, keyring).list_, methods=[*_GET])
    for path in unsupported.PATHS_BEFORE_EMAIL_ID:
        app.add_api_route(path, nothing, methods=[*unsupported.METHODS], include_in_schema=False)
    app.add_api_route("/emails/batch", BatchRoute(pipeline).send, methods=["POST"])
    app.add_api_route("/emails/validate", ValidateRoute(edge, pipeline).validate, methods=["POST"])
    docs = DocsRoutes(app.router.routes, edge.root_path)
    for path, methods, endpoint in (
        ("/openapi.json", _GET, docs.specification),
        ("/docs", _GET, docs.page),
        *_email_routes(
            emails,
            schedule,
            AttachmentRoutes(edge, keyring),
            EraseRoutes(edge, keyring),
        ),
        *_emails_collection_routes(edge, keyring),
        *_webhook_routes(edge, keyring),
        *_key_routes(edge, keyring),
    ):
        app.add_api_route(path, endpoint, methods=[*methods])
    _add_postmark(app, PostmarkRoutes(keyring, pipeline))
    for path in unsupported.PATHS:
        app.add_api_route(path, nothing, methods=[*unsupported.METHODS], include_in_schema=False)


def _add_postmark(app: FastAPI, postmark: PostmarkRoutes) -> None:
    app.add_api_route(SEND_PATH, postmark.send, methods=["POST"])
    app.add_api_route(BATCH_PATH, postmark.send_batch, methods=["POST"])
    for path in TEMPLATE_PATHS:
        app.add_api_route(path, postmark.refuse_template, methods=[*unsupported.METHODS], include_in_schema=False)
    rest = "/email/{rest:but_batch}"
    app.add_api_route(rest, postmark.refuse, methods=[*unsupported.METHODS], include_in_schema=False)


def _email_routes(
    emails: EmailRoutes, changes: ScheduleRoutes, attachments: AttachmentRoutes, erasures: EraseRoutes
) -> Sequence[_Route]:
    return (
        ("/emails/{id:but_words}", _GET, emails.show),
        ("/emails/{id:but_words}", ("PATCH",), changes.reschedule),
        ("/emails/{id}/cancel", _POST, changes.cancel),
        ("/emails/{id}/attachments", _GET, attachments.list_),
        ("/emails/{id}/attachments/{attachment_id}", _GET, attachments.show),
        ("/emails/{id}/attachments/{attachment_id}/content", _GET, attachments.download),
        ("/emails/{id}/retry", _POST, emails.retry),
        ("/emails/{id}/confirm", _POST, emails.confirm),
        ("/emails/{id}/erase", _POST, erasures.erase),
        ("/emails/erase", _POST, erasures.erase_address),
    )


def _webhook_routes(edge: ApiContext, keyring: Authenticator) -> Sequence[_Route]:
    webhooks = WebhookRoutes(edge, keyring)
    return (
        ("/webhooks", _GET, webhooks.list_),
        ("/webhooks", _POST, webhooks.create),
        ("/webhooks/{id}", _GET, webhooks.show),
        ("/webhooks/{id}", ("PATCH",), webhooks.revise),
        ("/webhooks/{id}", ("DELETE",), webhooks.remove),
        ("/webhooks/{id}/signing-secret/rotate", _POST, webhooks.rotate),
        ("/webhooks/{id}/replay", _POST, webhooks.replay_failed),
        ("/webhooks/{id}/events", _GET, webhooks.events),
        ("/webhooks/{id}/events/{event_id}", _GET, webhooks.event),
        ("/webhooks/{id}/events/{event_id}/attempts", _GET, webhooks.attempts),
        ("/webhooks/{id}/events/{event_id}/replay", _POST, webhooks.replay),
    )


def _key_routes(edge: ApiContext, keyring: Authenticator) -> Sequence[_Route]:
    keys = KeyRoutes(edge, keyring)
    return (
        ("/keys", _GET, keys.list_),
        ("/keys", _POST, keys.create),
        ("/keys/{id}", _GET, keys.show),
        ("/keys/{id}", ("PATCH",), keys.revise),
        ("/keys/{id}", ("DELETE",), keys.revoke),
        ("/keys/{id}/rotate", _POST, keys.rotate),
        ("/audit", _GET, AuditRoute(edge, keyring).list_),
    )


def _emails_collection_routes(edge: ApiContext, keyring: Authenticator) -> Sequence[_Route]:
    mailboxes = MailboxRoutes(edge, keyring)
    return (
        ("/mailboxes", _GET, mailboxes.list_),
        ("/mailboxes/{name}/hold", _POST, mailboxes.hold),
        ("/mailboxes/{name}/release", _POST, mailboxes.release),
        *_health_routes(edge, keyring),
    )


def _health_routes(edge: ApiContext, keyring: Authenticator) -> Sequence[_Route]:
    health = HealthRoutes(edge, keyring)
    return (
        ("/healthz", _GET, health.alive),
        ("/readyz", _GET, health.ready),
        *([] if edge.metrics_text is None else [("/metrics", _GET, MetricsRoute(edge.metrics_text).get)]),
    )
