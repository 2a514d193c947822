"""Secrets stay inside (design guarantee 6): a run with marked credentials through every fault, and then a search.

Searched are the log with its tracebacks, the metrics, the spans, every answer of the API and every page of the console.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from app import logs, tracing
from app.clock import Clock
from app.settings import Settings
from app.simulator import Account, Drop, Fault, Point, Say, Simulator
from app.simulator.entra import TENANT
from app.tracing.otel import OtelSpanRecorder
from tests.contract.console.operator import visitor
from tests.entra import CLIENT, RunningEntra, app, running_entra
from tests.harness import EMAIL, Harness, open_harness, settings_for
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver, Reply

SHOP, BILLING = "shop@contoso.com", "billing@fabrikam.com"
_SHOWN = {"keys": "key", "webhooks": "signing_secret"}  # members that by contract show what was made


class FailingClock(Clock):
    """Clock that raises on command, as a bug in any of its callers."""

    broken: bool = False

    def now(self) -> float:
        """Return epoch seconds, or raise."""
        if FailingClock.broken:
            raise RuntimeError("a bug of ours")
        return super().now()


def marked() -> str:
    """Return a unique secret."""
    return f"marked-{secrets.token_urlsafe(24)}"


@dataclass
class Marks:
    """Secrets that must not be found, and everything that was read."""

    password: str = field(default_factory=marked)
    client_secret: str = field(default_factory=marked)
    api_key: str = field(default_factory=marked)
    console: str = field(default_factory=marked)
    more: list[str] = field(default_factory=list)  # made on the way: tokens, keys, the secrets of webhooks
    seen: list[tuple[str, str]] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Return all secrets."""
        return [self.password, self.client_secret, self.api_key, self.console, *self.more]

    async def note(self, answer: httpx.Response) -> None:
        """Record a response, without what it returns by contract."""
        await answer.aread()
        text, shown = answer.text, _SHOWN.get(answer.request.url.path.split("/")[1], "")
        with suppress(ValueError):
            text = json.dumps(self._without(json.loads(text), shown))
        self.seen.append((f"{answer.request.method} {answer.request.url.path}", f"{answer.headers!r} {text}"))

    def _without(self, value: Any, shown: str) -> Any:
        if isinstance(value, list):
            return [self._without(one, shown) for one in value]
        if not isinstance(value, dict):
            return value
        if shown in value:
            self.more.append(str(value[shown]))
        return {name: self._without(one, shown) for name, one in value.items() if name != shown}


def forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, quoted, in hex, and in base64 at every alignment."""
    yield from (secret, quote(secret, safe=""), secret.encode().hex(), json.dumps(secret)[1:-1])
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret.encode()).decode()
        yield whole[4 if before else 0 : len(whole) - 4]


def faulty_settings(marks: Marks, simulator: Simulator, there: RunningEntra, folder: Path) -> Settings:
    """Return settings with marked secrets: a mailbox with a password, one with a client secret, a key, a console."""
    simulator.accounts.add(Account(SHOP, password=marks.password))
    there.entra.directory.add(app(secrets=(marks.client_secret,)))

    def validate_token(token: str) -> bool:
        marks.more.append(token)
        return there.entra.is_valid_token(token)

    simulator.accounts.add(Account(BILLING, validate_token=validate_token))
    login = {"tenant_id": TENANT, "client_id": CLIENT, "client_secret": SecretStr(marks.client_secret)}
    pools = [
        {"name": "shop", "mailboxes": [{"mailbox": SHOP, "password": SecretStr(marks.password)}]},
        {"name": "billing", "mailboxes": [{"mailbox": BILLING, "authority": there.entra.authority, **login}]},
    ]
    keys = {"api_key": SecretStr(marks.api_key), "console_password": SecretStr(marks.console)}
    changes: dict[str, Any] = {"mailbox": None, "password": None, "senders": None, "pools": pools, **keys}
    changes |= {"token_ca_file": there.ca_file, "webhook_private_addresses": True}
    return settings_for(simulator, folder, **changes)


async def cause_every_fault(harness: Harness, marks: Marks, there: RunningEntra) -> None:
    """Cause every fault near a credential, and read the responses about it."""
    caller, faults = harness.caller, harness.simulator.faults
    encoded = base64.b64encode(marks.password.encode()).decode()
    faults.add(Fault(at=Point.AUTH, do=Say(f"535 5.7.3 no: {marks.password} {encoded} {encoded[:20]}"), times=1))
    there.entra.refuse("AADSTS7000222", times=1)
    async with Receiver(lambda got: Reply(500, body=f"{got.headers} {got.body!r}")) as receiver:
        await listen(harness, receiver.url)
        await listen(harness, "http://127.0.0.1:9/gone")
        for sender in (SHOP, BILLING):
            id = await harness.post(**{"from": sender, "subject": f"from {sender}"})
            await harness.until(id, "queued")
        await harness.until_health("held")
        for path in ("readyz?deep=1", "readyz", "mailboxes", f"emails/{id}", "emails", "webhooks", "keys", "audit"):
            await caller.get(f"/{path}")
        faults.add(Fault(at=Point.TLS, do=Drop(), times=1))
        await caller.post(f"/mailboxes/{SHOP}/release")
        await receiver.until(lambda: bool(receiver.got))
        made = (await caller.post("/keys", json={"name": "a second one"})).json()
        await caller.post(f"/keys/{made['id']}/rotate")
        bearers = (marks.api_key[:-1], f"{marks.api_key}x", marks.console, made["key"], "whsec_" + marks.password)
        for bearer in bearers:
            await caller.post("/emails", content=b"{", headers={"Authorization": f"Bearer {bearer}"})
            await caller.get("/mailboxes", headers={"Authorization": f"Bearer {bearer}"})
        FailingClock.broken = True
        crashed = await caller.post("/emails", json=EMAIL)
        FailingClock.broken = False
        assert crashed.status_code == 500
        await harness.until(await harness.post(**{"from": BILLING}), "done", "queued")


async def walk(harness: Harness, marks: Marks) -> None:
    """Read every page of the console, logged in and not."""
    async with visitor(harness) as operator:
        operator.client.event_hooks["response"].append(marks.note)
        await operator.log_in(f"{marks.console}x", status=403)
        await operator.log_in(marks.console)
        for path in ("", "/emails", f"/mailboxes/{SHOP}", f"/mailboxes/{BILLING}", "/webhooks", "/audit"):
            await operator.open(path)


async def test_no_secret_is_found_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain, quoted, in hex or base64; except in the response that returns a new one by contract."""
    marks, spans, provider = Marks(), InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing.set_recorder(OtelSpanRecorder(provider))
    try:
        for human in (False, True):
            logs.configure(human=human, level="debug")
            async with Simulator() as simulator, running_entra(simulator, tmp_path) as there:
                settings = faulty_settings(marks, simulator, there, tmp_path)
                marks.seen.append(("the settings", f"{settings!r} {settings}"))
                async with open_harness(simulator, settings, FailingClock()) as harness:
                    harness.caller.headers["Authorization"] = f"Bearer {marks.api_key}"
                    harness.caller.event_hooks["response"].append(marks.note)
                    await cause_every_fault(harness, marks, there)
                    await walk(harness, marks)
                    await harness.caller.get("/metrics")
    finally:
        logs.configure(human=True)
        tracing.set_recorder(None)
    log = capsys.readouterr().err
    marks.seen += [("the log", log), *((span.name, span.to_json()) for span in spans.get_finished_spans())]
    for event in ("crashed", "mailbox.held", "token.failed", "webhook.posted", "request.refused", "email.attempted"):
        assert event in log
    assert len(marks.more) >= 6
    assert len(marks.seen) > 60
    found = {
        (where, secret[:8])
        for where, text in marks.seen
        for secret in marks.all
        for form in forms(secret)
        if form in text
    }
    assert not found
