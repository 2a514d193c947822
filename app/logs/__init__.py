"""Log events: one function per event; nothing else is logged. The table in deploy/RUNBOOK.md has their first sentences.

A line contains no content and no credential: the functions take ids, codes and numbers, not objects. Addresses can be
masked, except those of Postern's own mailboxes, because instructions to fix a mailbox name it. `configure`,
`count_alerts` and `bind_request` set up the log.
"""

import json
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from app.logs.format import MAX_VALUE, for_people, format_traceback, limit_values

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_ALERT_LEVELS = frozenset({"warning", "error"})
# Events of the levels warning and error. Their counters start at 0.
ALERT_EVENTS = (
    "library",
    "crashed",
    "email.lease_lost",
    "email.reclaimed",
    "email.expired",
    "email.duplicate",
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
    "trace.failed",
    "ndr.failed",
    "traces.lost",
    "store.failed",
)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class _Log:
    """Log of the process. It is a global, so that no object has to pass it on.

    structlog's loggers are not used: one of their lines costs as much as composing an email.
    """

    def __init__(self) -> None:
        self.human = True
        self.min_level = _LEVELS["info"]
        self.shown: frozenset[str] | None = None  # addresses that are not masked; None: all
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
        if _LEVELS[level] < self.min_level:
            return
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        facts = {"timestamp": stamp, "level": level, "event": event, **facts}
        if request_id := _request_id.get():
            facts["request_id"] = request_id
        try:
            sys.stderr.write(self._line(level, facts) + "\n")
        except OSError:  # a full disk for the log must not stop emails
            return

    def _line(self, level: str, facts: dict[str, Any]) -> str:
        """Return one line, or several with a traceback for people."""
        if (error := facts.pop("exc_info", None)) is not None:
            facts["exception"] = format_traceback(error)
        if not self.human and self.shown is None and len(line := _json(facts)) <= MAX_VALUE:
            return line  # the usual case: no value of such a line is cut
        limit_values(facts, human=self.human, shown=self.shown)
        return for_people(level, facts) if self.human else _json(facts)


def _json(facts: dict[str, Any]) -> str:
    """Return ASCII JSON. Text that is not valid Unicode, such as a file name, is escaped by the slower encoder."""
    try:
        line = to_json(facts, fallback=repr, ensure_ascii=True).decode()
    except PydanticSerializationError:
        line = json.dumps(facts, default=repr)
    return line.replace("\x7f", "\\u007f") if "\x7f" in line else line


_log = _Log()


def configure(*, human: bool, level: str = "info", shown: frozenset[str] | None = None) -> None:
    """Set the format: text for people, or one JSON object per line. With `shown` every other address is masked."""
    _log.human = human
    _log.shown = shown
    _log.min_level = _LEVELS[level]


def count_alerts(count: Callable[[str], None]) -> None:
    """Call `count` with the event of every warning and error, also of those below the level."""
    _log.count = count


def bind_request(request_id: str) -> None:
    """Add the id of the request to every line that is logged in this context."""
    _request_id.set(request_id)


def started(*, url: str, role: str, mailboxes: int, mailbox: str, upstream: str) -> None:
    """Postern accepts requests; with the role `api` or `relay` it does half of the work."""
    _log.info("started", url=url, role=role, mailboxes=mailboxes, mailbox=mailbox, upstream=upstream)


def stopped() -> None:
    """Postern has finished its work in progress and closed."""
    _log.info("stopped")


def accepted(email: UUID, *, key: str, pool: str, size: int, recipients: int) -> None:
    """An email was committed to disk."""
    _log.info("email.accepted", email=str(email), key=key, pool=pool, size=size, recipients=recipients)


def refused(*, status: int, name: str, message: str, method: str, path: str, client: str) -> None:
    """A request was answered with a client error. `client` is the address it came from."""
    _log.info("request.refused", status=status, name=name, message=message, method=method, path=path, client=client)


def superseded(email: UUID, *, key: str) -> None:
    """A waiting email was replaced by a newer one with the same `coalesce` value, sent in the request `request_id`."""
    _log.info("email.superseded", email=str(email), key=key)


def suppressed(email: UUID, *, recipients: int, key: str) -> None:
    """An email was accepted, and is not sent to this number of its recipients: they are on the suppression list."""
    _log.info("email.suppressed", email=str(email), recipients=recipients, key=key)


def library(*, severe: bool, logger: str, message: str, error: BaseException | None = None) -> None:
    """A library logged a warning or an error, or Python issued a warning. With the traceback, if there is one."""
    write = _log.error if severe else _log.warning
    write("library", logger=logger, message=message, exc_info=error)


def crashed(where: str, error: BaseException, *, email: UUID | None = None) -> None:
    """A bug in Postern, with a traceback. `email` is the email that it concerned, if any."""
    details = {} if email is None else {"email": str(email)}
    _log.error("crashed", where=where, **details, exc_info=error)


