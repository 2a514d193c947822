"""One mailbox: its condition and its pace. Says how much may begin, and learns from verdicts. It sends nothing.

The rules of the condition are app/mail/health; here they meet the clock, the windows and the breaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from app import logs
from app.clock import Clock
from app.mail import mailbox_health
from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Verdict
from app.mail.time_units import DAY, MINUTE
from app.relay.circuit_breaker import COOLDOWN, CircuitBreaker
from app.relay.sliding_window import SlidingWindow
from app.store.mailboxes.records import HoldRequest

# Of the limits, kept free for urgent mail. A minute's part is used by the others as it passes; a day's part is not,
# because when the day's recipients are used up the next one is hours away.
_MINUTE_RESERVE_DIVISOR = 6
DAILY_RESERVE_DIVISOR = 50


@dataclass(frozen=True, slots=True)
class Limits:
    """What Exchange Online grants one mailbox (Microsoft Learn, "Exchange Online limits")."""

    connections: int = CONNECTIONS
    messages_per_minute: int = MESSAGES_PER_MINUTE
    recipients_per_day: int = RECIPIENTS_PER_DAY
    urgent_connections: int = 1  # kept for urgent mail, where there is more than one


class Headroom(NamedTuple):
    """How many messages may begin now: so many in all, and of those so many that are not urgent."""

    total: int
    non_urgent: int


class LimitUsage(NamedTuple):
    """How much of its own limits it has used up: a share of the minute's messages, and what is left of the day."""

    pace: float
    recipients_left: int


class DailyQuota(Protocol):
    """Recipients of a day, a mailbox's or a tenant's, counted as a Window does; `kept` of them for urgent mail."""

    limit: int

    @property
    def reserve(self) -> int: ...
    def available(self, now: float) -> int: ...
    def wait_time(self, now: float, weight: int = 1) -> float: ...
    def begin(self, weight: int = 1) -> None: ...
    def cancel(self, weight: int = 1) -> None: ...
    def end(self, now: float, weight: int = 1) -> None: ...


