"""What Postern reads in Microsoft Graph: each missing step of the set-up has its own finding and fix.

The token is of the simulated Entra ID, the request goes to the simulated message trace and mail folders.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from app.cli import application
from app.clock import Clock
from app.doctor.finding import Finding, StepOutcome
from app.doctor.graph_access import GraphTarget, examine_graph
from app.main.graph_clients import graph_targets
from app.settings import Settings
from app.simulator import Account, Simulator
from app.simulator.entra import TENANT, Entra
from app.simulator.trace import MessageTrace
from app.store import Store
from app.store.message_trace.records import HoldRequest, Progress
from tests.contract.doctor.fixtures import CLIENT, MAILBOX, PASSWORD, report_text, zone
from tests.contract.doctor.name_server import NameServer
from tests.entra import SECRET, running_entra
from tests.harness import settings_for

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """Simulated tenant, and the targets of the doctor in it."""

    simulator: Simulator
    entra: Entra
    trace: MessageTrace
    folder: Path

    def trace_target(self, read_until: float | None = None) -> GraphTarget:
        """Return the message trace, as the settings make it."""
        [target] = graph_targets(
            self._settings(trace=True), Clock(), {} if read_until is None else {TENANT: read_until}
        )
        return target

    def reports_target(self) -> GraphTarget:
        """Return the mailbox, as the settings make it."""
        [target] = graph_targets(self._settings(ndr=True), Clock(), {})
        return target

    def _settings(self, **changes: bool) -> Settings:
        return settings_for(
            self.simulator,
            self.folder,
            mailbox=MAILBOX,
            trace_tenant_id=TENANT,
            trace_client_id=CLIENT,
            trace_client_secret=SecretStr(SECRET),
            graph_url=self.trace.url,
            authority=self.entra.authority,
            token_ca_file=self.folder / "ca.pem",
            **changes,
        )


@asynccontextmanager
async def running_tenant(folder: Path) -> AsyncIterator[Tenant]:
    """Start the tenant."""
    async with (
        Simulator([Account(MAILBOX, password=PASSWORD)]) as simulator,
        running_entra(simulator, folder) as entra,
        MessageTrace(simulator, entra.entra) as trace,
    ):
        yield Tenant(simulator, entra.entra, trace, folder)


@pytest.fixture
async def tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    """Start the tenant."""
    async with running_tenant(tmp_path) as started:
        yield started


async def examined(target: GraphTarget) -> Finding:
    """Return the finding; it was reported too, and has no secret."""
    reported: list[Finding] = []
    [finding] = await examine_graph([target], reported.append)
    assert reported == [finding]
    assert (finding.about, finding.step) == (target.about, target.step)
    assert SECRET not in report_text([finding])
    return finding


async def test_a_complete_set_up(tenant: Tenant) -> None:
    """One request for each; the trace has no fix."""
    assert (await examined(tenant.trace_target())).outcome is StepOutcome.OK
    assert (await examined(tenant.reports_target())).outcome is StepOutcome.OK
    assert [one.call for one in tenant.trace.requests] == ["list"]
    assert [one.method for one in tenant.trace.mailboxes.requests] == ["GET"]


@pytest.mark.parametrize("code", ["AADSTS7000222", "AADSTS700016"])
async def test_a_token_is_the_first_step(tenant: Tenant, code: str) -> None:
    """Entra's error is explained; nothing is requested from Graph, and no mailbox is to be released."""
    tenant.entra.refuse(code, times=None)
    for target in (tenant.trace_target(), tenant.reports_target()):
        finding = await examined(target)
        assert finding.outcome is StepOutcome.FAILED
        assert code in finding.summary
        assert finding.fix
        assert "mailboxes release" not in finding.fix
    assert tenant.trace.requests == []


@pytest.mark.parametrize("permissions", [(), ("User.Read.All",)])
async def test_a_permission_without_consent_is_missing(tenant: Tenant, permissions: tuple[str, ...]) -> None:
    """The token does not have it, so no request is sent."""
    tenant.entra.permissions[tenant.trace.url] = permissions
    finding = await examined(tenant.trace_target())
    assert finding.outcome is StepOutcome.FAILED
    assert "has no permission ExchangeMessageTrace.Read.All" in finding.summary
    assert "an administrator has not consented" in finding.summary
    assert "./Register-PosternApp.ps1 -MessageTrace" in finding.fix
    assert finding.facts["permissions"] == (", ".join(permissions) or "none")
    assert tenant.trace.requests == []


async def test_the_service_principal_of_microsoft_is_missing(tenant: Tenant) -> None:
    """Graph answers 401; the script creates it, and then it takes hours."""
    tenant.trace.service_principal = False
    finding = await examined(tenant.trace_target())
    assert finding.outcome is StepOutcome.FAILED
    assert "no service principal" in finding.summary
    assert "`New-MgServicePrincipal -AppId 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373`" in finding.fix
    assert "some hours" in finding.fix


async def test_a_permission_that_is_not_applied_yet(tenant: Tenant) -> None:
    """The token has it, and Graph answers 403."""
    tenant.trace.permitted = False
    finding = await examined(tenant.trace_target())
    assert finding.outcome is StepOutcome.FAILED
    assert "although the token has the permission" in finding.summary
    assert "Grant admin consent" in finding.fix


async def test_a_cloud_without_the_message_trace(tenant: Tenant) -> None:
    """Graph answers 404."""
    tenant.trace.fail(404)
    finding = await examined(tenant.trace_target())
    assert finding.outcome is StepOutcome.FAILED
    assert "only the worldwide cloud" in finding.summary
    assert "POSTERN_TRACE to false" in finding.fix


