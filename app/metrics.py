"""Counters, histograms and gauges that change with events, one function per event, and the Prometheus text format.

Gauges that are read at a scrape are in app/metrics_exporter.py. Labels have few values: rules, phases and outcomes of
this code, and pools, mailboxes and apps of the settings. A value that a caller sends never becomes a label.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE
from prometheus_client.registry import Collector

from app import __version__
from app.mail.lifecycle import Event
from app.mail.message.message import Lane
from app.mail.ndr.belief import Disbelief
from app.mail.outcome.attempt import Phase
from app.mail.suppression import Origin

_WAIT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0)
_EXCHANGE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_COMMIT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class CounterSeries(Collector):
    """Counts by their label values, as plain numbers that one thread changes. Without labels the only series is `()`.

    The library's own kinds take a lock for each number and check their labels: 90 calls for the figures of one message.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self.counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._described = name, documentation, labels
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter with all its series."""
        name, documentation, labels = self._described
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in [*self.counts.items()]:  # a copy, because another thread may add a series
            family.add_metric([*map(str, values)], count)
        yield family


@dataclass(slots=True)
class _Distribution:
    counts: list[int]  # by bucket, the last one without an upper bound
    sum: float = 0.0


class HistogramSeries(Collector):
    """Distributions by their label values. `bounds` are the upper bounds of the buckets, in order."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        bounds: Iterable[float],
        registry: CollectorRegistry,
    ) -> None:
        self._bounds = [float(bound) for bound in bounds]
        self._described = name, documentation, labels
        self._series: dict[tuple[str, ...], _Distribution] = {}
        if not labels:
            self.declare()
        registry.register(self)

    def declare(self, *labels: str) -> _Distribution:
        """Create a series without observations."""
        return self._series.setdefault(labels, _Distribution([0] * (len(self._bounds) + 1)))

    def observe(self, value: float, *labels: str) -> None:
        """Count a value in its bucket."""
        series = self._series.get(labels) or self.declare(*labels)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram with all its series."""
        name, documentation, labels = self._described
        family = HistogramMetricFamily(name, documentation, labels=labels)
        names = [*map(str, self._bounds), "+Inf"]
        for values, series in [*self._series.items()]:
            buckets = [*zip(names, map(float, accumulate(series.counts)), strict=True)]
            family.add_metric([*map(str, values)], buckets, series.sum)
        yield family


disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter has a second series
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)
_build = Gauge("postern_build_info", "The version that runs.", ["version"], registry=_registry)
_build.labels(__version__).set(1)

_accepted = CounterSeries(
    "postern_emails_accepted", "Emails stored and answered with 200.", ["pool", "lane"], registry=_registry
)
_relayed = CounterSeries(
    "postern_emails_relayed", "Emails that Office 365 has accepted for every recipient.", ["lane"], registry=_registry
)
_deferred = Counter(
    "postern_emails_deferred",
    "Attempts after which an email waits for the next attempt.",
    ["reason"],
    registry=_registry,
)
_failed = Counter(
    "postern_emails_failed", "Emails that failed for a recipient, by reason.", ["reason"], registry=_registry
)
_suppressed = Counter(
    "postern_recipients_suppressed",
    "Recipients of accepted emails that are on the suppression list, by the origin of the entry.",
    ["origin"],
    registry=_registry,
)
_held = Counter("postern_emails_held", "Emails held for an operator, by reason.", ["reason"], registry=_registry)
_in_doubt = Counter(
    "postern_emails_in_doubt", "Attempts with an unknown outcome: each is a possible duplicate.", registry=_registry
)
_wait = HistogramSeries(
    "postern_accept_to_relay_seconds",
    "From the acceptance of an email, or its scheduled time, to its relay.",
    ["lane"],
    bounds=_WAIT,
    registry=_registry,
)
_attempts = CounterSeries(
    "postern_attempts", "Attempts, by the event that followed for the message.", ["outcome"], registry=_registry
)
_verdicts = CounterSeries("postern_verdicts", "Evaluated recipients, by rule.", ["rule"], registry=_registry)
_unknown = Counter("postern_unknown_replies", "Replies without a known rule, by phase.", ["phase"], registry=_registry)
_phases = HistogramSeries(
    "postern_smtp_phase_seconds",
    "Time that SMTP transactions spent in each phase.",
    ["phase"],
    bounds=_EXCHANGE,
    registry=_registry,
)
_groups = HistogramSeries("postern_commit_group_size", "Writes in one commit.", [], bounds=_GROUP, registry=_registry)
_commits = HistogramSeries(
    "postern_commit_seconds",
    "From a group's first write to the end of its commit.",
    [],
    bounds=_COMMIT,
    registry=_registry,
)
_tokens = Counter(
    "postern_token_requests", "Requests for an access token, by outcome.", ["outcome"], registry=_registry
)
_issued = Gauge(
    "postern_token_issued_timestamp_seconds",
    "Time at which an app got its access token (epoch seconds).",
    ["client"],
    registry=_registry,
)
_runs_out = Gauge(
    "postern_token_expires_timestamp_seconds", "Expiry of that token (epoch seconds).", ["client"], registry=_registry
)
_ends = Gauge(
    "postern_credential_expires_timestamp_seconds",
    "Expiry of the credential of the mailbox, if known (epoch seconds).",
    ["mailbox", "credential"],
    registry=_registry,
)
_webhook_posts = Counter(
    "postern_webhook_posts", "Events posted to webhooks, by outcome.", ["outcome"], registry=_registry
)
_disk_free = Gauge(
    "postern_disk_free_bytes", "Free space on the disk of an embedded database; 0 over PostgreSQL.", registry=_registry
)
_disk_reserve = Gauge(
    "postern_disk_reserve_bytes",
    "Free space below which no email is accepted; 0 over PostgreSQL.",
    registry=_registry,
)
_trace_rows = Counter(
    "postern_trace_rows", "Rows of Exchange's message trace, by what they matched.", ["match"], registry=_registry
)
_deliveries = Counter(
    "postern_deliveries", "Recipients whose delivery changed to this state.", ["state"], registry=_registry
)
_duplicates = Counter("postern_duplicates", "Emails that Exchange's message trace contains twice.", registry=_registry)
_trace_lag = Gauge(
    "postern_trace_lag_seconds",
    "Time since which the message trace of the tenant has not been read by this process.",
    ["tenant"],
    registry=_registry,
)
_ndr_lag = Gauge(
    "postern_non_delivery_lag_seconds",
    "Time since which the mailbox has not been read for non-delivery reports by this process.",
    ["mailbox"],
    registry=_registry,
)
_ndr_disbelieved = Counter(
    "postern_non_delivery_disbelieved",
    "Non-delivery reports that were read and changed nothing, by the condition that they do not meet.",
    ["reason"],
    registry=_registry,
)
_trace_requests_left = Gauge(
    "postern_trace_requests_left",
    "Requests to the message trace that can be sent without waiting.",
    ["tenant"],
    registry=_registry,
)
_alerts = Counter("postern_troubles", "Warnings and errors in the log, by event.", ["event"], registry=_registry)

# Start at 0: an alert on a series that does not exist yet would miss its first event.
for _phase in Phase:
    _unknown.labels(_phase)
    _phases.declare(_phase)
for _lane in Lane:
    _relayed.counts[(_lane,)] = 0
    _wait.declare(_lane)
for _origin in Origin:
    _suppressed.labels(_origin)
for _disbelief in Disbelief:
    _ndr_disbelieved.labels(_disbelief)
for _outcome in ("renewed", "failed"):
    _tokens.labels(_outcome)

__all__ = [
    "CONTENT_TYPE",
    "accepted",
    "alert_logged",
    "attempted",
    "committed",
    "credential_ends",
    "declare_alerts",
    "deferred",
    "delivery_reported",
    "disk_measured",
    "duplicate_seen",
    "expose",
    "failed",
    "held",
    "in_doubt",
    "ndr_disbelieved",
    "ndr_measured",
    "ndr_released",
    "phase_took",
    "recipients_suppressed",
    "relayed",
    "token_requested",
    "token_stored",
    "trace_measured",
    "trace_released",
    "trace_row",
    "unknown_reply",
    "verdict_reached",
    "webhook_sent",
]


def recipients_suppressed(origins: Iterable[Origin]) -> None:
    """Count the suppressed recipients of an accepted email."""
    for origin in origins:
        _suppressed.labels(origin).inc()


def accepted(pool: str, lane: Lane) -> None:
    """Count an email that is on disk."""
    _accepted.counts[pool, lane] += 1


def relayed(lane: Lane, seconds: float) -> None:
    """Count an email that was relayed to all recipients, `seconds` after it became due."""
    _relayed.counts[(lane,)] += 1
    _wait.observe(max(0.0, seconds), lane)


def deferred(reason: str) -> None:
    """Count an email that waits for its next attempt; `reason` is the rule."""
    _deferred.labels(reason).inc()


def failed(reason: str) -> None:
    """Count an email that failed for a recipient; `reason` is the rule, or `expired`."""
    _failed.labels(reason).inc()


def held(reason: str) -> None:
    """Count an email that is held for an operator."""
    _held.labels(reason).inc()


def in_doubt() -> None:
    """Count an attempt with an unknown outcome."""
    _in_doubt.inc()


def attempted(outcome: Event) -> None:
    """Count a settled attempt."""
    _attempts.counts[(outcome,)] += 1


def verdict_reached(rule: str) -> None:
    """Count a recipient that was evaluated by this rule."""
    _verdicts.counts[(rule,)] += 1


def unknown_reply(phase: Phase) -> None:
    """Count a reply without a known rule."""
    _unknown.labels(phase).inc()


def phase_took(phase: Phase, seconds: float) -> None:
    """Record the time that a transaction spent in a phase."""
    _phases.observe(seconds, phase)


def committed(size: int, seconds: float) -> None:
    """Record a commit of `size` writes. Called on the thread of the writer."""
    _groups.observe(size)
    _commits.observe(seconds)


def token_requested(outcome: str) -> None:
    """Count a token request with its retries, by final outcome."""
    _tokens.labels(outcome).inc()


def token_stored(client: str, *, at: float, until: float) -> None:
    """Record the validity of an app's new access token (epoch seconds)."""
    _issued.labels(client).set(at)
    _runs_out.labels(client).set(until)