class Mailbox:
    """Condition, pace and the count of what is under way. Everything on the event loop, nothing awaits."""

    def __init__(self, name: str, limits: Limits, clock: Clock, tenant: DailyQuota | None = None) -> None:
        """`tenant` counts the recipients of a day over all mailboxes, if that is limited too."""
        self.name = name
        self.limits = limits
        self._clock = clock
        self._condition = MailboxCondition(since=clock.now())
        self._breaker = CircuitBreaker()
        self._messages = SlidingWindow(limits.messages_per_minute, MINUTE)
        self._minute_reserve = min(limits.messages_per_minute // _MINUTE_RESERVE_DIVISOR, 10)
        self._recipients = daily_quota(limits.recipients_per_day)
        self._days: list[DailyQuota] = [self._recipients, *([tenant] if tenant else [])]

    # Its condition.

    @property
    def condition(self) -> MailboxCondition:
        """Where it stands now."""
        if self._condition.until is not None or self._condition.grows_at is not None:  # else time changes nothing
            self._set_condition(mailbox_health.as_of(self._condition, self._clock.now(), self.limits.connections))
        return self._condition

    @property
    def is_open(self) -> bool:
        """True unless it is held, or paused with time left."""
        return self.condition.health is Health.OPEN

    @property
    def probe_due(self) -> bool:
        """True when, though held, it may try its login again (AUTH only, never a message)."""
        return self.condition.probe_due(self._clock.now())

    @property
    def connections(self) -> int:
        """How many sessions it may have at once just now."""
        return self._condition.connections or self.limits.connections

    @property
    def trial_limit(self) -> int | None:
        """How many messages may be in hand while it is on trial; None: as many as one likes."""
        return 1 if self._condition.half_open else None

    def restore(self, condition: MailboxCondition | None, sent: Sequence[tuple[float, int]]) -> None:
        """Take over where it stood, and what it has sent: of each message the moment (monotonic) and its recipients."""
        self._condition = condition or self._condition
        self._messages.restore((at, 1) for at, _ in sent)
        self._recipients.restore(sent)

    def observe(self, message: UUID | None, attempt: Attempt, verdicts: Sequence[Verdict]) -> None:
        """Learn from the end of one attempt; None: it was a login without a message."""
        now = self._clock.now()
        condition = mailbox_health.after_attempt(
            self.condition, verdicts, now, during_login=attempt.during_login, limit=self.limits.connections
        )
        if message and (tripped := self._breaker.observe(message, verdicts, now)):
            condition = mailbox_health.pause(condition, tripped, COOLDOWN, now, during_login=False)
        self._set_condition(condition)

    def login_succeeded(self) -> None:
        """A login without a message has worked."""
        self._set_condition(mailbox_health.after_login(self.condition, self._clock.now()))

    def apply_operator_request(self, request: HoldRequest) -> None:
        """A person holds or releases it."""
        now = self._clock.now()
        self._set_condition(
            mailbox_health.hold(self._condition, request.reason, now)
            if request.hold
            else mailbox_health.release(self._condition, now)
        )

    def _set_condition(self, condition: MailboxCondition) -> None:
        before, self._condition = self._condition, condition
        if condition.health is not before.health:
            _log_change(self.name, condition)

    # Its pace.

    @property
    def non_urgent_connections(self) -> int:
        """How many sessions may be busy with mail that is not urgent."""
        return max(1, self.connections - self.limits.urgent_connections)

    def headroom(self) -> Headroom:
        """How many messages may begin now."""
        now = self._clock.monotonic()
        if not self.is_open or any(day.available(now) < 1 for day in self._days):
            return Headroom(0, 0)
        room = max(0, self._messages.available(now) - self._unused_while_slowed)
        if any(day.available(now) <= day.reserve for day in self._days):
            return Headroom(room, 0)
        return Headroom(room, min(room, self._messages.available_after_reserve(now, self._minute_reserve)))

    def usage(self) -> LimitUsage:
        """How much of its limits is used up."""
        now = self._clock.monotonic()
        used = self._messages.limit - self._messages.available(now)
        return LimitUsage(used / self._messages.limit, max(0, self._recipients.available(now)))

    @property
    def _unused_while_slowed(self) -> int:
        """Messages of a minute that it does not use for a while: it was slowed down, to so many of its sessions."""
        limits = self.limits
        return limits.messages_per_minute * (limits.connections - self.connections) // limits.connections

    def wait_time(self, recipients: int = 1) -> float:
        """Seconds until an urgent message to so many recipients may begin; 0 for now. At rest: until that may end."""
        if not self.is_open:
            until = self._condition.until
            return MINUTE if until is None else max(0.0, until - self._clock.now())
        now = self._clock.monotonic()
        minute = self._messages.wait_time(now, 1 + self._unused_while_slowed)
        return max(minute, *(day.wait_time(now, recipients) for day in self._days))

    def non_urgent_wait_time(self) -> float:
        """Seconds until a message that is not urgent may begin; 0 for now."""
        now = self._clock.monotonic()
        minute = self._messages.wait_time_after_reserve(now, self._minute_reserve)
        minute = max(minute, self._messages.wait_time(now, 1 + self._unused_while_slowed))
        return max(minute, *(day.wait_time(now, day.reserve + 1) for day in self._days))

    def begin(self, recipients: int) -> bool:
        """A message to so many recipients is about to be offered; False when it does not fit now."""
        now = self._clock.monotonic()
        if any(day.available(now) < min(recipients, day.limit) for day in self._days):
            return False
        self._messages.begin()
        for day in self._days:
            day.begin(recipients)
        return True

    def cancel(self, recipients: int) -> None:
        """It was not offered after all."""
        self._messages.cancel()
        for day in self._days:
            day.cancel(recipients)

    def end(self, recipients: int) -> None:
        """Its offer is over."""
        now = self._clock.monotonic()
        self._messages.end(now)
        for day in self._days:
            day.end(now, recipients)


def daily_quota(recipients: int) -> SlidingWindow:
    """So many recipients in any day, with a part that is kept for urgent mail."""
    return SlidingWindow(recipients, DAY, reserve=recipients // DAILY_RESERVE_DIVISOR)


def _log_change(name: str, condition: MailboxCondition) -> None:
    why = fill_placeholders(condition.explanation, {"mailbox": name}) if condition.explanation else None
    match condition.health:
        case Health.OPEN:
            logs.mailbox_open(name)
        case Health.PAUSED:
            seconds = (condition.until or condition.since) - condition.since
            logs.mailbox_paused(name, seconds=seconds, reason=why.summary if why else "")
        case Health.HELD:
            logs.mailbox_held(name, reason=why.summary if why else "", fix=why.fix if why else "")
