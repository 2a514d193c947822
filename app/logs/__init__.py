"""One function per event in a message's life, and nothing else is logged. deploy/RUNBOOK.md lists them ("The log").

Never content, never a credential: the functions take facts (ids, codes, seconds), not objects. People's addresses can
be masked; those of our own mailboxes stay, because what mends a mailbox names it.
"""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.logs.format import render

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_ALERT_LEVELS = frozenset({"warning", "error"})
# The events that are warnings or errors: they are counted from 0, by these names.
ALERT_EVENTS = (
    "library",
    "crashed",
    "email.lease_lost",
    "email.reclaimed",
    "email.expired",
    "console.refused",
    "mailbox.lost",
    "mailbox.paused",
    "mailbox.held",
    "token.failed",
    "credential.rotated",
    "credential.ends",
    "clock.set_ahead",
    "clock.set_back",
    "webhook.posted",
    "webhook.disabled",
    "key.ignored",
    "disk.almost_full",
    "store.awaited",
    "traces.lost",
    "store.failed",
)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class _Log:
    """The log of the process: the one object that is set and not passed along. It does not use structlog's loggers: a
    line through them costs as much as composing an email."""

    def __init__(self) -> None:
        self.human = True
        self.least = _LEVELS["info"]
        self.shown: frozenset[str] | None = None  # the addresses that are not masked; None: all of them
        self.count: Callable[[str], None] = lambda _: None

    def debug(self, event: str, **facts: Any) -> None:
        self._write("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write("error", event, facts)

    def _write(self, level: str, event: str, facts: dict[str, Any]) -> None:
        if level in _ALERT_LEVELS:
            self.count(event)
        if _LEVELS[level] < self.least:
            return
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        facts = {"timestamp": stamp, "level": level, "event": event, **facts}
        if request_id := _request_id.get():
            facts["request_id"] = request_id
        line = render(level, facts, human=self.human, shown=self.shown)
        try:
            sys.stderr.write(line + "\n")
        except OSError:  # a full disk under the log must not cost an email
            return


_log = _Log()


def configure(*, human: bool, level: str = "info", shown: frozenset[str] | None = None) -> None:
    """Lines to standard error: for a person on a terminal, else one JSON object a line. With `shown` every address
    but these is masked."""
    _log.human = human
    _log.shown = shown
    _log.least = _LEVELS[level]


def count_alerts(count: Callable[[str], None]) -> None:
    """Every warning and error is counted by its event, whether its line is written or not."""
    _log.count = count


def bind_request(request_id: str) -> None:
    """Every line that comes of this request bears its id."""
    _request_id.set(request_id)


def started(*, url: str, role: str, mailboxes: int, mailbox: str, upstream: str) -> None:
    """Postern listens, and does the whole work or half of it."""
    _log.info("started", url=url, role=role, mailboxes=mailboxes, mailbox=mailbox, upstream=upstream)


def stopped() -> None:
    """Postern has drained and closed."""
    _log.info("stopped")


def accepted(email: UUID, *, key: str, pool: str, size: int, recipients: int) -> None:
    """An email is on the disk and its caller has been told so."""
    _log.info("email.accepted", email=str(email), key=key, pool=pool, size=size, recipients=recipients)


def refused(*, status: int, name: str, message: str, method: str, path: str, client: str) -> None:
    """A request got an error that was the caller's. `client` is the address that it came from."""
    _log.info("request.refused", status=status, name=name, message=message, method=method, path=path, client=client)


def superseded(email: UUID, *, key: str) -> None:
    """A newer email of this API key with the same `coalesce` took its place: the one of the same request."""
    _log.info("email.superseded", email=str(email), key=key)


def library(*, severe: bool, logger: str, message: str, error: BaseException | None = None) -> None:
    """A package that Postern uses has logged a warning or an error, or Python has warned. A traceback if it had one."""
    write = _log.error if severe else _log.warning
    write("library", logger=logger, message=message, exc_info=error)


def crashed(where: str, error: BaseException, *, email: UUID | None = None) -> None:
    """A bug of ours, with a traceback. `email` where it was about one."""
    of = {} if email is None else {"email": str(email)}
    _log.error("crashed", where=where, **of, exc_info=error)


def claimed(email: UUID, *, mailbox: str, number: int, lane: str) -> None:
    """A mailbox has taken an email into its hands, to be offered."""
    if _log.least <= _LEVELS["debug"]:
        _log.debug("email.claimed", email=str(email), mailbox=mailbox, number=number, lane=str(lane))


def given_back(email: UUID, *, mailbox: str) -> None:
    """It was not offered after all and waits as before."""
    _log.debug("email.given_back", email=str(email), mailbox=mailbox)


def attempted(email: UUID, *, mailbox: str, number: int, phase: str, outcome: str, seconds: float, reply: str) -> None:
    """An offer to the upstream has ended and is settled."""
    _log.info(
        "email.attempted",
        email=str(email),
        mailbox=mailbox,
        number=number,
        phase=str(phase),
        outcome=str(outcome),
        seconds=round(seconds, 3),
        reply=reply,
    )


def lease_lost(email: UUID, *, mailbox: str, where: str) -> None:
    """Another worker owns this message now; what this one knew of it is dropped."""
    _log.warning("email.lease_lost", email=str(email), mailbox=mailbox, where=where)


def reclaimed(email: UUID, *, in_doubt: bool) -> None:
    """A message whose worker died was judged like a lost line and put back."""
    _log.warning("email.reclaimed", email=str(email), in_doubt=in_doubt)


def expired(email: UUID) -> None:
    """A message's time was over before it was relayed."""
    _log.warning("email.expired", email=str(email))


def retried(email: UUID, *, key: str) -> None:
    """A person has put a message back, by this API key."""
    _log.info("email.retried", email=str(email), key=key)


def confirmed(email: UUID, *, key: str) -> None:
    """A person has said that a held message has arrived, by this API key."""
    _log.info("email.confirmed", email=str(email), key=key)


def erased(emails: int, *, key: str, scrubbed: bool) -> None:
    """So many emails were erased, by this API key. `scrubbed`: nothing of them is left in SQLite's files."""
    _log.info("emails.erased", emails=emails, key=key, scrubbed=scrubbed)


def rescheduled(email: UUID, *, at: float, key: str) -> None:
    """An email is to be sent at another time (epoch seconds), by this API key."""
    _log.info("email.rescheduled", email=str(email), at=datetime.fromtimestamp(at, UTC).isoformat(), key=key)


def canceled(email: UUID, *, key: str) -> None:
    """A scheduled email was taken back, by this API key."""
    _log.info("email.canceled", email=str(email), key=key)


def mailbox_hold_requested(mailbox: str, *, wish: str, key: str) -> None:
    """A person wants a mailbox held or released, by this API key; its relay says when it is."""
    _log.info("mailbox.wished", mailbox=mailbox, wish=wish, key=key)


def console_login(address: str) -> None:
    """Somebody has logged in to the console."""
    _log.info("console.entered", address=address)


def console_login_failed(address: str) -> None:
    """Somebody has given a wrong password to the console."""
    _log.warning("console.refused", address=address)


def mailbox_taken(mailbox: str, *, token: int, left: int) -> None:
    """This replica owns the mailbox from now on; its owner before left so many messages under way."""
    _log.info("mailbox.taken", mailbox=mailbox, token=token, left=left)


def mailbox_given_back(mailbox: str) -> None:
    """This replica owns the mailbox no longer, because another has fewer or because it stops."""
    _log.info("mailbox.given_back", mailbox=mailbox)


def mailbox_lost(mailbox: str) -> None:
    """This replica was not heard of for too long, and another owns the mailbox now."""
    _log.warning("mailbox.lost", mailbox=mailbox)


def mailbox_paused(mailbox: str, *, seconds: float, reason: str) -> None:
    """The mailbox rests for a while; its messages wait."""
    _log.warning("mailbox.paused", mailbox=mailbox, seconds=round(seconds, 1), reason=reason)


def mailbox_held(mailbox: str, *, reason: str, fix: str) -> None:
    """The mailbox rests until its login works again or a person releases it; its messages wait."""
    _log.error("mailbox.held", mailbox=mailbox, reason=reason, fix=fix)


def mailbox_open(mailbox: str) -> None:
    """The mailbox relays again."""
    _log.info("mailbox.open", mailbox=mailbox)


def token_renewed(client: str, *, seconds: float) -> None:
    """A new access token for the app; it lives so long."""
    _log.info("token.renewed", client=client, seconds=round(seconds))


def token_failed(client: str, *, reason: str) -> None:
    """No new access token for the app; the reason holds no secret."""
    _log.warning("token.failed", client=client, reason=reason)


def credential_rotated(client: str) -> None:
    """The app's client secret is refused and the other one works: the old one can be taken out."""
    _log.warning("credential.rotated", client=client)


def credential_ends(mailbox: str, *, what: str, days: int, at: float, reason: str, fix: str) -> None:
    """Something that the mailbox logs in with ends in so many days (below 0: it has ended)."""
    date = datetime.fromtimestamp(at, UTC).date().isoformat()
    _log.warning("credential.ends", mailbox=mailbox, what=what, days=days, date=date, reason=reason, fix=fix)


def clock_set_back(*, seconds: float, emails: int) -> None:
    """The machine's clock has lost so many seconds; so many emails that waited by it were brought forward."""
    _log.warning("clock.set_back", seconds=round(seconds, 1), emails=emails)


def clock_behind_corrected(mailbox: str, *, seconds: float) -> None:
    """What the mailbox has sent was written by a clock that was so many seconds behind, and counts as later by them."""
    _log.warning("clock.set_ahead", mailbox=mailbox, seconds=round(seconds, 1))


def pruned(*, rows: int, pages: int) -> None:
    """What is over and old was removed, and pages of an embedded database's file were given back."""
    _log.info("store.pruned", rows=rows, pages=pages)


def webhook_sent(
    event: UUID, *, webhook: UUID, kind: str, number: int, outcome: str, status: int, reason: str, seconds: float
) -> None:
    """An event was told to a webhook, or not: then it is tried again, or given up."""
    write = _log.info if outcome == "delivered" else _log.warning
    write(
        "webhook.posted",
        webhook_event=str(event),
        webhook=str(webhook),
        type=kind,
        number=number,
        outcome=outcome,
        status=status,
        reason=reason,
        seconds=round(seconds, 3),
    )


def webhook_disabled(webhook: UUID, *, reason: str) -> None:
    """An endpoint wants to hear nothing more; a person can enable it again."""
    _log.warning("webhook.disabled", webhook=str(webhook), reason=reason)


def webhook_changed(webhook: UUID, *, what: str, key: str) -> None:
    """A person has made, changed or removed a webhook, by this API key."""
    _log.info("webhook.changed", webhook=str(webhook), what=what, key=key)


def key_changed(api_key: UUID, *, what: str, key: str) -> None:
    """An API key was made, changed or revoked, by this one; `settings` is POSTERN_API_KEY at a start."""
    _log.info("key.changed", api_key=str(api_key), what=what, key=key)


def key_ignored(api_key: UUID) -> None:
    """The secret in POSTERN_API_KEY was replaced or revoked before and is refused: set the newer or a fresh one."""
    _log.warning("key.ignored", api_key=str(api_key))


def store_unreachable(error: BaseException, *, seconds: float) -> None:
    """The database cannot be opened; it is tried again in so many seconds, for as long as it takes."""
    _log.error("store.awaited", error=str(error), again_in=round(seconds, 1))


def disk_almost_full(*, free: int, reserve: int) -> None:
    """Less than the reserve is free on the database's disk: no email is accepted until there is more. Bytes."""
    _log.error("disk.almost_full", free=free, reserve=reserve)


def disk_has_room(*, free: int, reserve: int) -> None:
    """The database's disk has room again, and emails are accepted. Bytes."""
    _log.info("disk.has_room", free=free, reserve=reserve)


def traces_lost(*, reason: str) -> None:
    """Spans could not be sent: they are tried again for a while, and then lost. Nothing else is."""
    _log.warning("traces.lost", reason=reason)


def store_failed(what: str, error: BaseException, *, email: UUID | None = None) -> None:
    """The database refused; the work is tried again or answered with 503. `email` where it was about one."""
    of = {} if email is None else {"email": str(email)}
    _log.error("store.failed", what=what, **of, error=str(error))