@pytest.mark.parametrize(
    ("status", "text"), [(429, "100 requests in 5 minutes"), (503, "answered 503"), (0, "gave no")]
)
async def test_a_fault_that_passes_is_a_warning(tenant: Tenant, status: int, text: str) -> None:
    """There is nothing to do at first. 0: nothing listens there."""
    target = tenant.trace_target()
    if status:
        tenant.trace.fail(status, retry_after=30 if status == 429 else None)
    else:
        await tenant.trace.stop()
    finding = await examined(target)
    assert finding.outcome is StepOutcome.WARN
    assert text in finding.summary
    assert finding.fix.startswith("Nothing to do: ")


async def test_a_reader_that_is_behind(tenant: Tenant) -> None:
    """An hour is normal; later it says until when it has read, and what to check."""
    recent = await examined(tenant.trace_target(time.time() - HOUR / 2))
    assert recent.outcome is StepOutcome.OK
    assert "read until" in recent.facts
    late = await examined(tenant.trace_target(time.time() - 3 * HOUR))
    assert late.outcome is StepOutcome.WARN
    assert late.facts["read until"] in late.summary
    assert "role all or relay" in late.fix


async def test_a_mailbox_that_the_app_may_not_read(tenant: Tenant) -> None:
    """The role has the scope of Postern's mailboxes, as the script grants it."""
    tenant.trace.mailboxes.readable = set()
    finding = await examined(tenant.reports_target())
    assert finding.outcome is StepOutcome.FAILED
    assert "may not read this mailbox (403)" in finding.summary
    assert f"-ClientId {CLIENT} -ObjectId <object-id> -Mailbox {MAILBOX} -MailRead`" in finding.fix


async def test_a_mailbox_that_does_not_exist(tenant: Tenant) -> None:
    """Graph answers 404."""
    tenant.trace.mailboxes.fail(404)
    assert "no such mailbox" in (await examined(tenant.reports_target())).summary


async def test_a_right_to_read_every_mailbox_is_too_much(tenant: Tenant) -> None:
    """Mail.Read in Entra has no scope: a warning, although reading works."""
    tenant.entra.permissions[tenant.trace.url] = ("Mail.Read",)
    finding = await examined(tenant.reports_target())
    assert finding.outcome is StepOutcome.WARN
    assert "every mailbox of the organization" in finding.summary
    assert "remove Mail.Read" in finding.fix


async def test_a_token_that_cannot_be_read_is_tried(tenant: Tenant) -> None:
    """Graph alone decides about it."""

    async def opaque() -> str:
        return "opaque"

    assert (await examined(replace(tenant.trace_target(), token=opaque))).outcome is StepOutcome.OK


async def test_the_command_checks_the_trace_last(tenant: Tenant) -> None:
    """With the progress of the reader, if there is a database; not if one mailbox is checked."""
    (tenant.folder / "postern.toml").write_text(document(tenant))
    of_mailbox = (await command(tenant, "--mailbox", MAILBOX))[-2:]
    assert [(one["step"], one["outcome"], one["about"]) for one in of_mailbox][1:] == [("reports", "ok", MAILBOX)]
    assert of_mailbox[0]["step"] == "ptr"
    alone, reports = (await command(tenant))[-2:]
    assert (reports["step"], reports["outcome"]) == ("reports", "ok")
    assert (alone["step"], alone["outcome"], alone["about"], alone["facts"]) == ("trace", "ok", TENANT, {})
    assert not (tenant.folder / "postern.db").exists()
    await read_until(tenant, time.time() - 3 * HOUR)
    late = (await command(tenant))[-2]
    assert (late["step"], late["outcome"]) == ("trace", "warn")
    assert len(late["steps"]) == 2


def document(tenant: Tenant) -> str:
    """Return settings with a mailbox and an app for the trace."""
    return f"""
data_dir = "{tenant.folder}"
smtp_host = "localhost"
smtp_port = {tenant.simulator.port}
smtp_ca_file = "{tenant.folder}/ca.pem"
token_ca_file = "{tenant.folder}/ca.pem"
ipv4_only = true
authority = "{tenant.entra.authority}"
graph_url = "{tenant.trace.url}"
trace = true
ndr = true
trace_tenant_id = "{TENANT}"
trace_client_id = "{CLIENT}"
trace_client_secret = "{SECRET}"

[[pools]]
name = "shop"
[[pools.mailboxes]]
mailbox = "{MAILBOX}"
password = "{PASSWORD}"
"""


async def command(tenant: Tenant, *arguments: str) -> list[dict[str, Any]]:
    """Return the findings of `postern check --json`."""
    async with NameServer(zone()) as names:
        host, port = names.address
        line = ["check", "--json", "--name-server", f"{host}:{port}", *arguments]
        environment = {"POSTERN_CONFIG": str(tenant.folder / "postern.toml")}
        result = await asyncio.to_thread(CliRunner().invoke, application, line, env=environment)
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


async def read_until(tenant: Tenant, at: float) -> None:
    """Store that a reader has read everything until this time."""
    store = await Store.open(f"sqlite:///{tenant.folder}/postern.db")
    position = await store.traces.hold(HoldRequest(TENANT, uuid4(), 60.0))
    assert position is not None
    assert await store.traces.advance(Progress(position.reader, watermark=at))
    await store.close()