def credential_ends(mailbox: str, what: str, at: float) -> None:
    """Record the expiry of a mailbox's credential of this kind (epoch seconds)."""
    _ends.labels(mailbox, what).set(at)


def webhook_sent(outcome: str) -> None:
    """Count a settled POST of an event to a webhook."""
    _webhook_posts.labels(outcome).inc()


def trace_row(match: str) -> None:
    """Count a row of the message trace."""
    _trace_rows.labels(match).inc()


def delivery_reported(state: str) -> None:
    """Count a recipient whose delivery changed to this state."""
    _deliveries.labels(state).inc()


def duplicate_seen() -> None:
    """Count an email that Exchange has twice."""
    _duplicates.inc()


def trace_measured(tenant: str, *, lag: float, requests_left: int) -> None:
    """Record the lag of the reader in seconds, and the requests that it may send."""
    _trace_lag.labels(tenant).set(max(0.0, lag))
    _trace_requests_left.labels(tenant).set(requests_left)


def ndr_disbelieved(reason: Disbelief) -> None:
    """Count a non-delivery report of which nothing is believed."""
    _ndr_disbelieved.labels(reason).inc()


def ndr_measured(mailbox: str, *, lag: float) -> None:
    """Update the lag of the reader of a mailbox, in seconds."""
    _ndr_lag.labels(mailbox).set(max(0.0, lag))


def ndr_released(mailbox: str) -> None:
    """Remove the lag of a mailbox that another replica reads."""
    with suppress(KeyError):
        _ndr_lag.remove(mailbox)


def trace_released(tenant: str) -> None:
    """Remove the lag of a reader: another process reads this tenant."""
    for gauge in (_trace_lag, _trace_requests_left):
        with suppress(KeyError):
            gauge.remove(tenant)


def disk_measured(free: int, reserve: int) -> None:
    """Record the free bytes of the database's disk and the reserve."""
    _disk_free.set(free)
    _disk_reserve.set(reserve)


def alert_logged(event: str) -> None:
    """Count a logged warning or error by its event of app/logs."""
    _alerts.labels(event).inc()


def declare_alerts(events: Iterable[str]) -> None:
    """Create the series of these events with 0."""
    for event in events:
        _alerts.labels(event)


def expose() -> bytes:
    """Return all series in the Prometheus text format."""
    return generate_latest(_registry)
