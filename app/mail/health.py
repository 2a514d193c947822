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

from app.mail import schedule
from app.mail.verdict import Action, Explanation, Verdict

PROBES = (300.0, 3600.0, 21_600.0)  # seconds; one failed login is one failed login
LONGEST_PAUSE = 300.0  # seconds that repeated refusals grow to; a rule's own pause may be longer
GROW = 60.0  # seconds between steps back to full concurrency
LONGEST_REASON = 200  # characters


class Health(StrEnum):
    """Whether a mailbox relays."""

    OPEN = "open"
    PAUSED = "paused"  # until a moment
    HELD = "held"  # until its login works again, or a person opens it


@dataclass(frozen=True, slots=True)
class Condition:
    """Where a mailbox stands. `until` is the end of a pause or the next probe; None: a person decides."""

    health: Health = Health.OPEN
    since: float = 0.0
    until: float | None = None
    rest: float = 0.0  # seconds: how long `until` was set for
    explanation: Explanation | None = None
    refusals: int = 0  # in a row
    entering: bool = False  # the last refusal came on the way in
    connections: int | None = None  # allowed at once; None: all
    grows_at: float | None = None  # when one more is allowed

    @property
    def unproven(self) -> bool:
        """The next step is a login without a message."""
        return self.entering and self.refusals > 0

    @property
    def trial(self) -> bool:
        """One message at a time until one is relayed."""
        return not self.entering and self.refusals > 0

    def probe_due(self, now: float) -> bool:
        """True when a held mailbox may try its login again."""
        return self.health is Health.HELD and self.until is not None and now >= self.until


def at(condition: Condition, now: float, limit: int) -> Condition:
    """The condition as time alone has changed it: a pause over, one more connection allowed, a clock set back."""
    if condition.until is not None and condition.until - now > condition.rest:
        condition = replace(condition, until=now + condition.rest)  # what was to last so long lasts no longer
    if condition.grows_at is not None and condition.grows_at - now > GROW:
        condition = replace(condition, grows_at=now + GROW)
    if condition.health is Health.PAUSED and condition.until is not None and now >= condition.until:
        condition = replace(condition, health=Health.OPEN, since=now, until=None, explanation=None)
    if condition.connections is not None and condition.grows_at is not None and now >= condition.grows_at:
        more = condition.connections + 1
        full = more >= limit
        condition = replace(condition, connections=None if full else more, grows_at=None if full else now + GROW)
    return condition


def after(condition: Condition, verdicts: Iterable[Verdict], now: float, *, entering: bool, limit: int) -> Condition:
    """The condition after one attempt; `entering`: it ended before the login was done."""
    for verdict in verdicts:
        if verdict.slow:
            condition = _slower(condition, now, limit)
        if verdict.hold:
            return _held(condition, verdict, now, entering=entering)
        if verdict.pause:
            return paused(condition, verdict.explanation, verdict.pause, now, entering=entering)
        if verdict.action is Action.RELAYED and condition.health is Health.OPEN and condition.refusals:
            condition = replace(condition, refusals=0, entering=False)
    return condition


def paused(condition: Condition, why: Explanation, seconds: float, now: float, *, entering: bool) -> Condition:
    """At rest for so many seconds, longer if this was refused before, but never shorter than it rests already."""
    if condition.health is not Health.OPEN and not condition.probe_due(now):
        return condition  # an offer that was under way says the same again
    refusals = condition.refusals + 1
    rest = schedule.backoff(refusals, 0.0, first=seconds, longest=max(LONGEST_PAUSE, seconds))
    if condition.health is Health.HELD:  # the probe met other trouble: still held, probed again
        return replace(condition, until=now + rest, rest=rest)
    return replace(
        condition,
        health=Health.PAUSED,
        since=now,
        until=now + rest,
        rest=rest,
        explanation=why,
        refusals=refusals,
        entering=entering,
    )


def entered(condition: Condition, now: float) -> Condition:
    """A login has worked. It mends what was wrong on the way in; what was wrong behind it stays to be proved."""
    refusals = 0 if condition.entering else condition.refusals
    if condition.health is Health.OPEN:
        return replace(condition, refusals=refusals, entering=False)
    return replace(
        condition, health=Health.OPEN, since=now, until=None, explanation=None, refusals=refusals, entering=False
    )


def one_line(reason: str) -> str:
    """Why a person holds a mailbox, as it is shown. Raises ValueError with a sentence."""
    line = " ".join(reason.split())
    if len(line) > LONGEST_REASON:
        raise ValueError(f"It has {len(line)} characters; give {LONGEST_REASON} at most.")
    if not line.isprintable():
        raise ValueError("It has characters that cannot be shown; remove them.")
    return line


def held_by_person(condition: Condition, reason: str, now: float) -> Condition:
    """At rest until a person opens it."""
    why = Explanation(
        f"A person holds the mailbox: {reason}." if reason else "A person holds the mailbox.",
        "Open it with `postern mailboxes release <mailbox>`; its messages go by themselves afterwards.",
    )
    return replace(condition, health=Health.HELD, since=now, until=None, explanation=why, refusals=0, entering=False)


def released(condition: Condition, now: float) -> Condition:
    """A person opens it: the next step is one login without a message."""
    return Condition(
        since=now, refusals=1, entering=True, connections=condition.connections, grows_at=condition.grows_at
    )


def _held(condition: Condition, verdict: Verdict, now: float, *, entering: bool) -> Condition:
    probed = condition.probe_due(now)
    if condition.health is Health.HELD and not probed:
        return condition
    again = probed or condition.trial
    refusals = condition.refusals + 1 if again else 1
    rest = max(PROBES[min(refusals, len(PROBES)) - 1], verdict.pause)
    return replace(
        condition,
        health=Health.HELD,
        since=condition.since if probed else now,
        until=now + rest,
        rest=rest,
        explanation=verdict.explanation,
        refusals=refusals,
        entering=entering,
    )


def _slower(condition: Condition, now: float, limit: int) -> Condition:
    fewer = max(1, (condition.connections or limit) // 2)
    return replace(condition, connections=fewer, grows_at=now + GROW)
