"""Spans by OpenTelemetry, sent by OTLP over HTTP. The only importer of OpenTelemetry, itself imported only where traces
are asked for. Where to, how many and under which name is OpenTelemetry's own environment (OTEL_*).

One trace leads from the caller (W3C `traceparent`) over the commit, through the store, to the claim, the phases of SMTP
and the settlement, days later if need be.
"""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__, logs
from app.secret_text import without_userinfo
from app.tracing import AttemptSpan

SHUTDOWN_TIMEOUT = 3.0  # seconds
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
_w3c = TraceContextTextMapPropagator()


class OtelSpanRecorder:
    """A recorder for app/traces, over one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("postern", __version__)

    @classmethod
    def exported(cls) -> "OtelSpanRecorder":
        """Sent to where OTEL_EXPORTER_OTLP_ENDPOINT says, in batches, by a thread of its own."""
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes.get(SERVICE_NAME)).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "postern"}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _quiet()
        return cls(provider)

    def close(self) -> None:
        """Send what waits, for a few seconds at most: a collector that is gone holds up no stop."""
        parting = threading.Thread(target=self._provider.shutdown, daemon=True)
        parting.start()
        parting.join(SHUTDOWN_TIMEOUT)

    def wrap_application(self, application: ASGIApp) -> ASGIApp:
        """The application with a span for each request."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _UNTRACED:
                await application(scope, receive, send)
                return
            await self._request(application, scope, receive, send)

        return traced

    async def _request(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        with self._current(method, _parent(_headers(scope)), SpanKind.SERVER, {}) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await application(scope, receive, send_noted)
            span.set_attribute("http.request.method", method)
            span.set_attribute("postern.request_id", str(scope.get("request_id", "")))
            if (route := getattr(scope.get("route"), "path_format", None)) is not None:
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")

    # What app/traces asks for.

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _w3c.inject(carrier)
        return carrier.get("traceparent")

    def step(self, name: str, emails: tuple[UUID, ...]) -> AbstractContextManager[Span]:
        facts = {"postern.email.id": [str(email) for email in emails]}
        return self._current(name, None, SpanKind.INTERNAL, facts)

    def claimed(self, email: UUID, parent: str, mailbox: str, at: float) -> None:
        facts = {"postern.email.id": str(email), "postern.mailbox": mailbox}
        self._past("claim", _parent({"traceparent": parent}), at, time.time(), facts, SpanKind.INTERNAL)

    def attempted(self, offer: AttemptSpan) -> None:
        now, ahead = time.time(), time.time() - time.perf_counter()
        parent = Context() if offer.parent is None else _parent({"traceparent": offer.parent})
        began = offer.phase_timings[0][1] + ahead if offer.phase_timings else offer.ended_at
        whole = self._tracer.start_span("relay", parent, SpanKind.CONSUMER, _facts(offer), start_time=_ns(began))
        if not offer.succeeded:
            whole.set_status(Status(StatusCode.ERROR, ", ".join(offer.rules)))
        inside = trace.set_span_in_context(whole, parent)
        for phase, since, until in offer.phase_timings:
            self._past(f"smtp {phase}", inside, since + ahead, until + ahead, {}, SpanKind.CLIENT)
        self._past("settle", inside, offer.ended_at, now, {}, SpanKind.INTERNAL)
        whole.end(_ns(now))

    def _current(
        self, name: str, context: Context | None, kind: SpanKind, facts: Mapping[str, list[str]]
    ) -> AbstractContextManager[Span]:
        """Nothing of an exception is noted: its text could quote anything."""
        return self._tracer.start_as_current_span(
            name, context, kind, facts, record_exception=False, set_status_on_exception=False
        )

    def _past(
        self, name: str, context: Context, since: float, until: float, facts: Mapping[str, str], kind: SpanKind
    ) -> None:
        self._tracer.start_span(name, context, kind, facts, start_time=_ns(since)).end(_ns(until))


def _facts(offer: AttemptSpan) -> dict[str, str | int | list[str]]:
    code = {} if offer.code is None else {"postern.reply.code": offer.code}
    return {
        "postern.email.id": str(offer.email),
        "postern.mailbox": offer.mailbox,
        "postern.lane": offer.lane,
        "postern.attempt.number": offer.number,
        "postern.attempt.phase": str(offer.phase),
        "postern.attempt.outcome": offer.outcome,
        "postern.rules": list(offer.rules),
        **code,
    }


def _parent(carrier: Mapping[str, str]) -> Context:
    """What a `traceparent` leads to; a new trace where there is none, or what is there is none."""
    return _w3c.extract(carrier, Context())


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _quiet() -> None:
    """What the exporter complains of becomes lines of our log."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_LogExporterErrors()]


class _LogExporterErrors(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            logs.traces_lost(reason=without_userinfo(record.getMessage()[:300]))
