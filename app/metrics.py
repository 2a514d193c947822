"""Counters, histograms and gauges that change with events, and the Prometheus text format.

A counter is called to count one event: `failed("expired")`. Gauges that are read at a scrape are in
app/metrics_exporter.py. Labels have few values: rules, phases and outcomes of this code, and pools, mailboxes and apps
of the settings. A value that a caller sends never becomes a label.
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
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

from app import __version__
from app.mail.message.message import Lane
from app.mail.ndr.belief import Disbelief
from app.mail.outcome.attempt import Phase
from app.mail.suppression import Origin

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
_WAIT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0)
_EXCHANGE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_COMMIT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter has a second series
_registry = CollectorRegistry()


class CounterSeries(Collector):
    """Counts by their label values, as plain numbers that one thread changes.

    `zero`: values of the only label that have a series from the start, because an alert on a series that does not exist
    yet would miss its first event. The library's own kind takes a lock for each number and checks its labels: 90 calls
    for the figures of one message.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, zero: Iterable[str] = ()) -> None:
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int, {(value,): 0 for value in zero})
        self._described = name, documentation, labels
        if not labels:
            self._counts[()] = 0
        _registry.register(self)

    def __call__(self, *labels: str) -> None:
        """Count one event."""
        self._counts[labels] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter with all its series."""
        name, documentation, labels = self._described
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in [*self._counts.items()]:  # a copy, because another thread may add a series
            family.add_metric([*map(str, values)], count)
        yield family


@dataclass(slots=True)
class _Distribution:
    counts: list[int]  # by bucket, the last one without an upper bound
    sum: float = 0.0


class HistogramSeries(Collector):
    """Distributions by their label values. `bounds` are the upper bounds of the buckets, in order.

    `zero` is that of CounterSeries.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, bounds: Iterable[float], zero: Iterable[str] = ()
    ) -> None:
        self._bounds = [float(bound) for bound in bounds]
        self._described = name, documentation, labels
        self._series: dict[tuple[str, ...], _Distribution] = {}
        for values in [(value,) for value in zero] if labels else [()]:
            self._add(values)
        _registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        """Count a value in its bucket."""
        series = self._series.get(labels) or self._add(labels)
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

    def _add(self, labels: tuple[str, ...]) -> _Distribution:
        return self._series.setdefault(labels, _Distribution([0] * (len(self._bounds) + 1)))


ProcessCollector(registry=_registry)
_build = Gauge("postern_build_info", "The version that runs.", ["version"], registry=_registry)
_build.labels(__version__).set(1)

accepted = CounterSeries("postern_emails_accepted", "Emails stored and answered with 200.", ["pool", "lane"])
_relayed = CounterSeries(
    "postern_emails_relayed", "Emails that Office 365 has accepted for every recipient.", ["lane"], zero=Lane
)
deferred = CounterSeries(
    "postern_emails_deferred", "Attempts after which an email waits for the next attempt.", ["reason"]
)
failed = CounterSeries("postern_emails_failed", "Emails that failed for a recipient, by reason.", ["reason"])
recipient_suppressed = CounterSeries(
    "postern_recipients_suppressed",
    "Recipients of accepted emails that are on the suppression list, by the origin of the entry.",
    ["origin"],
    zero=Origin,
)
held = CounterSeries("postern_emails_held", "Emails held for an operator, by reason.", ["reason"])
in_doubt = CounterSeries(
    "postern_emails_in_doubt", "Attempts with an unknown outcome: each is a possible duplicate.", []
)
_wait = HistogramSeries(
    "postern_accept_to_relay_seconds",
    "From the acceptance of an email, or its scheduled time, to its relay.",
    ["lane"],
    bounds=_WAIT,
    zero=Lane,
)
attempted = CounterSeries("postern_attempts", "Attempts, by the event that followed for the message.", ["outcome"])
verdict_reached = CounterSeries("postern_verdicts", "Evaluated recipients, by rule.", ["rule"])
unknown_reply = CounterSeries(
    "postern_unknown_replies", "Replies without a known rule, by phase.", ["phase"], zero=Phase
)
_phases = HistogramSeries(
    "postern_smtp_phase_seconds",
    "Time that SMTP transactions spent in each phase.",
    ["phase"],
    bounds=_EXCHANGE,
    zero=Phase,
)
_groups = HistogramSeries("postern_commit_group_size", "Writes in one commit.", [], bounds=_GROUP)
_commits = HistogramSeries(
    "postern_commit_seconds", "From a group's first write to the end of its commit.", [], bounds=_COMMIT
)
token_requested = CounterSeries(
    "postern_token_requests",
    "Requests for an access token, by outcome.",
    ["outcome"],
    zero=("renewed", "failed"),
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
webhook_sent = CounterSeries("postern_webhook_posts", "Events posted to webhooks, by outcome.", ["outcome"])
_disk_free = Gauge(
    "postern_disk_free_bytes", "Free space on the disk of an embedded database; 0 over PostgreSQL.", registry=_registry
)
_disk_reserve = Gauge(
    "postern_disk_reserve_bytes",
    "Free space below which no email is accepted; 0 over PostgreSQL.",
    registry=_registry,
)
trace_row = CounterSeries("postern_trace_rows", "Rows of Exchange's message trace, by what they matched.", ["match"])
delivery_reported = CounterSeries("postern_deliveries", "Recipients whose delivery changed to this state.", ["state"])
duplicate_seen = CounterSeries("postern_duplicates", "Emails that Exchange's message trace contains twice.", [])
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
ndr_disbelieved = CounterSeries(
    "postern_non_delivery_disbelieved",
    "Non-delivery reports that were read and changed nothing, by the condition that they do not meet.",
    ["reason"],
    zero=Disbelief,
)
_trace_requests_left = Gauge(
    "postern_trace_requests_left",
    "Requests to the message trace that can be sent without waiting.",
    ["tenant"],
    registry=_registry,
)
# The library's own kind, because lines are logged on several threads.
_alerts = Counter("postern_troubles", "Warnings and errors in the log, by event.", ["event"], registry=_registry)


def relayed(lane: Lane, seconds: float) -> None:
    """Count an email that was relayed to all recipients, `seconds` after it became due."""
    _relayed(lane)
    _wait.observe(max(0.0, seconds), lane)


def phase_took(phase: Phase, seconds: float) -> None:
    """Record the time that a transaction spent in a phase."""
    _phases.observe(seconds, phase)


def committed(size: int, seconds: float) -> None:
    """Record a commit of `size` writes. Called on the thread of the writer."""
    _groups.observe(size)
    _commits.observe(seconds)


def token_stored(client: str, *, at: float, until: float) -> None:
    """Record the validity of an app's new access token (epoch seconds)."""
    _issued.labels(client).set(at)
    _runs_out.labels(client).set(until)


def credential_ends(mailbox: str, what: str, at: float) -> None:
    """Record the expiry of a mailbox's credential of this kind (epoch seconds)."""
    _ends.labels(mailbox, what).set(at)


def trace_measured(tenant: str, *, lag: float, requests_left: int) -> None:
    """Record the lag of the reader in seconds, and the requests that it may send."""
    _trace_lag.labels(tenant).set(max(0.0, lag))
    _trace_requests_left.labels(tenant).set(requests_left)


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
