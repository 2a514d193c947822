"""Export of traces: `postern serve` with OpenTelemetry's variables and a real receiver of OTLP over HTTP."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.settings import SettingsError
from app.settings.tracing import traces_wanted
from app.simulator import Simulator
from tests.harness import ACCOUNT, EMAIL, KEY
from tests.processes import serve_environment
from tests.webhooks.receiver import Receiver


async def test_spans_arrive_at_a_collector(tmp_path: Path) -> None:
    """With the standard variables alone; pending spans are sent before the process ends."""
    async with Simulator(accounts=[ACCOUNT]) as simulator, Receiver() as collector:
        environment = serve_environment(
            simulator,
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
            OTEL_SERVICE_NAME="mail-gate",
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "serve", env=environment, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        facts: dict[str, str] = {}
        while facts.get("event") != "started":
            facts = json.loads(await process.stderr.readline())
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as caller:
            answer = await caller.post(f"{facts['url']}/emails", json=EMAIL)
            assert answer.status_code == 200
            while facts.get("event") != "email.attempted":
                facts = json.loads(await process.stderr.readline())
        process.terminate()
        assert await process.wait() == 0
    assert {got.path for got in collector.got} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(got.body) for got in collector.got]
    reported = [whole for request in requests for whole in request.resource_spans]
    resource = {one.key: one.value.string_value for one in reported[0].resource.attributes}
    assert resource["service.name"] == "mail-gate"
    spans = [span for whole in reported for scope in whole.scope_spans for span in scope.spans]
    ours = {span.name for span in spans if span.trace_id == next(one for one in spans if one.name == "relay").trace_id}
    assert ours >= {"POST /emails", "commit", "claim", "relay", "smtp dot", "settle"}


def test_without_tracing_its_packages_are_not_imported() -> None:
    code = (
        "import sys, app.cli.serve, app.main; "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "postern"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_enable_tracing(environment: dict[str, str], wanted: bool) -> None:
    """And no others."""
    assert traces_wanted(environment) is wanted


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER: 'zipkin' is not supported. Give otlp, or none.",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not supported. Give http/protobuf.",
        ),
    ],
)
def test_a_wrong_variable_is_one_line(environment: dict[str, str], line: str) -> None:
    """It has the variable, the fault and the fix."""
    with pytest.raises(SettingsError) as raised:
        traces_wanted(environment)
    assert str(raised.value) == line
