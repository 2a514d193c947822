"""Frozen replicas, wrong clocks of hosts, and a database server that restarts or cuts its connections."""

import asyncio
import random
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from app.simulator import Call, ExchangeLimits, Fault, FaultContext, Point
from tests import postgres
from tests.crash.conftest import Figure
from tests.crash.verification import Received
from tests.replicas.cluster import Cluster
from tests.replicas.conftest import Scale
from tests.replicas.load import Callers, all_ended, verify_all
from tests.replicas.postgres_proxy import PostgresProxy
from tests.waiting import WAIT_TIMEOUT, until

FREE = ExchangeLimits(messages_per_minute=1_000_000, recipients_per_day=1_000_000_000)
FAST = 60.0  # times real time, so that what is in doubt need not be waited for
_MARKED = "SELECT message_id FROM in_flight WHERE outcome IS NULL"
_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def until_grown(count: Callable[[], int], by: int) -> None:
    """Wait until a count has grown by so much."""
    target = count() + by
    await until(lambda: count() >= target)


async def arrived(row: Cluster, count: int) -> None:
    """Wait until the upstream has accepted this many."""
    await until(lambda: len(row.simulator.messages) >= count)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", [Point.DATA, Point.ACCEPTED])
async def test_a_resumed_former_owner_sends_nothing(cluster: Callable[..., Any], figure: Figure, point: Point) -> None:
    """It still assumes ownership, but claims nothing and sends no unmarked dot.

    In doubt is what had its mark and no settlement when it was frozen, and nothing else. Of its one session that is
    one message: no mark is on the disk before the settlement of what went before it.
    """
    row = await cluster(speed=FAST, limits=FREE, POSTERN_CONNECTIONS="1", POSTERN_MESSAGES_PER_MINUTE="1000000")
    await row.up(0)
    await row.owned_by(0, 1)
    await row.up(1)
    frozen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def freeze(moment: FaultContext) -> None:
        row.signal(0, signal.SIGSTOP)
        frozen.set_result(moment.recipients[0])

    row.simulator.faults.add(Fault(at=point, do=Call(freeze), nth=5, name="freeze"))
    callers = Callers(row, 100, random.Random(5), at=[1])
    await callers.post()
    on_its_way = await asyncio.wait_for(frozen, WAIT_TIMEOUT)
    marked = {id for (id,) in await row.ask(_MARKED)}
    assert len(marked) <= 1
    await row.owned_by(1, 1)
    await arrived(row, 50)
    row.signal(0, signal.SIGCONT)
    await until(lambda: row.process_control.logged("mailbox.lost"))
    await all_ended(row, within=WAIT_TIMEOUT)
    account = await verify_all(row, callers.accepted)
    figure(f"frozen at {point}: marked and not settled / taken twice", f"{len(marked)} / {account.twice}")
    assert account.relayed == 100
    assert {id for (id,) in await row.ask("SELECT id FROM messages WHERE possible_duplicate")} == marked
    copies = len(Received(row.simulator.messages).copies(on_its_way))
    assert copies == (1 if point is Point.DATA else 2)
    assert row.process_control.logged("crashed") == 0, row.process_control.tail()


@pytest.mark.timeout(300)
async def test_locks_of_a_frozen_replica_end(cluster: Callable[..., Any], figure: Figure) -> None:
    """A replica that is frozen inside a pipeline, with rows locked, loses its mailbox to another one.

    `idle_in_transaction_session_timeout` does not run there: it starts only after a Sync.
    """
    row = await cluster(speed=FAST, limits=FREE, POSTERN_CONNECTIONS="1", POSTERN_MESSAGES_PER_MINUTE="1000000")
    frozen = asyncio.Event()

    def freeze() -> None:
        row.signal(0, signal.SIGSTOP)
        frozen.set()

    database = make_url(row.url)
    assert database.port
    async with PostgresProxy(database.port) as proxy:
        row.urls[0] = database.set(port=proxy.port).render_as_string(hide_password=False)
        await row.up(0)
        await row.owned_by(0, 1)
        await row.up(1)
        callers = Callers(row, 100, random.Random(12), at=[1])
        posting = asyncio.create_task(callers.post())
        await arrived(row, 5)
        proxy.on_flush = freeze
        await asyncio.wait_for(frozen.wait(), WAIT_TIMEOUT)
        await row.owned_by(1, 1)
        await posting
        await arrived(row, 100)
        row.signal(0, signal.SIGCONT)
        await until(lambda: row.process_control.logged("mailbox.lost"))
        await all_ended(row, within=WAIT_TIMEOUT)
        account = await verify_all(row, callers.accepted)
    figure("frozen in a pipeline: flagged / taken twice", f"{account.flagged} / {account.twice}")
    assert account.relayed == 100
    assert account.flagged <= 1
    assert row.process_control.logged("crashed") == 0, row.process_control.tail()


