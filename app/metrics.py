"""What is counted and timed, one function for each event, and its text form for Prometheus. What stands at the moment
of a scrape is app/scrape's. Never a caller's address or a text.

Labels have few values: names of rules, phases and outcomes that stand in this code, and the pools, mailboxes and apps
of the settings. Nothing that a caller sends becomes one.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE

from app import __version__
from app.mail.lifecycle import Event
from app.mail.message.message import Lane
from app.mail.outcome.attempt import Phase

_WAIT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0)
_EXCHANGE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_COMMIT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)
_build = Gauge("postern_build_info", "The version that runs.", ["version"], registry=_registry)
_build.labels(__version__).set(1)

_accepted = Counter("postern_emails_accepted", "Emails kept and answered 200.", ["pool", "lane"], registry=_registry)
_relayed = Counter(
    "postern_emails_relayed", "Emails that Office 365 has accepted for every recipient.", ["lane"], registry=_registry
)
_deferred = Counter(
    "postern_emails_deferred", "Offers after which an email waits to be offered again.", ["reason"], registry=_registry
)
_failed = Counter(
    "postern_emails_failed", "Emails that a recipient will not get, by the reason.", ["reason"], registry=_registry
)
_held = Counter("postern_emails_held", "Emails held for a person, by the reason.", ["reason"], registry=_registry)
_in_doubt = Counter(
    "postern_emails_in_doubt", "Offers whose outcome is unknown: each a possible duplicate.", registry=_registry
)
_wait = Histogram(
    "postern_accept_to_relay_seconds",
    "From the acceptance of an email, or its scheduled time, to its relay.",
    ["lane"],
    buckets=_WAIT,
    registry=_registry,
)
_attempts = Counter(
    "postern_attempts", "Offers to the upstream by how the message went on.", ["outcome"], registry=_registry
)
_verdicts = Counter(
    "postern_verdicts", "Recipients judged, by the rule that judged them.", ["rule"], registry=_registry
)
_unknown = Counter(
    "postern_unknown_replies", "Replies that no row of Exchange's knows, by phase.", ["phase"], registry=_registry
)
_phases = Histogram(
    "postern_smtp_phase_seconds",
    "How long the dialogue with the upstream stood in each phase.",
    ["phase"],
    buckets=_EXCHANGE,
    registry=_registry,
)
_groups = Histogram("postern_commit_group_size", "Writes that one commit has kept.", buckets=_GROUP, registry=_registry)
_commits = Histogram(
    "postern_commit_seconds",
    "From a group's first write to the end of its commit.",
    buckets=_COMMIT,
    registry=_registry,
)
_tokens = Counter(
    "postern_token_requests", "Requests for an access token, by outcome.", ["outcome"], registry=_registry
)
_issued = Gauge(
    "postern_token_issued_timestamp_seconds",
    "When an app got its access token.",
    ["client"],
    registry=_registry,
)
_runs_out = Gauge("postern_token_expires_timestamp_seconds", "When that token ends.", ["client"], registry=_registry)
_ends = Gauge(
    "postern_credential_expires_timestamp_seconds",
    "When what the mailbox logs in with ends, where that is known (epoch seconds).",
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
_alerts = Counter(
    "postern_troubles", "Warnings and errors in the log, by the event they tell of.", ["event"], registry=_registry
)

# At 0 from the start: an alert on a series that does not exist yet would miss its first event.
for _phase in Phase:
    _unknown.labels(_phase)
    _phases.labels(_phase)
for _lane in Lane:
    _relayed.labels(_lane)
    _wait.labels(_lane)
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
    "disk_measured",
    "expose",
    "failed",
    "held",
    "in_doubt",
    "phase_took",
    "relayed",
    "token_requested",
    "token_stored",
    "unknown_reply",
    "verdict_reached",
    "webhook_sent",
]


def accepted(pool: str, lane: Lane) -> None:
    """An email is on the disk."""
    _of(_accepted, pool, lane).inc()


def relayed(lane: Lane, seconds: float) -> None:
    """Every recipient of an email has it, so long after it could first have gone."""
    _of(_relayed, lane).inc()
    _of(_wait, lane).observe(max(0.0, seconds))


def deferred(reason: str) -> None:
    """An email waits to be offered again, for the trouble that this rule names."""
    _of(_deferred, reason).inc()


def failed(reason: str) -> None:
    """A recipient of an email will not get it: the rule that said so, or `expired`."""
    _failed.labels(reason).inc()


def held(reason: str) -> None:
    """An email is held for a person."""
    _held.labels(reason).inc()


def in_doubt() -> None:
    """Whether the upstream has taken an email is not known."""
    _in_doubt.inc()


def attempted(outcome: Event) -> None:
    """An offer is settled."""
    _of(_attempts, outcome).inc()


def verdict_reached(rule: str) -> None:
    """One recipient of one attempt was judged by this rule."""
    _of(_verdicts, rule).inc()


def unknown_reply(phase: Phase) -> None:
    """A reply was judged by a default, because no row knows it."""
    _unknown.labels(phase).inc()


def phase_took(phase: Phase, seconds: float) -> None:
    """The dialogue with the upstream has left a phase."""
    _of(_phases, phase).observe(seconds)


def committed(size: int, seconds: float) -> None:
    """One commit has kept so many writes. Called on the writer's thread."""
    _groups.observe(size)
    _commits.observe(seconds)


def token_requested(outcome: str) -> None:
    """The token endpoint was asked, a few times if need be, and that was the end of it."""
    _tokens.labels(outcome).inc()


def token_stored(client: str, *, at: float, until: float) -> None:
    """The app has a new access token, from one moment to the other (epoch seconds)."""
    _issued.labels(client).set(at)
    _runs_out.labels(client).set(until)


def credential_ends(mailbox: str, what: str, at: float) -> None:
    """What this mailbox logs in with, a credential of this kind, ends then."""
    _ends.labels(mailbox, what).set(at)


def webhook_sent(outcome: str) -> None:
    """An event was posted to one webhook, and what came of it is settled."""
    _webhook_posts.labels(outcome).inc()


def disk_measured(free: int, reserve: int) -> None:
    """The disk of the database was measured, in bytes."""
    _disk_free.set(free)
    _disk_reserve.set(reserve)


def alert_logged(event: str) -> None:
    """A warning or an error was logged: one of the events of app/logs."""
    _alerts.labels(event).inc()


def declare_alerts(events: Iterable[str]) -> None:
    """These may come: at 0 until then."""
    for event in events:
        _alerts.labels(event)


def expose() -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(_registry)


@cache
def _of(kind: Any, *labels: str) -> Any:
    """To find a series costs more than to count."""
    return kind.labels(*labels)
