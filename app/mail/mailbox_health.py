"""Health of a mailbox, and the rules that change it. Times are epoch seconds. Pure.

Rule 1: after a refusal before or at AUTH the relay tries a login without a message; a successful login clears it.
Rule 2: after a refusal later in the session the relay sends one message at a time until one is accepted.
Rule 3: a held mailbox is probed with AUTH alone after PROBE_DELAYS, and not before the pause of its verdict ends.
Rule 4: a mailbox that an operator holds is released by an operator.
Rule 5: an accepted message clears all refusals.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from app.mail import retry_schedule
from app.mail.outcome.fix_steps import numbered, steps_of
from app.mail.outcome.verdict import Action, Explanation, Verdict
from app.mail.times import HOUR, MINUTE

PROBE_DELAYS: tuple[float, ...] = (5.0 * MINUTE, 1.0 * HOUR, 6.0 * HOUR)  # seconds
MAX_PAUSE = 5.0 * MINUTE  # seconds; limit of the growing pause. A rule's own pause may be longer.
GROW_AFTER = 60.0  # seconds between steps back to full concurrency
MAX_REASON = 200  # characters
_RELEASE = (
    "Run `postern mailboxes release <mailbox>`: it continues at once. Without that, also after a restart, it waits for "
    "its next attempt."
)


class Health(StrEnum):
    """Health of a mailbox."""

    OPEN = "open"
    PAUSED = "paused"  # until a point in time
    HELD = "held"  # until a login works again or an operator releases it


@dataclass(frozen=True, slots=True)
class MailboxCondition:
    """Condition of a mailbox. `until` is the end of a pause or the next probe; None: an operator decides."""

    health: Health = Health.OPEN
    since: float = 0.0
    until: float | None = None
    cooldown: float = 0.0  # seconds from the refusal to `until`
    explanation: Explanation | None = None
    refusals: int = 0  # in a row
    during_login: bool = False  # the last refusal came before or at AUTH
    connections: int | None = None  # allowed at once; None: all
    grows_at: float | None = None  # when one more is allowed

    @property
    def unproven(self) -> bool:
        """True if the next step is a login without a message."""
        return self.during_login and self.refusals > 0

    @property
    def half_open(self) -> bool:
        """True if the relay sends one message at a time until one is accepted."""
        return not self.during_login and self.refusals > 0

    def probe_due(self, now: float) -> bool:
        """Return True if it is time for the next probe of a held mailbox."""
        return self.health is Health.HELD and self.until is not None and now >= self.until


def as_of(condition: MailboxCondition, now: float, limit: int) -> MailboxCondition:
    """Return the condition at `now`: ends a pause, permits one more connection, corrects times after a clock change."""
    if condition.until is not None and condition.until - now > condition.cooldown:
        condition = replace(condition, until=now + condition.cooldown)  # the clock was set back
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
    """Return the condition after one attempt. `during_login`: the attempt ended before the login succeeded."""
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
    """Return the condition paused for `seconds`, or longer after repeated refusals. It never shortens a pause."""
    if condition.health is not Health.OPEN and not condition.probe_due(now):
        return condition  # a concurrent attempt reports the same problem
    refusals = condition.refusals + 1
    delay = retry_schedule.backoff(refusals, 0.0, first_delay=seconds, max_delay=max(MAX_PAUSE, seconds))
    if condition.health is Health.HELD:  # the probe met another problem: still held
        return replace(condition, until=now + delay, cooldown=delay)
    return replace(
        condition,
        health=Health.PAUSED,
        since=now,
        until=now + delay,
        cooldown=delay,
        explanation=why,
        refusals=refusals,
        during_login=during_login,
    )


def after_login(condition: MailboxCondition, now: float) -> MailboxCondition:
    """Return the condition after a successful login, which clears refusals during login only."""
    refusals = 0 if condition.during_login else condition.refusals
    if condition.health is Health.OPEN:
        return replace(condition, refusals=refusals, during_login=False)
    return replace(
        condition, health=Health.OPEN, since=now, until=None, explanation=None, refusals=refusals, during_login=False
    )


def one_line(reason: str) -> str:
    """Return the reason of a hold on one line. Raises ValueError with a sentence."""
    line = " ".join(reason.split())
    if len(line) > MAX_REASON:
        raise ValueError(f"It has {len(line)} characters; use at most {MAX_REASON}.")
    if not line.isprintable():
        raise ValueError("It contains unprintable characters; remove them.")
    return line


def hold(condition: MailboxCondition, reason: str, now: float) -> MailboxCondition:
    """Return the condition held until an operator releases it."""
    why = Explanation(
        f"An operator holds the mailbox: {reason}." if reason else "An operator holds the mailbox.",
        "Release it with `postern mailboxes release <mailbox>`. Its waiting emails are then sent automatically.",
    )
    return replace(
        condition, health=Health.HELD, since=now, until=None, explanation=why, refusals=0, during_login=False
    )


def release(condition: MailboxCondition, now: float) -> MailboxCondition:
    """Return the condition released by an operator: the next step is one login without a message."""
    return MailboxCondition(
        since=now, refusals=1, during_login=True, connections=condition.connections, grows_at=condition.grows_at
    )


def explain_hold(condition: MailboxCondition) -> MailboxCondition:
    """Return the condition with the last step of its fix, if Postern itself holds the mailbox: a release."""
    why = condition.explanation
    if condition.health is not Health.HELD or condition.until is None or why is None:
        return condition
    return replace(condition, explanation=Explanation(why.summary, with_release(why.fix)))


def with_release(fix: str) -> str:
    """Return the fix of a hold with its last step."""
    return numbered(*steps_of(fix), _RELEASE)


def _held(condition: MailboxCondition, verdict: Verdict, now: float, *, during_login: bool) -> MailboxCondition:
    probed = condition.probe_due(now)
    if condition.health is Health.HELD and not probed:
        return condition
    again = probed or condition.half_open
    refusals = condition.refusals + 1 if again else 1
    delay = max(PROBE_DELAYS[min(refusals, len(PROBE_DELAYS)) - 1], verdict.pause)
    return replace(
        condition,
        health=Health.HELD,
        since=condition.since if probed else now,
        until=now + delay,
        cooldown=delay,
        explanation=verdict.explanation,
        refusals=refusals,
        during_login=during_login,
    )


def _slower(condition: MailboxCondition, now: float, limit: int) -> MailboxCondition:
    fewer = max(1, (condition.connections or limit) // 2)
    return replace(condition, connections=fewer, grows_at=now + GROW_AFTER)