@pytest.mark.timeout(300)
async def test_wrong_clocks_of_hosts_do_not_affect_ownership(cluster: Callable[..., Any], figure: Figure) -> None:
    """Five minutes apart, more than any lease: live replicas still own their mailboxes, and a dead one loses them."""
    row = await cluster(mailboxes=4, skew=(-150.0, 150.0), limits=FREE, POSTERN_MESSAGES_PER_MINUTE="1000000")
    await row.up(0, 1)
    await row.owned_by(0, 2)
    await row.owned_by(1, 2)
    callers = Callers(row, 200, random.Random(6))
    await callers.post()
    await arrived(row, 200)
    await all_ended(row, within=WAIT_TIMEOUT)  # else the kill finds one that is not settled, and that is in doubt
    assert (row.process_control.logged("mailbox.lost"), row.process_control.logged("email.reclaimed")) == (0, 0)
    await row.kill(1)
    await row.owned_by(0, 4)
    account = await verify_all(row, callers.accepted)
    figure(
        "clocks 300 s apart: relayed / flagged / taken twice",
        f"{account.relayed} / {account.flagged} / {account.twice}",
    )
    assert (account.relayed, account.twice) == (200, 0)


@pytest.mark.timeout(300)
async def test_a_rate_window_survives_a_takeover_by_a_fast_clock(cluster: Callable[..., Any], figure: Figure) -> None:
    """By ten minutes: messages of this minute by the other clock still count."""
    row = await cluster(speed=9.0, skew=(37.5, -37.5))  # at nine times real time, 300 s behind and 300 s ahead
    await row.up(0)
    await row.owned_by(0, 1)
    await row.up(1)
    callers = Callers(row, 60, random.Random(9), at=[0])
    await callers.post()
    await arrived(row, 25)
    row.signal(0, signal.SIGTERM)
    await row.owned_by(1, 1)
    await all_ended(row, within=WAIT_TIMEOUT)
    account = await verify_all(row, callers.accepted)
    figure("a clock 600 s ahead: relayed / over a limit", f"{account.relayed} / {len(row.simulator.violations)}")
    assert row.simulator.violations == []
    assert row.process_control.logged("clock.set_ahead") == 1
    assert (account.relayed, account.twice) == (60, 0)


@pytest.mark.timeout(900)
async def test_a_restart_of_the_database_server_loses_nothing(
    cluster: Callable[..., Any], server: postgres.Server, scale: Scale, figure: Figure
) -> None:
    """Every 200 is stored, others get 503, and every duplicate is flagged."""
    row = await cluster(mailboxes=2, speed=FAST, limits=FREE, POSTERN_MESSAGES_PER_MINUTE="1000000")
    await row.up(0, 1)
    callers = Callers(row, 1_000_000, random.Random(7), ahead=1_000_000)  # they continue while nothing is relayed
    posting = asyncio.create_task(callers.post())
    for _ in range(scale.restarts):
        await until_grown(lambda: len(callers.accepted), by=100)
        await asyncio.to_thread(server.stop)
        await until_grown(lambda: callers.answers[503], by=4)
        await asyncio.to_thread(server.start)
    callers.emails = 0
    await posting
    await all_ended(row, within=120.0)
    account = await verify_all(row, callers.accepted)
    figure(
        "restarts: 200s of 20 emails / 503s / cut", f"{callers.answers[200]} / {callers.answers[503]} / {callers.cut}"
    )
    figure("relayed + failed + held, lost", f"{account.relayed} + {account.failed} + {account.held}, 0")
    figure("flagged / taken twice", f"{account.flagged} / {account.twice}")
    assert callers.cut == 0, "no connection was refused"
    assert row.process_control.logged("crashed") == 0, row.process_control.tail()


@pytest.mark.timeout(300)
async def test_repeatedly_cut_connections_lose_nothing(
    cluster: Callable[..., Any], scale: Scale, figure: Figure
) -> None:
    """As in a failover, in any transaction."""
    row = await cluster(mailboxes=2, speed=FAST, limits=FREE, POSTERN_MESSAGES_PER_MINUTE="1000000")
    await row.up(0, 1)
    callers = Callers(row, 1_000_000, random.Random(8))
    posting = asyncio.create_task(callers.post())
    until, cut = asyncio.get_running_loop().time() + scale.storm, 0
    async with await psycopg.AsyncConnection.connect(row.url, autocommit=True) as connection:
        while asyncio.get_running_loop().time() < until:
            cut += (await connection.execute(_CUT.encode())).rowcount
            await until_grown(lambda: len(callers.accepted), by=random.Random(cut).randrange(1, 200))
    callers.emails = 0
    await posting
    await all_ended(row, within=120.0)
    account = await verify_all(row, callers.accepted)
    figure("connections cut / 200s of 20 emails / 503s", f"{cut} / {callers.answers[200]} / {callers.answers[503]}")
    figure("relayed + failed + held, lost", f"{account.relayed} + {account.failed} + {account.held}, 0")
    figure("flagged / taken twice", f"{account.flagged} / {account.twice}")
    assert callers.cut == 0
    assert row.process_control.logged("crashed") == 0, row.process_control.tail()
