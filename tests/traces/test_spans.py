"""One trace from the caller's request over the commit to the claim, the phases of SMTP and the settlement."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from app import tracing
from app.simulator import Fault, Point, Say, Simulator
from app.tracing.otel import OtelSpanRecorder
from tests.harness import ACCOUNT, EMAIL, MAILBOX, Harness, open_harness, settings_for
from tests.waiting import until

Named = dict[str, ReadableSpan]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
OPENING = ["smtp connect", "smtp greeting", "smtp ehlo", "smtp starttls", "smtp auth"]
SENDING = ["smtp mail", "smtp rcpt", "smtp data", "smtp content", "smtp dot"]


@pytest.fixture
async def seen() -> AsyncIterator[InMemorySpanExporter]:
    """Recorder of all spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.set_recorder(OtelSpanRecorder(provider))
    yield exporter
    tracing.set_recorder(None)
    provider.shutdown()


@pytest.fixture
async def harness(seen: InMemorySpanExporter, tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a simulator."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        simulator.limits = replace(simulator.limits, messages_per_minute=100_000)
        async with open_harness(simulator, settings_for(simulator, tmp_path, messages_per_minute=100_000)) as harness:
            yield harness


async def sent(harness: Harness, seen: InMemorySpanExporter, state: str = "done", **changes: str) -> Named:
    """Return the spans of one email's trace by name, once its attempt is reported."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine"}
    answer = await harness.caller.post("/emails", json={**EMAIL, **changes}, headers=headers)
    await harness.until(answer.json()["id"], state)
    await until(lambda: any(span.name == "relay" for span in of_trace(seen)))
    spans = of_trace(seen)
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def of_trace(seen: InMemorySpanExporter) -> list[ReadableSpan]:
    """Return all spans of the caller's trace."""
    return [span for span in seen.get_finished_spans() if f"{context(span).trace_id:032x}" == TRACE]


def of_status(seen: InMemorySpanExporter, status: int) -> list[ReadableSpan]:
    """Return the spans of requests with this status."""
    return [
        span
        for span in seen.get_finished_spans()
        if dict(span.attributes or {}).get("http.response.status_code") == status
    ]


def context(span: ReadableSpan) -> SpanContext:
    """Return its context."""
    own: SpanContext | None = span.context
    assert own is not None
    return own


def parents(spans: Named) -> dict[str, str]:
    """Return the name of each span's parent."""
    names = {context(span).span_id: name for name, span in spans.items()}
    return {
        name: names.get(span.parent.span_id, f"{span.parent.span_id:016x}")
        for name, span in spans.items()
        if span.parent
    }


async def test_a_trace_continues_through_the_store(harness: Harness, seen: InMemorySpanExporter) -> None:
    """Every step once, with its parent, in order."""
    spans = await sent(harness, seen)
    assert parents(spans) == {
        "POST /emails": PARENT,
        "commit": "POST /emails",
        "claim": "POST /emails",
        "relay": "POST /emails",
        **dict.fromkeys([*OPENING, *SENDING, "settle"], "relay"),
    }
    whole = spans["relay"]
    assert whole.status.status_code is StatusCode.UNSET
    inside = [spans[name] for name in (*OPENING, *SENDING, "settle")]
    for before, after in pairwise(inside):
        assert (before.end_time or 0) <= (after.start_time or 0) + 50_000_000, (before.name, after.name)
    assert whole.start_time == inside[0].start_time
    assert whole.end_time == inside[-1].end_time


async def test_spans_have_no_mail_data(harness: Harness, seen: InMemorySpanExporter) -> None:
    """Ids, names and numbers; no recipient, subject or reply text."""
    harness.simulator.faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 <lovelace@example.net> is unknown")))
    spans = await sent(harness, seen, to="lovelace@example.net", subject="Nobody's business", text="Most secret")
    assert spans["relay"].status.status_code is StatusCode.ERROR
    whole = dict(spans["relay"].attributes or {})
    email = whole.pop("postern.email.id")
    assert whole == {
        "postern.mailbox": MAILBOX,
        "postern.lane": "normal",
        "postern.attempt.number": 1,
        "postern.attempt.phase": "rcpt",
        "postern.attempt.outcome": "finish",
        "postern.rules": ("unknown-recipient",),
        "postern.reply.code": 550,
    }
    request = dict(spans["POST /emails"].attributes or {})
    assert request["http.route"] == "/emails"
    assert request["http.response.status_code"] == 200
    assert request["postern.request_id"] == "mine"
    assert dict(spans["commit"].attributes or {}) == {"postern.email.id": (email,)}
    for span in seen.get_finished_spans():
        reported = span.to_json()
        assert not [word for word in ("lovelace", "business", "secret", "is unknown") if word in reported], reported


async def test_a_failed_attempt_is_an_error_named_by_its_rule(harness: Harness, seen: InMemorySpanExporter) -> None:
    """A refused request has a span, too, named by its route and not by its path."""
    harness.simulator.faults.add(Fault(at=Point.RCPT, do=Say("451 4.9.9 Not now")))
    spans = await sent(harness, seen, "deferred")
    assert spans["relay"].status.status_code is StatusCode.ERROR
    assert spans["relay"].status.description == "recipient-deferred"
    await harness.caller.get("/emails/not-an-id")
    refused = await until(lambda: of_status(seen, 422))  # a span ends when its response is sent
    assert [span.name for span in refused] == ["GET /emails/{id}"]
    assert refused[0].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("given", ["", "00-nonsense", f"00-{'0' * 32}-{PARENT}-01", "00-00-00-00"])
async def test_an_invalid_traceparent_begins_a_new_trace(
    harness: Harness, seen: InMemorySpanExporter, given: str
) -> None:
    answer = await harness.caller.post("/emails", json=EMAIL, headers=[("traceparent", given)])
    await harness.until(answer.json()["id"], "done")
    (span,) = [span for span in seen.get_finished_spans() if span.name == "POST /emails"]
    assert span.parent is None


async def test_a_trace_continues_after_a_restart(seen: InMemorySpanExporter, tmp_path: Path) -> None:
    """Its context is in the store."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path)
        async with open_harness(simulator, settings) as before:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            answer = await before.caller.post(
                "/emails", json={**EMAIL, "scheduled_at": "in 2 seconds"}, headers=headers
            )
        assert [span.name for span in of_trace(seen)] == ["commit", "POST /emails"]
        async with open_harness(simulator, settings) as after:
            await after.until(answer.json()["id"], "done")
    assert "relay" in [span.name for span in of_trace(seen)]