def claimed(email: UUID, *, mailbox: str, number: int, lane: str) -> None:
    """A mailbox has claimed an email for an attempt."""
    if _log.min_level <= _LEVELS["debug"]:
        _log.debug("email.claimed", email=str(email), mailbox=mailbox, number=number, lane=str(lane))


def given_back(email: UUID, *, mailbox: str) -> None:
    """An email was returned to the queue without an attempt."""
    _log.debug("email.given_back", email=str(email), mailbox=mailbox)


def attempted(email: UUID, *, mailbox: str, number: int, phase: str, outcome: str, seconds: float, reply: str) -> None:
    """An attempt to send an email has ended and its result is stored."""
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


def bounced(email: UUID, *, code: str, needed: int) -> None:
    """A recipient's address was refused as dead. It is suppressed once this has happened to `needed` emails in 24 h."""
    _log.info("email.bounced", email=str(email), code=code, needed=needed)


def lease_lost(email: UUID, *, mailbox: str, where: str) -> None:
    """Another worker owns the email now, so the result of this worker was discarded."""
    _log.warning("email.lease_lost", email=str(email), mailbox=mailbox, where=where)


def reclaimed(email: UUID, *, in_doubt: bool) -> None:
    """An email whose worker died was requeued, as after a lost connection."""
    _log.warning("email.reclaimed", email=str(email), in_doubt=in_doubt)


def expired(email: UUID) -> None:
    """An email reached its maximum age before it was sent."""
    _log.warning("email.expired", email=str(email))


def retried(email: UUID, *, key: str) -> None:
    """An operator requeued an email, with this API key."""
    _log.info("email.retried", email=str(email), key=key)


def confirmed(email: UUID, *, key: str) -> None:
    """An operator confirmed that a held email was delivered, with this API key."""
    _log.info("email.confirmed", email=str(email), key=key)


def erased(emails: int, *, key: str, scrubbed: bool) -> None:
    """Emails were erased, with this API key. `scrubbed`: no trace of them is left in SQLite's files."""
    _log.info("emails.erased", emails=emails, key=key, scrubbed=scrubbed)


def content_read(email: UUID, *, what: str, key: str) -> None:
    """A person has read the content of an email in the console: `what` is `html`, `text` or `message`."""
    _log.info("email.content_read", email=str(email), what=what, key=key)


def tested(email: UUID, *, sent_as: str, key: str) -> None:
    """A person has sent a test email in the console, as the API key `sent_as`."""
    _log.info("email.tested", email=str(email), sent_as=sent_as, key=key)


def rescheduled(email: UUID, *, at: float, key: str) -> None:
    """The send time of an email was changed, with this API key."""
    _log.info("email.rescheduled", email=str(email), at=datetime.fromtimestamp(at, UTC).isoformat(), key=key)


def canceled(email: UUID, *, key: str) -> None:
    """A scheduled email was cancelled, with this API key."""
    _log.info("email.canceled", email=str(email), key=key)


def mailbox_hold_requested(mailbox: str, *, wish: str, key: str) -> None:
    """An operator requested that a mailbox is held or released, with this API key. Its relay logs when it is."""
    _log.info("mailbox.wished", mailbox=mailbox, wish=wish, key=key)


def console_login(address: str) -> None:
    """A person logged in to the console."""
    _log.info("console.entered", address=address)


def console_login_failed(address: str) -> None:
    """A login to the console failed because of a wrong password."""
    _log.warning("console.refused", address=address)


def mailbox_taken(mailbox: str, *, token: int, left: int) -> None:
    """This replica has taken over the mailbox. `left`: messages that the previous owner left in flight."""
    _log.info("mailbox.taken", mailbox=mailbox, token=token, left=left)


def mailbox_given_back(mailbox: str) -> None:
    """This replica has released the mailbox, because another has fewer mailboxes or because it stops."""
    _log.info("mailbox.given_back", mailbox=mailbox)


def mailbox_lost(mailbox: str) -> None:
    """Another replica has taken over the mailbox, because this one missed its heartbeats."""
    _log.warning("mailbox.lost", mailbox=mailbox)


def mailbox_paused(mailbox: str, *, seconds: float, reason: str) -> None:
    """The mailbox is paused for some seconds; its messages wait."""
    _log.warning("mailbox.paused", mailbox=mailbox, seconds=round(seconds, 1), reason=reason)


def mailbox_held(mailbox: str, *, reason: str, fix: str) -> None:
    """The mailbox is held until its login succeeds or an operator releases it; its messages wait."""
    _log.error("mailbox.held", mailbox=mailbox, reason=reason, fix=fix)


def mailbox_open(mailbox: str) -> None:
    """The mailbox sends again."""
    _log.info("mailbox.open", mailbox=mailbox)


