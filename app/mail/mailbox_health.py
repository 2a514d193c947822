"""The health of a mailbox as a value, and the pure rules by which it changes. Times are epoch seconds.

Rule 1: what is refused on the way in (connect to AUTH) is tried again without a message, and a login proves it mended.
Rule 2: what is refused behind the login is proved mended only by a message that is relayed: until then one at a time.
Rule 3: a held mailbox is probed by AUTH alone, 5 minutes, 1 hour and then every 6 hours after the last refusal, and
not sooner than its verdict says.
Rule 4: a mailbox that a person holds is opened by a person.
Rule 5: a message that is relayed ends all doubt.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from app.mail import retry_schedule
from app.mail.outcome.verdict import Action, Explanation, Verdict
from app.mail.time_units import HOUR, MINUTE

PROBE_DELAYS: tuple[float, ...] = (
    5.0 * MINUTE,
    1.0 * HOUR,
    6.0 * HOUR,
)  # seconds
MAX_PAUSE = 300.0  # seconds that repeated refusals grow to; a rule's own pause may be longer
GROW_AFTER = 60.0  # seconds between steps back to full concurrency
MAX_REASON = 200  # characters


class Health(StrEnum):
    """Whether a mailbox relays."""

    OPEN = "open"
    PAUSED = "paused"  # until a moment
    HELD = "held"  # until its login works again, or a person opens it


@dataclass(frozen=True, slots=True)
class MailboxCondition:
    """Where a mailbox stands. `until` is the end of a pause or the next probe; None: a person decides."""

    health: Health = Health.OPEN
    since: float = 0.0
    until: float | None = None
    cooldown: float = 0.0  # seconds: how long `until` was set for
    explanation: Explanation | None = None
    refusals: int = 0  # in a row
    during_login: bool = False  # the last refusal came on the way in
    connections: int | None = None  # allowed at once; None: all
    grows_at: float | None = None  # when one more is allowed

    @property
    def unproven(self) -> bool:
        """The next step is a login without a message."""
        return self.during_login and self.refusals > 0

    @property
    def half_open(self) -> bool:
        """One message at a time until one is relayed."""
        return not self.during_login and self.refusals > 0

    def probe_due(self, now: float) -> bool:
        """True when a held mailbox may try its login again."""
        return self.health is Health.HELD and self.until is not None and now >= self.until


def as_of(condition: MailboxCondition, now: float, limit: int) -> MailboxCondition:
    """The condition as time alone has changed it: a pause over, one more connection allowed, a clock set back."""
    if condition.until is not None and condition.until - now > condition.cooldown:
        condition = replace(condition, until=now + condition.cooldown)  # what was to last so long lasts no longer
    if condition.grows_at is not None and condition.grows_at - now > GROW_AFTER:
        condition = replace(condition, grows_at=now + GROW_AFTER)
    if condition.health is Health.PAUSED and condition.until is not None and now >= condition.until:
        condition = replace(condition, health=Health.OPEN, since=now, until=None, explanation=None)
    if condition.connections is not None and condition.grows_at is not None and now >= condition.grows_at:
        more = condition.connections + 1
        full = more >= limit
        condition = replace(condition, connections=None if full else more, grows_at=None if full else now + GROW_AFTER)
    return condition


def after_attempt(
    condition: MailboxCondition, verdicts: Iterable[Verdict], now: float, *, during_login: bool, limit: int
) -> MailboxCondition:
    """The condition after one attempt; `during_login`: it ended before the login was done."""
    for verdict in verdicts:
        if verdict.reduce_concurrency:
            condition = _slower(condition, now, limit)
        if verdict.hold:
            return _held(condition, verdict, now, during_login=during_login)
        if verdict.pause:
            return pause(condition, verdict.explanation, verdict.pause, now, during_login=during_login)
        if verdict.action is Action.RELAYED and condition.health is Health.OPEN and condition.refusals:
            condition = replace(condition, refusals=0, during_login=False)
    return condition


def pause(
    condition: MailboxCondition, why: Explanation, seconds: float, now: float, *, during_login: bool
) -> MailboxCondition:
    """At rest for so many seconds, longer if this was refused before, but never shorter than it rests already."""
    if condition.health is not Health.OPEN and not condition.probe_due(now):
        return condition  # an offer that was under way says the same again
    refusals = condition.refusals + 1
    rest = retry_schedule.backoff(refusals, 0.0, first_delay=seconds, max_delay=max(MAX_PAUSE, seconds))
    if condition.health is Health.HELD:  # the probe met other trouble: still held, probed again
        return replace(condition, until=now + rest, cooldown=rest)
    return replace(
        condition,
        health=Health.PAUSED,
        since=now,
        until=now + rest,
        cooldown=rest,
        explanation=why,
        refusals=refusals,
        during_login=during_login,
    )


def after_login(condition: MailboxCondition, now: float) -> MailboxCondition:
    """A login has worked. It mends what was wrong on the way in; what was wrong behind it stays to be proved."""
    refusals = 0 if condition.during_login else condition.refusals
    if condition.health is Health.OPEN:
        return replace(condition, refusals=refusals, during_login=False)
    return replace(
        condition, health=Health.OPEN, since=now, until=None, explanation=None, refusals=refusals, during_login=False
    )


def one_line(reason: str) -> str:
    """Why a person holds a mailbox, as it is shown. Raises ValueError with a sentence."""
    line = " ".join(reason.split())
    if len(line) > MAX_REASON:
        raise ValueError(f"It has {len(line)} characters; give {MAX_REASON} at most.")
    if not line.isprintable():
        raise ValueError("It has characters that cannot be shown; remove them.")
    return line


def hold(condition: MailboxCondition, reason: str, now: float) -> MailboxCondition:
    """At rest until a person opens it."""
    why = Explanation(
        f"A person holds the mailbox: {reason}." if reason else "A person holds the mailbox.",
        "Open it with `postern mailboxes release <mailbox>`; its messages go by themselves afterwards.",
    )
    return replace(
        condition, health=Health.HELD, since=now, until=None, explanation=why, refusals=0, during_login=False
    )


def release(condition: MailboxCondition, now: float) -> MailboxCondition:
    """A person opens it: the next step is one login without a message."""
    return MailboxCondition(
        since=now, refusals=1, during_login=True, connections=condition.connections, grows_at=condition.grows_at
    )


def _held(condition: MailboxCondition, verdict: Verdict, now: float, *, during_login: bool) -> MailboxCondition:
    probed = condition.probe_due(now)
    if condition.health is Health.HELD and not probed:
        return condition
    again = probed or condition.half_open
    refusals = condition.refusals + 1 if again else 1
    rest = max(PROBE_DELAYS[min(refusals, len(PROBE_DELAYS)) - 1], verdict.pause)
    return replace(
        condition,
        health=Health.HELD,
        since=condition.since if probed else now,
        until=now + rest,
        cooldown=rest,
        explanation=verdict.explanation,
        refusals=refusals,
        during_login=during_login,
    )


def _slower(condition: MailboxCondition, now: float, limit: int) -> MailboxCondition:
    fewer = max(1, (condition.connections or limit) // 2)
    return replace(condition, connections=fewer, grows_at=now + GROW_AFTER)
