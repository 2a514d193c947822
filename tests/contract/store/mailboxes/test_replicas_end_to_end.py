"""Two Posterns on one PostgreSQL, with all roles and with one role each, and the tenant quota of both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import Postern
from app.relay.coordinator import HeartbeatConfig
from app.simulator import Account, Simulator
from tests.harness import ACCOUNT, EMAIL, MAILBOX, PASSWORD, Harness, open_harness, settings_for
from tests.postgres import Server
from tests.waiting import WAIT_TIMEOUT, until

MAILBOXES = tuple(f"m{number}@contoso.com" for number in range(4))
QUICK = HeartbeatConfig(interval=0.1, lease=3600.0)  # no replica is evicted


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Simulator with all the mailboxes."""
    accounts = [Account(name, password=PASSWORD, send_as=("*@contoso.com",)) for name in MAILBOXES]
    async with Simulator(accounts=[ACCOUNT, *accounts]) as simulator:
        yield simulator


@pytest.fixture
def many(postgres_url: str, tmp_path: Path, simulator: Simulator) -> Callable[..., Any]:
    """`async with many(role=...)`: one more Postern with four mailboxes in one pool."""

    @asynccontextmanager
    async def one(heartbeat: HeartbeatConfig = QUICK, **changes: Any) -> AsyncIterator[Harness]:
        rows = [{"mailbox": name} for name in MAILBOXES]
        facts = {"mailbox": None, "senders": None, "database_url": postgres_url, **changes}
        settings = settings_for(
            simulator, tmp_path, pools=[{"name": "main", "senders": "*@contoso.com", "mailboxes": rows}], **facts
        )
        async with open_harness(simulator, settings, heartbeat=heartbeat) as harness:
            yield harness

    return one


async def owners(harness: Harness) -> dict[str, str]:
    """Return the owner of each mailbox as GET /mailboxes has it."""
    answer = await harness.caller.get("/mailboxes")
    return {one["name"]: one["owner"] for one in answer.json()["data"]}


async def test_replicas_share_the_mailboxes_and_the_last_one_gets_all(many: Callable[..., Any]) -> None:
    """Each has one owner at every moment, and mail goes through it from either replica."""
    async with many() as one:
        assert len(one.postern.coordinator.mailboxes) == 4
        async with many() as other:
            await until(lambda: len(other.postern.coordinator.mailboxes) == 2 == len(one.postern.coordinator.mailboxes))
            assert not one.postern.coordinator.mailboxes.keys() & other.postern.coordinator.mailboxes.keys()
            assert len({*(await owners(other)).values()}) == 2
            for harness in (one, other):
                for _ in range(8):
                    await harness.post()
            await until(lambda: len(one.simulator.messages) == 16)
        await until(lambda: len(one.postern.coordinator.mailboxes) == 4)
        assert len(one.simulator.messages) == 16
        assert one.simulator.violations == []


async def test_a_stop_releases_mailboxes_at_once(many: Callable[..., Any]) -> None:
    """The other does not wait for its heartbeat."""
    slow = HeartbeatConfig(interval=3600.0, lease=7200.0)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(many(heartbeat=slow))
        async with many(heartbeat=slow) as other:
            assert (len(first.postern.coordinator.mailboxes), len(other.postern.coordinator.mailboxes)) == (4, 0)
            await stack.aclose()
            await until(lambda: len(other.postern.coordinator.mailboxes) == 4)
            await other.until(await other.post(), "done")


async def test_one_role_accepts_and_the_other_relays(many: Callable[..., Any]) -> None:
    """The first has no mailbox, the second no API."""
    async with many(role="api") as accepting:
        id = await accepting.post()
        assert (await accepting.caller.get("/readyz")).json()["status"] == "degraded", "nobody relays yet"
        async with many(role="relay") as back:
            await accepting.until(id, "done")
            assert accepting.postern.coordinator.mailboxes == {}
            assert len(back.postern.coordinator.mailboxes) == 4
            assert (await back.caller.post("/emails", json=EMAIL)).status_code == 404
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await back.caller.get(path)).status_code == 200


async def test_the_daily_tenant_quota_is_shared(many: Callable[..., Any], simulator: Simulator) -> None:
    """By both replicas and over a restart."""
    limit = 12
    async with many(tenant_recipients_per_day=limit) as one, many(tenant_recipients_per_day=limit) as other:
        for harness in (one, other):
            for _ in range(10):
                await harness.post()
        await until(lambda: len(simulator.messages) == limit)
    async with many(tenant_recipients_per_day=limit + 2) as again:
        await until(lambda: len(simulator.messages) == limit + 2)
        urgent = await again.post(lane="urgent")
        assert (await again.email(urgent))["relay"]["state"] == "queued"
    assert len(simulator.messages) == limit + 2


async def test_a_start_waits_for_the_database(postgres_server: Server, postgres_url: str, tmp_path: Path) -> None:
    """Alive, not ready, 503 for submissions; then it continues without a restart."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, database_url=postgres_url, port=0)
        postern = Postern(settings)
        postgres_server.stop()
        try:
            starting = asyncio.create_task(postern.__aenter__())
            await until(lambda: hasattr(postern, "_server") and postern._server.port > 0)
            async with httpx.AsyncClient(base_url=postern.url, trust_env=False) as caller:
                assert (await caller.get("/healthz")).status_code == 200
                assert (await caller.get("/metrics")).status_code == 200
                unready = await caller.get("/readyz")
                assert (unready.status_code, unready.json()["reasons"][0]["check"]) == (503, "store")
                refused = await caller.post("/emails", json=EMAIL)
                assert refused.status_code == 503
                assert int(refused.headers["retry-after"]) > 0
        finally:
            postgres_server.start()
        await asyncio.wait_for(starting, WAIT_TIMEOUT)
        await postern.__aexit__(None, None, None)
        async with open_harness(simulator, settings) as harness:
            await harness.until(await harness.post(), "done")
            assert {*(await owners(harness))} == {MAILBOX}
