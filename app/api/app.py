"""The HTTP application: which route has which path."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import unsupported, waiting
from app.api.attachment_list import Attachments
from app.api.attempt_limit import AttemptLimiter
from app.api.audit import Audit
from app.api.batch import Batch
from app.api.changes import Changes
from app.api.counted import Counted
from app.api.docs import Docs
from app.api.edge import Edge
from app.api.emails import Emails
from app.api.entrance import Entrance
from app.api.erasure import Erasures
from app.api.health import Health
from app.api.intake import Intake
from app.api.key_routes import Keys
from app.api.keys import Keyring
from app.api.listing import Listing
from app.api.mailboxes import Mailboxes
from app.api.memory import Room
from app.api.postmark import BATCH, PATH, TEMPLATES, Postmark
from app.api.rates import Rates
from app.api.refusals import Refusals
from app.api.validation import Validation
from app.api.webhooks import Webhooks

_Route = tuple[str, Sequence[str], Callable[[Request], Awaitable[Response]]]

_POST = ("POST",)
_GET = ("GET", "HEAD")


class _ButWords(StringConvertor):
    """One part of a path, but for those that are routes of their own: another method of theirs is 405 and no id."""

    regex = "(?!(?:batch|validate|erase)$)[^/]+"


class _ButBatch(PathConvertor):
    """The same for the rest of a path."""

    regex = "(?!batch$).*"


register_url_convertor("but_words", _ButWords())
register_url_convertor("but_batch", _ButBatch())


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request as it is and gives the response. FastAPI describes it, but solves no
    dependencies for it, which would cost as much again as all that POST /emails does before the commit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = app


def create_app(edge: Edge) -> Entrance:
    """The whole inbound edge as one ASGI application."""
    room = Room(edge.limits.max_bytes_in_flight, edge.limits.max_body_bytes)
    entrance = create_entrance(edge.draining, room, edge.root_path, counted=False)
    lead(entrance, edge)
    return entrance


def create_entrance(draining: Callable[[], bool], room: Room, root_path: str, *, counted: bool) -> Entrance:
    """The same before there is a store: until it is `lead` somewhere, whoever has mail is told to come again.

    `counted`: /metrics is asked for here.
    """
    app = _plain_app()
    app.add_api_route("/healthz", waiting.alive, methods=[*_GET])
    app.add_api_route("/readyz", waiting.ready, methods=[*_GET])
    if counted:
        app.add_api_route("/metrics", Counted(waiting.text).counted, methods=[*_GET])
    app.router.default = waiting.nothing_yet
    return Entrance(app, draining, room, root_path)


def lead(entrance: Entrance, edge: Edge, *, public: bool = True) -> None:
    """To the routes. Not `public`: only to what machines inside ask of a process."""
    app, rates, attempts = (
        _plain_app(),
        Rates(edge.clock.now),
        AttemptLimiter(edge.clock.now, edge.limits.attempts_per_minute),
    )
    refusals = Refusals(edge.store, edge.clock, attempts)
    keyring = Keyring(edge.store, edge.clock, rates)
    if public:
        _add_routes(app, edge, keyring, Intake(edge, rates, refusals, attempts))
    else:
        for path, methods, endpoint in _of_health(edge, keyring):
            app.add_api_route(path, endpoint, methods=[*methods])
    entrance.lead_to(app, rates, refusals)


def create_metrics_app(text: Callable[[], Awaitable[bytes]]) -> Entrance:
    """GET /metrics alone."""
    app = _plain_app()
    app.add_api_route("/metrics", Counted(text).counted, methods=[*_GET])
    return Entrance(app, lambda: False)


def _plain_app() -> FastAPI:
    app = FastAPI(title="Postern", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.router.route_class = PlainRoute
    return app


def _add_routes(app: FastAPI, edge: Edge, keyring: Keyring, intake: Intake) -> None:
    """The first that fits is taken, so POST /emails, which has to be quick, stands at the top."""
    nothing = unsupported.Unsupported(keyring).refuse
    emails = Emails(edge, keyring, intake)
    app.add_api_route("/emails", emails.send, methods=["POST"])
    app.add_api_route("/emails", Listing(edge, keyring).list_, methods=[*_GET])
    for path in unsupported.BEFORE_EMAILS:
        app.add_api_route(path, nothing, methods=[*unsupported.METHODS], include_in_schema=False)
    app.add_api_route("/emails/batch", Batch(edge, keyring, intake).send, methods=["POST"])
    app.add_api_route("/emails/validate", Validation(edge, keyring, intake).validate, methods=["POST"])
    docs = Docs(app.router.routes, edge.root_path)
    for path, methods, endpoint in (
        ("/openapi.json", _GET, docs.specification),
        ("/docs", _GET, docs.page),
        *_of_an_email(
            emails,
            Changes(edge, keyring, intake.refusals, intake.attempts),
            Attachments(edge, keyring),
            Erasures(edge, keyring),
        ),
        *_beside_emails(edge, keyring),
        *_of_webhooks(edge, keyring),
        *_of_keys(edge, keyring),
    ):
        app.add_api_route(path, endpoint, methods=[*methods])
    _add_postmark(app, Postmark(edge, keyring, intake))
    for path in unsupported.PATHS:
        app.add_api_route(path, nothing, methods=[*unsupported.METHODS], include_in_schema=False)


def _add_postmark(app: FastAPI, postmark: Postmark) -> None:
    app.add_api_route(PATH, postmark.send, methods=["POST"])
    app.add_api_route(BATCH, postmark.send_batch, methods=["POST"])
    for path in TEMPLATES:
        app.add_api_route(path, postmark.template, methods=[*unsupported.METHODS], include_in_schema=False)
    rest = "/email/{rest:but_batch}"
    app.add_api_route(rest, postmark.nothing, methods=[*unsupported.METHODS], include_in_schema=False)


def _of_an_email(emails: Emails, changes: Changes, attachments: Attachments, erasures: Erasures) -> Sequence[_Route]:
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


def _of_webhooks(edge: Edge, keyring: Keyring) -> Sequence[_Route]:
    webhooks = Webhooks(edge, keyring)
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


def _of_keys(edge: Edge, keyring: Keyring) -> Sequence[_Route]:
    keys = Keys(edge, keyring)
    return (
        ("/keys", _GET, keys.list_),
        ("/keys", _POST, keys.create),
        ("/keys/{id}", _GET, keys.show),
        ("/keys/{id}", ("PATCH",), keys.revise),
        ("/keys/{id}", ("DELETE",), keys.revoke),
        ("/keys/{id}/rotate", _POST, keys.rotate),
        ("/audit", _GET, Audit(edge, keyring).list_),
    )


def _beside_emails(edge: Edge, keyring: Keyring) -> Sequence[_Route]:
    mailboxes = Mailboxes(edge, keyring)
    return (
        ("/mailboxes", _GET, mailboxes.list_),
        ("/mailboxes/{name}/hold", _POST, mailboxes.hold),
        ("/mailboxes/{name}/release", _POST, mailboxes.release),
        *_of_health(edge, keyring),
    )


def _of_health(edge: Edge, keyring: Keyring) -> Sequence[_Route]:
    health = Health(edge, keyring)
    return (
        ("/healthz", _GET, health.alive),
        ("/readyz", _GET, health.ready),
        *([] if edge.counted is None else [("/metrics", _GET, Counted(edge.counted).counted)]),
    )
