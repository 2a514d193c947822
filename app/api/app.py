"""ASGI applications: the whole API with its routes, the responses before the database is open, and /metrics alone."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from fastapi import FastAPI
from starlette.convertors import PathConvertor, StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app import metrics
from app.api.api_keys.routes import KeyRoutes
from app.api.auth.authenticator import Authenticator
from app.api.auth.limits import AttemptLimiter, MemoryBudget, RateLimitHeaders
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.emails.attachment_routes import AttachmentRoutes
from app.api.emails.erase_routes import EraseRoutes
from app.api.emails.routes import EmailRoutes
from app.api.emails.submission_routes import SubmissionRoutes
from app.api.http.api_route import ApiRoute
from app.api.mailboxes import MailboxRoutes
from app.api.openapi.operation import endpoints, operation_of
from app.api.openapi.routes import DocsRoutes
from app.api.operations import HealthRoutes, MetricsRoute
from app.api.postmark.routes import TEMPLATE_PATHS, PostmarkRoutes
from app.api.problems.problem import NotReady, Unavailable
from app.api.server import unknown_path
from app.api.server.middleware import PlainRoute, RequestMiddleware
from app.api.server.unknown_path import UnsupportedRoutes
from app.api.submission.pipeline import SubmissionPipeline
from app.api.suppressions.routes import SuppressionRoutes
from app.api.webhooks.routes import WebhookRoutes
from app.mail.readiness import NO_DATABASE, Status

_GET = ("GET", "HEAD")
_RETRY_AFTER = 5  # seconds, while the database is not open


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
    app = _plain_app(*[MetricsRoute(_metrics_of_process)] if counted else [])
    app.add_api_route("/healthz", _healthz, methods=[*_GET])
    app.add_api_route("/readyz", _not_ready, methods=[*_GET])
    app.router.default = _refuse
    return RequestMiddleware(app, draining, body_budget, root_path)


def mount_routes(middleware: RequestMiddleware, context: ApiContext, *, public: bool = True) -> SubmissionPipeline:
    """Mount the routes; if not `public`, only /healthz, /readyz and /metrics. Return the pipeline of submissions."""
    rates = RateLimitHeaders(context.clock.now)
    attempts = AttemptLimiter(context.clock.now, context.limits.attempts_per_minute)
    refusals = RefusalAudit(context.store, context.clock, attempts)
    authenticator = Authenticator(context.store, context.clock, rates)
    pipeline = SubmissionPipeline(context, authenticator, rates, refusals, attempts)
    app = _plain_app()
    if public:
        _add_submissions(app, context, authenticator, pipeline)
        for routes in (
            EmailRoutes(context, refusals),
            AttachmentRoutes(context),
            EraseRoutes(context),
            MailboxRoutes(context),
            WebhookRoutes(context),
            SuppressionRoutes(context),
            KeyRoutes(context),
        ):
            checks = (authenticator, context.limits, attempts.admit)
            app.router.routes += [ApiRoute(endpoint, *checks) for endpoint in endpoints(routes)]
    _add(app, HealthRoutes(context, authenticator))
    if context.metrics_text is not None:
        _add(app, MetricsRoute(context.metrics_text))
    if public:
        _add(app, DocsRoutes(app.router.routes, context.root_path))
        _add_unsupported(app, UnsupportedRoutes(authenticator), unknown_path.PATHS)
    middleware.set_routes(app, rates, refusals)
    return pipeline


def create_metrics_app(text: Callable[[], Awaitable[bytes]]) -> RequestMiddleware:
    """Return an application that has GET /metrics alone."""
    return RequestMiddleware(_plain_app(MetricsRoute(text)), lambda: False)


def _plain_app(*routes: object) -> FastAPI:
    app = FastAPI(title="Postern", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.router.route_class = PlainRoute
    _add(app, *routes)
    return app


def _add(app: FastAPI, *routes: object) -> None:
    """Add plain routes as their endpoints describe them."""
    for group in routes:
        for endpoint in endpoints(group):
            described = operation_of(endpoint)
            app.add_api_route(described.path, endpoint, methods=[*described.methods])


def _add_submissions(
    app: FastAPI, context: ApiContext, authenticator: Authenticator, pipeline: SubmissionPipeline
) -> None:
    """Add the routes that take emails. The first match is used, so POST /emails, the hot path, comes first."""
    postmark = PostmarkRoutes(authenticator, pipeline)
    _add(app, SubmissionRoutes(context, pipeline), postmark)
    for path in TEMPLATE_PATHS:
        app.add_api_route(path, postmark.refuse_template, methods=[*unknown_path.METHODS])
    app.add_api_route("/email/{rest:but_batch}", postmark.refuse, methods=[*unknown_path.METHODS])
    _add_unsupported(app, UnsupportedRoutes(authenticator), unknown_path.PATHS_BEFORE_EMAIL_ID)


def _add_unsupported(app: FastAPI, routes: UnsupportedRoutes, paths: Sequence[str]) -> None:
    for path in paths:
        app.add_api_route(path, routes.refuse, methods=[*unknown_path.METHODS])


async def _healthz(_: Request) -> bytes:
    """GET /healthz: the process is alive; a restart would fix nothing."""
    return b'{"status":"ok"}'


async def _not_ready(_: Request) -> Response:
    """GET /readyz: not ready."""
    reasons = [NO_DATABASE.as_json(names=False)]
    raise NotReady({"status": Status.NOT_READY, "relaying": False, "reasons": reasons})


async def _metrics_of_process() -> bytes:
    """Return the text of GET /metrics."""
    return metrics.expose()


async def _refuse(_scope: Scope, _receive: Receive, _send: Send) -> NoReturn:
    """Refuse all other requests with 503."""
    sorry = "Postern is starting, and waits for its database. Nothing was kept; try again."
    raise Unavailable(sorry, retry_after=_RETRY_AFTER)
