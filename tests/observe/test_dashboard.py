"""Every query of the dashboard returns data, from a real Prometheus that scrapes a Postern with faults."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.clock import Clock
from app.mail.lifecycle import MessageState
from app.mail.message.message import Lane
from app.simulator import Account, Drop, Fault, Point, Say, Simulator
from app.simulator.entra import TENANT
from app.simulator.trace import MessageTrace
from tests.architecture.test_observability import queries
from tests.entra import CLIENT, SECRET, app, certificate, key_pem, pem, running_entra
from tests.harness import Harness, open_harness, settings_for
from tests.observe.prometheus import Prometheus, running
from tests.states import count_states
from tests.waiting import until
from tests.webhooks.listen import listen
from tests.webhooks.receiver import Receiver, Reply

WINDOW = "20s"  # what Grafana would make of $__rate_interval here
DATA_TIMEOUT = 30.0  # seconds
SPEED = 6.0  # of the clock, so that the message trace is read every ten seconds
ROUNDS = 12  # each until the next scrape
WELL, ILL = "shop@contoso.com", "billing@fabrikam.com"


@asynccontextmanager
async def failing_postern(folder: Path) -> AsyncIterator[tuple[Harness, Receiver]]:
    """Postern with two mailboxes and the message trace: one logs in by a certificate, the other's app gets no token."""
    clock = Clock(SPEED)
    async with (
        Simulator(clock=clock) as simulator,
        running_entra(simulator, folder) as there,
        MessageTrace(simulator, there.entra) as trace,
        Receiver() as receiver,
    ):
        simulator.limits = replace(simulator.limits, messages_per_minute=100_000)
        simulator.accounts.add(Account(WELL, validate_token=there.entra.is_valid_token))
        uploaded = pem(certificate())
        there.entra.directory.add(app(certificates=(uploaded,)))
        (folder / "app.pem").write_text(uploaded + key_pem())
        common = {"tenant_id": TENANT, "client_id": CLIENT, "authority": there.entra.authority}
        well = {"mailbox": WELL, "client_certificate": folder / "app.pem", **common}
        ill = {"mailbox": ILL, "client_secret": SecretStr("not-the-secret"), **common}
        pools = [{"name": "shop", "mailboxes": [well]}, {"name": "billing", "mailboxes": [ill]}]
        changes: dict[str, Any] = {"mailbox": None, "password": None, "senders": None, "pools": pools}
        changes |= {"trace": True, "trace_tenant_id": TENANT, "trace_client_id": CLIENT, "graph_url": trace.url}
        changes |= {"trace_client_secret": SecretStr(SECRET), "authority": there.entra.authority}
        changes |= {"token_ca_file": there.ca_file, "messages_per_minute": 100_000, "metrics_port": 0}
        settings = settings_for(simulator, folder, webhook_private_addresses=True, **changes)
        async with open_harness(simulator, settings, clock) as harness:
            yield harness, receiver


async def cause_faults(harness: Harness, receiver: Receiver, prometheus: Prometheus) -> None:
    """Cause every kind of fault repeatedly, because queries use rates."""
    answers = iter([503, 503])
    receiver.answer = lambda _: Reply(next(answers, 200))
    await listen(harness, receiver.url, "email.sent", "email.failed")
    faults = harness.simulator.faults
    faults.add(Fault(at=Point.RCPT, do=Say("550 5.1.1 no such user"), recipient="no@example.net"))
    faults.add(Fault(at=Point.RCPT, do=Say("451 4.9.9 nobody has heard of it"), recipient="late@example.net"))
    faults.add(Fault(at=Point.ACCEPTED, do=Drop(), recipient="lost@example.net"))
    await harness.post(**{"from": ILL})
    for _ in range(ROUNDS):
        for lane in Lane:
            await harness.post(**{"from": WELL, "lane": lane})
        for to in ("no@example.net", "late@example.net", "lost@example.net"):
            await harness.post(**{"from": WELL, "to": to, "on_unknown": "hold"})
        await prometheus.scraped()

    async def held() -> int:
        return (await count_states(harness.postern.store))[MessageState.HELD]

    await until(held, DATA_TIMEOUT)


async def silent(prometheus: Prometheus, asked: list[str]) -> list[str]:
    """Return the queries without data."""
    without = []
    for query in asked:
        concrete = query.replace("$__rate_interval", WINDOW).replace("$job", ".+")
        samples = await prometheus.ask(concrete)
        if not any(not math.isnan(float(sample["value"][1])) for sample in samples):
            without.append(query)
    return without


async def test_every_query_of_the_dashboard_returns_data(tmp_path: Path) -> None:
    """Every rule can be evaluated; a mailbox whose token is refused makes its alerts pending."""
    async with failing_postern(tmp_path) as (harness, receiver):
        address = urlsplit(harness.postern.metrics_url).netloc
        async with running(tmp_path, address) as prometheus:
            await cause_faults(harness, receiver, prometheus)
            left, until = [*queries()], asyncio.get_running_loop().time() + DATA_TIMEOUT
            assert len(left) > 30
            while (left := await silent(prometheus, left)) and asyncio.get_running_loop().time() < until:
                await harness.post(**{"from": WELL})
                await prometheus.scraped()
            assert not left
            (target,) = await prometheus.targets()
            assert (target["health"], target["labels"]["job"]) == ("up", "postern")
            rules = await prometheus.rules()
            assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
            alerting = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["alerts"]}
            assert alerting >= {
                "PosternUnknownReply",
                "PosternPossibleDuplicates",
                "PosternMailboxHeld",
                "PosternEmailsHeld",
            }
