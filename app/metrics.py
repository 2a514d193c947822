"""What is counted, one function for each event, and its text form for Prometheus. Never a caller's address or a text.

Labels have few values: names of rules, phases and outcomes that stand in this code, and the mailboxes of the settings.
"""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE

from app.mail.attempt import Phase
from app.mail.lifecycle import Event

_registry = CollectorRegistry()
_accepted = Counter("postern_emails_accepted", "Emails kept and answered with 200.", registry=_registry)
_attempts = Counter(
    "postern_attempts", "Offers to the upstream by how the message went on.", ["outcome"], registry=_registry
)
_verdicts = Counter(
    "postern_verdicts", "Recipients judged, by the rule that judged them.", ["rule"], registry=_registry
)
_unknown = Counter(
    "postern_unknown_replies", "Replies that no row of Exchange's knows, by phase.", ["phase"], registry=_registry
)
_tokens = Counter(
    "postern_token_requests", "Requests for an access token, by outcome.", ["outcome"], registry=_registry
)
_ends = Gauge(
    "postern_credential_expires_timestamp_seconds",
    "When what the mailbox logs in with ends, where that is known (epoch seconds).",
    ["mailbox", "credential"],
    registry=_registry,
)
_posts = Counter("postern_webhook_posts", "Events posted to webhooks, by outcome.", ["outcome"], registry=_registry)

_outcome, _rule = cache(_attempts.labels), cache(_verdicts.labels)  # to find a series costs more than to count

for _phase in Phase:
    _unknown.labels(_phase)  # at 0: an alert on a series that does not exist yet would miss its first reply

__all__ = [
    "CONTENT_TYPE",
    "accepted",
    "attempted",
    "credential_ends",
    "expose",
    "judged",
    "token_requested",
    "unknown_reply",
    "webhook_posted",
]


def accepted() -> None:
    """An email is on the disk."""
    _accepted.inc()


def attempted(outcome: Event) -> None:
    """An offer is settled."""
    _outcome(outcome).inc()


def judged(rule: str) -> None:
    """One recipient of one attempt was judged by this rule."""
    _rule(rule).inc()


def unknown_reply(phase: Phase) -> None:
    """A reply was judged by a default, because no row knows it."""
    _unknown.labels(phase).inc()


def token_requested(outcome: str) -> None:
    """The token endpoint was asked, a few times if need be, and that was the end of it."""
    _tokens.labels(outcome).inc()


def credential_ends(mailbox: str, what: str, at: float) -> None:
    """What this mailbox logs in with, a credential of this kind, ends then."""
    _ends.labels(mailbox, what).set(at)


def webhook_posted(outcome: str) -> None:
    """An event was posted to one webhook, and what came of it is settled."""
    _posts.labels(outcome).inc()


def expose() -> bytes:
    """All of it in Prometheus' text format."""
    return generate_latest(_registry)