def token_renewed(client: str, *, seconds: float) -> None:
    """The app has a new access token, valid for `seconds`."""
    _log.info("token.renewed", client=client, seconds=round(seconds))


def token_failed(client: str, *, reason: str) -> None:
    """The app did not get a new access token. The reason contains no secret."""
    _log.warning("token.failed", client=client, reason=reason)


def credential_rotated(client: str) -> None:
    """The app's client secret was refused and the other one accepted: remove the old one."""
    _log.warning("credential.rotated", client=client)


def credential_ends(mailbox: str, *, what: str, days: int, at: float, reason: str, fix: str) -> None:
    """A credential of the mailbox expires in `days` days (below 0: it has expired)."""
    date = datetime.fromtimestamp(at, UTC).date().isoformat()
    _log.warning("credential.ends", mailbox=mailbox, what=what, days=days, date=date, reason=reason, fix=fix)


def clock_set_back(*, seconds: float, emails: int) -> None:
    """The machine's clock was set back by `seconds`; the due times of so many waiting emails were corrected."""
    _log.warning("clock.set_back", seconds=round(seconds, 1), emails=emails)


def clock_behind_corrected(mailbox: str, *, seconds: float) -> None:
    """The previous send times of the mailbox came from a clock that was `seconds` behind; they were corrected."""
    _log.warning("clock.set_ahead", mailbox=mailbox, seconds=round(seconds, 1))


def pruned(*, rows: int, pages: int) -> None:
    """Old finished records were removed, and pages of SQLite's file were freed."""
    _log.info("store.pruned", rows=rows, pages=pages)


def webhook_sent(
    event: UUID, *, webhook: UUID, kind: str, number: int, outcome: str, status: int, reason: str, seconds: float
) -> None:
    """A webhook delivery succeeded, or failed and is tried again or given up."""
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
    """A webhook was disabled, because its endpoint no longer exists (410). An operator can enable it again."""
    _log.warning("webhook.disabled", webhook=str(webhook), reason=reason)


def webhook_changed(webhook: UUID, *, what: str, key: str) -> None:
    """A webhook was created, changed or removed, with this API key."""
    _log.info("webhook.changed", webhook=str(webhook), what=what, key=key)


def suppressions_changed(number: int, *, what: str, key: str) -> None:
    """Addresses were added to the suppression list or removed from it, with this API key or by this operator."""
    _log.info("suppressions.changed", number=number, what=what, key=key)


def key_changed(api_key: UUID, *, what: str, key: str) -> None:
    """An API key was created, changed or revoked with this one; `settings` is POSTERN_API_KEY at start."""
    _log.info("key.changed", api_key=str(api_key), what=what, key=key)


def key_ignored(api_key: UUID) -> None:
    """The secret in POSTERN_API_KEY was replaced or revoked earlier and is refused: set the current or a new one."""
    _log.warning("key.ignored", api_key=str(api_key))


def store_unreachable(error: BaseException, *, seconds: float) -> None:
    """The database cannot be opened. Postern tries again in `again_in` seconds, without a limit."""
    _log.error("store.awaited", error=str(error), again_in=round(seconds, 1))


def disk_almost_full(*, free: int, reserve: int) -> None:
    """The database's disk has less free space than the reserve: emails are refused until there is more. Bytes."""
    _log.error("disk.almost_full", free=free, reserve=reserve)


def disk_has_room(*, free: int, reserve: int) -> None:
    """The database's disk has free space again, and emails are accepted. Bytes."""
    _log.info("disk.has_room", free=free, reserve=reserve)


def duplicate_seen(email: UUID) -> None:
    """Exchange's message trace contains the email twice: it was delivered twice."""
    _log.warning("email.duplicate", email=email)


def trace_failed(tenant: str, *, reason: str) -> None:
    """Exchange's message trace could not be read; the next pass reads what is missing."""
    _log.warning("trace.failed", tenant=tenant, reason=reason)


def ndr_failed(mailbox: str, *, reason: str) -> None:
    """A mailbox could not be read for non-delivery reports; the next pass reads what is missing."""
    _log.warning("ndr.failed", mailbox=mailbox, reason=reason)


def trace_unseen(emails: int) -> None:
    """Held emails are not in Exchange's message trace: a person may retry them."""
    _log.info("trace.unseen", emails=emails)


def traces_lost(*, reason: str) -> None:
    """Spans could not be sent. They are sent again for a while and then discarded; nothing else is affected."""
    _log.warning("traces.lost", reason=reason)


def store_failed(what: str, error: BaseException, *, email: UUID | None = None) -> None:
    """A database operation failed. It is tried again, or answered with 503. `email` is the email concerned, if any."""
    details = {} if email is None else {"email": str(email)}
    _log.error("store.failed", what=what, **details, error=str(error))
