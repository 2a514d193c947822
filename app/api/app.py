"""HTTP application: the paths and their routes."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, StringConvertor, register_url_convertor
from starlette.requests import Request
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
from app.api.emails.routes import EmailRoutes, SendRoute
from app.api.emails.schedule_routes import ScheduleRoutes
from app.api.emails.validate_route import ValidateRoute
from app.api.http.api_route import ApiRoutes
from app.api.http.memory_budget import MemoryBudget
from app.api.mailboxes import MailboxRoutes
from app.api.openapi.routes import DocsRoutes
from app.api.operations.health import HealthRoutes
from app.api.operations.metrics import MetricsRoute
from app.api.postmark.routes import BATCH_PATH, SEND_PATH, TEMPLATE_PATHS, PostmarkRoutes
from app.api.server import starting, unsupported
from app.api.server.middleware import RequestMiddleware
from app.api.submission.pipeline import SubmissionPipeline
from app.api.suppressions.routes import SuppressionRoutes
from app.api.webhooks.routes import WebhookRoutes

_GET = ("GET", "HEAD")


class _ExceptActions(StringConvertor):
    """One path segment, except the names of other routes, for which another method is a 405 and not an id."""

    regex = "(?!(?:batch|validate|erase)$)[^/]+"


class _ExceptBatch(PathConvertor):
    """Rest of a path, except `batch`."""

    regex = "(?!batch$).*"


class _ExceptBatchActions(PathConvertor):
    """Rest of a path, which may be an address with a slash, except the names of other routes."""

    regex = "(?!batch/(?:add|remove)$).+"


register_url_convertor("but_batch_words", _ExceptBatchActions())
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


def create_app(context: ApiContext) -> RequestMiddleware:
    """Return the whole API as one ASGI application."""
    body_budget = MemoryBudget(context.limits.max_bytes_in_flight, context.limits.max_body_bytes)
    middleware = create_middleware(context.draining, body_budget, context.root_path, counted=False)
    mount_routes(middleware, context)
    return middleware


def create_middleware(
    draining: Callable[[], bool], body_budget: MemoryBudget, root_path: str, *, counted: bool
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
    return RequestMiddleware(app, draining, body_budget, root_path)


def mount_routes(middleware: RequestMiddleware, context: ApiContext, *, public: bool = True) -> None:
    """Mount the routes. If not `public`, only /healthz, /readyz and /metrics."""
    app, rates, attempts = (
        _plain_app(),
        RateLimitHeaders(context.clock.now),
        AttemptLimiter(context.clock.now, context.limits.attempts_per_minute),
    )
    refusals = RefusalAudit(context.store, context.clock, attempts)
    authenticator = Authenticator(context.store, context.clock, rates)
    if public:
        routes = ApiRoutes(app.router.routes, authenticator, context.limits)
        _add_submissions(
            app, context, authenticator, SubmissionPipeline(context, authenticator, rates, refusals, attempts)
        )
        _add_emails(routes, context, refusals, attempts)
        _add_administration(routes, context)
    _add_operations(app, context, authenticator)
    if public:
        _add_docs(app, context)
        _add_unsupported(app, authenticator)
    middleware.set_routes(app, rates, refusals)


def create_metrics_app(text: Callable[[], Awaitable[bytes]]) -> RequestMiddleware:
    """Return an application that has GET /metrics alone."""
    app = _plain_app()
    app.add_api_route("/metrics", MetricsRoute(text).get, methods=[*_GET])
    return RequestMiddleware(app, lambda: False)


def _plain_app() -> FastAPI:
    app = FastAPI(title="Postern", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.router.route_class = PlainRoute
    return app


def _add_submissions(
    app: FastAPI, context: ApiContext, authenticator: Authenticator, pipeline: SubmissionPipeline
) -> None:
    """Add the routes that take emails. The first match is used, so POST /emails, the hot path, comes first."""
    postmark, refuse = PostmarkRoutes(authenticator, pipeline), unsupported.UnsupportedRoutes(authenticator).refuse
    app.add_api_route("/emails", SendRoute(pipeline).send, methods=["POST"])
    app.add_api_route("/emails/batch", BatchRoute(pipeline).send, methods=["POST"])
    app.add_api_route("/emails/validate", ValidateRoute(context, pipeline).validate, methods=["POST"])
    app.add_api_route(SEND_PATH, postmark.send, methods=["POST"])
    app.add_api_route(BATCH_PATH, postmark.send_batch, methods=["POST"])
    for path in TEMPLATE_PATHS:
        app.add_api_route(path, postmark.refuse_template, methods=[*unsupported.METHODS])
    app.add_api_route("/email/{rest:but_batch}", postmark.refuse, methods=[*unsupported.METHODS])
    for path in unsupported.PATHS_BEFORE_EMAIL_ID:
        app.add_api_route(path, refuse, methods=[*unsupported.METHODS])


def _add_emails(routes: ApiRoutes, context: ApiContext, refusals: RefusalAudit, attempts: AttemptLimiter) -> None:
    emails, schedule = EmailRoutes(context), ScheduleRoutes(context, refusals)
    attachments, erasures = AttachmentRoutes(context), EraseRoutes(context)
    routes.add("/emails", ListRoute(context).list_)
    routes.add("/emails/erase", erasures.erase_address, "POST")
    routes.add("/emails/{id:but_words}", emails.show)
    routes.add("/emails/{id:but_words}", schedule.reschedule, "PATCH", admit=attempts.admit)
    routes.add("/emails/{id}/cancel", schedule.cancel, "POST")
    routes.add("/emails/{id}/attachments", attachments.list_)
    routes.add("/emails/{id}/attachments/{attachment_id}", attachments.show)
    routes.add("/emails/{id}/attachments/{attachment_id}/content", attachments.download)
    routes.add("/emails/{id}/retry", emails.retry, "POST")
    routes.add("/emails/{id}/confirm", emails.confirm, "POST")
    routes.add("/emails/{id}/erase", erasures.erase, "POST")


def _add_administration(routes: ApiRoutes, context: ApiContext) -> None:
    mailboxes, webhooks, keys = MailboxRoutes(context), WebhookRoutes(context), KeyRoutes(context)
    suppressions = SuppressionRoutes(context)
    routes.add("/mailboxes", mailboxes.list_)
    routes.add("/mailboxes/{name}/hold", mailboxes.hold, "POST")
    routes.add("/mailboxes/{name}/release", mailboxes.release, "POST")
    routes.add("/webhooks", webhooks.list_)
    routes.add("/webhooks", webhooks.create, "POST")
    routes.add("/webhooks/{id}", webhooks.show)
    routes.add("/webhooks/{id}", webhooks.revise, "PATCH")
    routes.add("/webhooks/{id}", webhooks.remove, "DELETE")
    routes.add("/webhooks/{id}/signing-secret/rotate", webhooks.rotate, "POST")
    routes.add("/webhooks/{id}/replay", webhooks.replay_failed, "POST")
    routes.add("/webhooks/{id}/events", webhooks.events)
    routes.add("/webhooks/{id}/events/{event_id}", webhooks.event)
    routes.add("/webhooks/{id}/events/{event_id}/attempts", webhooks.attempts)
    routes.add("/webhooks/{id}/events/{event_id}/replay", webhooks.replay, "POST")
    routes.add("/suppressions", suppressions.list_)
    routes.add("/suppressions", suppressions.add, "POST")
    routes.add("/suppressions/batch/add", suppressions.add_batch, "POST")
    routes.add("/suppressions/batch/remove", suppressions.remove_batch, "POST")
    routes.add("/suppressions/{id:but_batch_words}", suppressions.show)
    routes.add("/suppressions/{id:but_batch_words}", suppressions.remove, "DELETE")
    routes.add("/keys", keys.list_)
    routes.add("/keys", keys.create, "POST")
    routes.add("/keys/{id}", keys.show)
    routes.add("/keys/{id}", keys.revise, "PATCH")
    routes.add("/keys/{id}", keys.revoke, "DELETE")
    routes.add("/keys/{id}/rotate", keys.rotate, "POST")
    routes.add("/audit", AuditRoute(context).list_)


def _add_operations(app: FastAPI, context: ApiContext, authenticator: Authenticator) -> None:
    health = HealthRoutes(context, authenticator)
    app.add_api_route("/healthz", health.alive, methods=[*_GET])
    app.add_api_route("/readyz", health.ready, methods=[*_GET])
    if context.metrics_text is not None:
        app.add_api_route("/metrics", MetricsRoute(context.metrics_text).get, methods=[*_GET])


def _add_docs(app: FastAPI, context: ApiContext) -> None:
    docs = DocsRoutes(app.router.routes, context.root_path)
    app.add_api_route("/openapi.json", docs.specification, methods=[*_GET])
    app.add_api_route("/docs", docs.page, methods=[*_GET])


def _add_unsupported(app: FastAPI, authenticator: Authenticator) -> None:
    refuse = unsupported.UnsupportedRoutes(authenticator).refuse
    for path in unsupported.PATHS:
        app.add_api_route(path, refuse, methods=[*unsupported.METHODS])
