"""Span recorder with OpenTelemetry, which sends spans by OTLP over HTTP.

Endpoint, sampling and service name are read from OpenTelemetry's own variables (OTEL_*). One trace contains the request
(W3C `traceparent`), the commit, the claim, the SMTP phases and the settlement, which can be days later.
This is the only module that imports OpenTelemetry, and it is imported only if traces are enabled.
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
    """Recorder of `app.tracing` with one tracer provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("postern", __version__)

    @classmethod
    def exported(cls) -> "OtelSpanRecorder":
        """Build a recorder that sends to OTEL_EXPORTER_OTLP_ENDPOINT in batches, in a separate thread."""
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes.get(SERVICE_NAME)).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "postern"}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _log_exporter_errors()
        return cls(provider)

    def close(self) -> None:
        """Send the remaining spans, for at most SHUTDOWN_TIMEOUT, because the collector may be unreachable."""
        shutdown = threading.Thread(target=self._provider.shutdown, daemon=True)
        shutdown.start()
        shutdown.join(SHUTDOWN_TIMEOUT)

    def wrap_application(self, application: ASGIApp) -> ASGIApp:
        """Return the ASGI application with a span per request."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _UNTRACED:
                await application(scope, receive, send)
                return
            await self._request(application, scope, receive, send)

        return traced

    async def _request(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        with self._current(method, _parent(_headers(scope)), SpanKind.SERVER, {}) as span:

            async def send_with_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await application(scope, receive, send_with_status)
            span.set_attribute("http.request.method", method)
            span.set_attribute("postern.request_id", str(scope.get("request_id", "")))
            if (route := getattr(scope.get("route"), "path_format", None)) is not None:
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")

    # The interface app.tracing.SpanRecorder.

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _w3c.inject(carrier)
        return carrier.get("traceparent")

    def span(self, name: str, emails: tuple[UUID, ...]) -> AbstractContextManager[Span]:
        facts = {"postern.email.id": [str(email) for email in emails]}
        return self._current(name, None, SpanKind.INTERNAL, facts)

    def claimed(self, email: UUID, parent: str, mailbox: str, at: float) -> None:
        facts = {"postern.email.id": str(email), "postern.mailbox": mailbox}
        self._past("claim", _parent({"traceparent": parent}), at, time.time(), facts, SpanKind.INTERNAL)

    def attempted(self, attempt: AttemptSpan) -> None:
        now, ahead = time.time(), time.time() - time.perf_counter()
        parent = Context() if attempt.parent is None else _parent({"traceparent": attempt.parent})
        began = attempt.phase_timings[0][1] + ahead if attempt.phase_timings else attempt.ended_at
        whole = self._tracer.start_span("relay", parent, SpanKind.CONSUMER, _facts(attempt), start_time=_ns(began))
        if not attempt.succeeded:
            whole.set_status(Status(StatusCode.ERROR, ", ".join(attempt.rules)))
        inside = trace.set_span_in_context(whole, parent)
        for phase, since, until in attempt.phase_timings:
            self._past(f"smtp {phase}", inside, since + ahead, until + ahead, {}, SpanKind.CLIENT)
        self._past("settle", inside, attempt.ended_at, now, {}, SpanKind.INTERNAL)
        whole.end(_ns(now))

    def _current(
        self, name: str, context: Context | None, kind: SpanKind, facts: Mapping[str, list[str]]
    ) -> AbstractContextManager[Span]:
        """Open a span without a record of exceptions, whose text can quote content."""
        return self._tracer.start_as_current_span(
            name, context, kind, facts, record_exception=False, set_status_on_exception=False
        )

    def _past(
        self, name: str, context: Context, since: float, until: float, facts: Mapping[str, str], kind: SpanKind
    ) -> None:
        self._tracer.start_span(name, context, kind, facts, start_time=_ns(since)).end(_ns(until))


def _facts(attempt: AttemptSpan) -> dict[str, str | int | list[str]]:
    code = {} if attempt.code is None else {"postern.reply.code": attempt.code}
    return {
        "postern.email.id": str(attempt.email),
        "postern.mailbox": attempt.mailbox,
        "postern.lane": attempt.lane,
        "postern.attempt.number": attempt.number,
        "postern.attempt.phase": str(attempt.phase),
        "postern.attempt.outcome": attempt.outcome,
        "postern.rules": list(attempt.rules),
        **code,
    }


def _parent(carrier: Mapping[str, str]) -> Context:
    """Return the context of the `traceparent`, or an empty one if it is absent or invalid."""
    return _w3c.extract(carrier, Context())


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _log_exporter_errors() -> None:
    """Write the errors of the exporter to Postern's log."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [_LogExporterErrors()]


class _LogExporterErrors(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            logs.traces_lost(reason=without_userinfo(record.getMessage()[:300]))
