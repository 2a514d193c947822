"""What /metrics answers: what was counted so far, and what stands at this moment. Reads within a bound, judges nothing.

What stands in the store is the same from every replica: whoever adds up takes the greatest (`max`), not the sum. It is
read once for all who ask within a few seconds, and left out while the store does not answer.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app import logs, metrics
from app.cached_result import CachedResult
from app.clock import Clock
from app.mail import mailbox_health
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.message.message import Lane
from app.relay.coordinator import Connections
from app.relay.mailbox import LimitUsage
from app.store import Store, StoreUnavailableError
from app.store.read.records import Backlog

SNAPSHOT_TTL = 5.0  # seconds that what was read of the store is good for
STORE_TIMEOUT = 2.0  # seconds in which the store has to: a scrape is given up after ten

Loads = Mapping[str, tuple[Connections, LimitUsage]]


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """What the store has said, and when (epoch seconds)."""

    at: float
    backlog: Backlog
    conditions: Mapping[str, MailboxCondition | None]


class MetricsExporter:
    """The answer of one process. `loads` tells what its own mailboxes do; a process without a relay has none."""

    def __init__(
        self, store: Store, clock: Clock, mailboxes: Mapping[str, str], loads: Callable[[], Loads] = dict
    ) -> None:
        """`mailboxes`: the pool of each, by its name."""
        self._store = store
        self._clock = clock
        self._pools = [*dict.fromkeys(mailboxes.values())]
        self._mailboxes = mailboxes
        self._loads = loads
        self._snapshot = CachedResult(self._read, SNAPSHOT_TTL, clock.monotonic)

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        kept = await self._snapshot.get()
        moment = CollectorRegistry(auto_describe=False)
        moment.register(SnapshotCollector(kept, self._loads(), self._pools))
        return metrics.expose() + generate_latest(moment)

    def close(self) -> None:
        """End what is under way."""
        self._snapshot.close()

    async def _read(self) -> StoreSnapshot | None:
        now = self._clock.now()
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                backlog = await self._store.backlog(self._pools, now)
                found = {record.name: record.condition for record in await self._store.mailboxes()}
        except StoreUnavailableError as error:
            logs.store_failed("metrics", error)
            return None
        except TimeoutError:
            logs.store_failed("metrics", StoreUnavailableError(f"It did not answer in {STORE_TIMEOUT:g} s."))
            return None
        return StoreSnapshot(now, backlog, {name: found.get(name) for name in self._mailboxes})


class SnapshotCollector(Collector):
    """The gauges of one scrape."""

    def __init__(self, kept: StoreSnapshot | None, loads: Loads, pools: Sequence[str]) -> None:
        self._kept = kept
        self._loads = loads
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _one("postern_store_up", "1 when the store could be read, else 0.", float(self._kept is not None))
        if self._kept is not None:
            yield _oldest(self._kept, self._pools)
            yield _waiting(self._kept.backlog)
            yield from _events(self._kept)
            yield _health(self._kept)
        yield from _of_loads(self._loads)


def _one(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=value)


def _oldest(kept: StoreSnapshot, pools: Sequence[str]) -> GaugeMetricFamily:
    what = "For how long the oldest due message of a lane has been due and not begun; 0 when nothing is due."
    family = GaugeMetricFamily("postern_oldest_due_seconds", what, labels=["pool", "lane"])
    for pool in pools:
        for lane in Lane:
            family.add_metric([pool, lane], max(0.0, kept.at - kept.backlog.oldest.get((pool, lane), kept.at)))
    return family


def _waiting(backlog: Backlog) -> GaugeMetricFamily:
    what = "Emails that are not over, by state; 10000 means so many or more."
    family = GaugeMetricFamily("postern_emails_waiting", what, labels=["pool", "lane", "state"])
    for one, count in backlog.waiting.items():
        family.add_metric(list(one), count)
    return family


def _events(kept: StoreSnapshot) -> Iterator[GaugeMetricFamily]:
    yield _one(
        "postern_webhook_events_waiting",
        "Events that enabled webhooks are still to be told of; 10000 of one means so many or more.",
        kept.backlog.events,
    )
    since = kept.backlog.events_since
    yield _one(
        "postern_webhook_oldest_due_seconds",
        "For how long the oldest of them has been due; 0 when none is.",
        0.0 if since is None else max(0.0, kept.at - since),
    )


def _health(kept: StoreSnapshot) -> GaugeMetricFamily:
    what = "1 for the state in which the mailbox is, else 0; `unknown` before any relay took it over."
    family = GaugeMetricFamily("postern_mailbox_health", what, labels=["mailbox", "state"])
    for name, condition in kept.conditions.items():
        now = "unknown" if condition is None else mailbox_health.as_of(condition, kept.at, 0).health
        for state in (*Health, "unknown"):
            family.add_metric([name, state], float(state == now))
    return family


def _of_loads(loads: Loads) -> Iterator[GaugeMetricFamily]:
    connections = GaugeMetricFamily(
        "postern_connections", "Connections to the upstream, by state.", labels=["mailbox", "state"]
    )
    pace = GaugeMetricFamily(
        "postern_pace_used_ratio",
        "Share used of the messages that it may send in a minute.",
        labels=["mailbox"],
    )
    left = GaugeMetricFamily(
        "postern_recipients_left",
        "Recipients that it may still send to in these 24 hours.",
        labels=["mailbox"],
    )
    for name, (connected, spent) in loads.items():
        for state, count in connected._asdict().items():
            connections.add_metric([name, state], count)
        pace.add_metric([name], spent.pace)
        left.add_metric([name], spent.recipients_left)
    yield from (connections, pace, left)
