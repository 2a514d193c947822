"""Exporter for /metrics: the counters of app/metrics.py, and gauges of the current state.

Gauges from the database have the same value in every replica: aggregate them with `max`, not `sum`. They are read at
most once per SNAPSHOT_TTL, and left out while the database does not answer.
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

SNAPSHOT_TTL = 5.0  # seconds that a snapshot is reused
STORE_TIMEOUT = 2.0  # seconds; Prometheus ends a scrape after ten

Loads = Mapping[str, tuple[Connections, LimitUsage]]


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """Backlog and mailbox conditions in the database at `at` (epoch seconds)."""

    at: float
    backlog: Backlog
    conditions: Mapping[str, MailboxCondition | None]


class MetricsExporter:
    """Metrics of one process. `loads` returns the load of each mailbox that it owns; none without a relay."""

    def __init__(
        self, store: Store, clock: Clock, mailboxes: Mapping[str, str], loads: Callable[[], Loads] = dict
    ) -> None:
        """`mailboxes` maps the name of each mailbox to its pool."""
        self._store = store
        self._clock = clock
        self._pools = [*dict.fromkeys(mailboxes.values())]
        self._mailboxes = mailboxes
        self._loads = loads
        self._snapshot = CachedResult(self._read, SNAPSHOT_TTL, clock.monotonic)

    async def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        gauges = CollectorRegistry(auto_describe=False)
        gauges.register(GaugeCollector(await self._snapshot.get(), self._loads(), self._pools))
        return metrics.expose() + generate_latest(gauges)

    def close(self) -> None:
        """Cancel a query under way."""
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


class GaugeCollector(Collector):
    """Gauges of one scrape. `snapshot` is None if the database did not answer."""

    def __init__(self, snapshot: StoreSnapshot | None, loads: Loads, pools: Sequence[str]) -> None:
        self._snapshot = snapshot
        self._loads = loads
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        is_up = float(self._snapshot is not None)
        yield GaugeMetricFamily("postern_store_up", "1 if the database could be read, else 0.", value=is_up)
        if self._snapshot is not None:
            yield _oldest_due(self._snapshot, self._pools)
            yield _waiting(self._snapshot.backlog)
            yield from _webhook_events(self._snapshot)
            yield _suppressions(self._snapshot.backlog)
            yield _health(self._snapshot)
        yield from _load(self._loads)


def _oldest_due(snapshot: StoreSnapshot, pools: Sequence[str]) -> GaugeMetricFamily:
    text = "Time since the oldest due email without an attempt became due, by lane; 0 if none is due."
    family = GaugeMetricFamily("postern_oldest_due_seconds", text, labels=["pool", "lane"])
    for pool in pools:
        for lane in Lane:
            since = snapshot.backlog.oldest.get((pool, lane), snapshot.at)
            family.add_metric([pool, lane], max(0.0, snapshot.at - since))
    return family


def _waiting(backlog: Backlog) -> GaugeMetricFamily:
    text = "Unfinished emails by state; 10000 means 10000 or more."
    family = GaugeMetricFamily("postern_emails_waiting", text, labels=["pool", "lane", "state"])
    for labels, count in backlog.waiting.items():
        family.add_metric(list(labels), count)
    return family


def _webhook_events(snapshot: StoreSnapshot) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "postern_webhook_events_waiting",
        "Undelivered events of enabled webhooks; 10000 of one webhook means 10000 or more.",
        value=snapshot.backlog.events,
    )
    since = snapshot.backlog.events_since
    yield GaugeMetricFamily(
        "postern_webhook_oldest_due_seconds",
        "Time since the oldest undelivered event became due; 0 if none is due.",
        value=0.0 if since is None else max(0.0, snapshot.at - since),
    )


def _suppressions(backlog: Backlog) -> GaugeMetricFamily:
    text = "Addresses on the suppression list, by the origin of the entry; 100000 means 100000 or more."
    family = GaugeMetricFamily("postern_suppressions", text, labels=["origin"])
    for origin, count in backlog.suppressions.items():
        family.add_metric([origin], count)
    return family


def _health(snapshot: StoreSnapshot) -> GaugeMetricFamily:
    text = "1 for the current state of the mailbox, else 0; `unknown` before a relay has taken it over."
    family = GaugeMetricFamily("postern_mailbox_health", text, labels=["mailbox", "state"])
    for name, condition in snapshot.conditions.items():
        now = "unknown" if condition is None else mailbox_health.as_of(condition, snapshot.at, 0).health
        for state in (*Health, "unknown"):
            family.add_metric([name, state], float(state == now))
    return family


def _load(loads: Loads) -> Iterator[GaugeMetricFamily]:
    connections = GaugeMetricFamily(
        "postern_connections", "Connections to the upstream server by state.", labels=["mailbox", "state"]
    )
    pace = GaugeMetricFamily(
        "postern_pace_used_ratio", "Used share of the mailbox's messages per minute.", labels=["mailbox"]
    )
    left = GaugeMetricFamily(
        "postern_recipients_left", "Recipients left of the mailbox's limit per 24 hours.", labels=["mailbox"]
    )
    for name, (connected, used) in loads.items():
        for state, count in connected._asdict().items():
            connections.add_metric([name, state], count)
        pace.add_metric([name], used.pace)
        left.add_metric([name], used.recipients_left)
    yield from (connections, pace, left)
