"""Mailbox of this replica: its condition, updated by verdicts, and its limits, which admit messages. Sends nothing.

The rules of the condition are in app/mail/mailbox_health.py; this module applies clock, windows and circuit breaker.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol
from uuid import UUID

from app import logs
from app.clock import Clock
from app.mail import mailbox_health
from app.mail.explain import fill_placeholders
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.limits import MailboxLimits
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Action, Explanation, LoginMethod, Verdict
from app.mail.policy import explain_for_login
from app.mail.times import DAY, MINUTE
from app.relay.sliding_window import SlidingWindow
from app.store.mailboxes.records import HoldRequest

# Of the limits, kept free for urgent mail. A minute's part is used by the others as it passes; a day's part is not,
# because when the day's recipients are used up the next one is hours away.
_MINUTE_RESERVE_DIVISOR = 6
DAILY_RESERVE_DIVISOR = 50

# Of the circuit breaker.
DISTINCT_MESSAGES = 3  # messages
FAILURE_WINDOW = 600.0  # seconds
COOLDOWN = 1800.0  # seconds of the pause


@dataclass(frozen=True, slots=True)
class RelayLimits(MailboxLimits):
    """Limits of one mailbox, and its connections reserved for urgent mail if there is more than one."""

    urgent_connections: int = 1


class Headroom(NamedTuple):
    """Number of messages that may begin now, in total and non-urgent."""

    total: int
    non_urgent: int


class LimitUsage(NamedTuple):
    """Used share of the messages per minute (0..1), and recipients left of the day."""

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
    """Condition, limits and count of messages under way. Everything runs on the event loop; nothing awaits."""

    def __init__(
        self,
        name: str,
        limits: RelayLimits,
        clock: Clock,
        tenant: DailyQuota | None = None,
        method: LoginMethod | None = None,
    ) -> None:
        """`tenant` counts the daily recipients of all mailboxes, if they are limited. `method`: of the login."""
        self.name = name
        self.limits = limits
        self._clock = clock
        self._method = method
        self._condition = MailboxCondition(since=clock.now())
        self._breaker = CircuitBreaker()
        self._messages = SlidingWindow(limits.messages_per_minute, MINUTE)
        self._minute_reserve = min(limits.messages_per_minute // _MINUTE_RESERVE_DIVISOR, 10)
        self._recipients = daily_quota(limits.recipients_per_day)
        self._days: list[DailyQuota] = [self._recipients, *([tenant] if tenant else [])]

    # Condition.

    @property
    def condition(self) -> MailboxCondition:
        """Condition as of now."""
        if self._condition.until is not None or self._condition.grows_at is not None:  # else time changes nothing
            self._set_condition(mailbox_health.as_of(self._condition, self._clock.now(), self.limits.connections))
        return self._condition

    @property
    def is_open(self) -> bool:
        """True unless the mailbox is held or still paused."""
        return self.condition.health is Health.OPEN

    @property
    def probe_due(self) -> bool:
        """True if a held mailbox may retry its login (AUTH only, without a message)."""
        return self.condition.probe_due(self._clock.now())

    @property
    def connections(self) -> int:
        """Number of sessions that the condition allows."""
        return self._condition.connections or self.limits.connections

    @property
    def trial_limit(self) -> int | None:
        """Number of messages that may be claimed while the mailbox is half open; None: no such limit."""
        return 1 if self._condition.half_open else None

    def restore(self, condition: MailboxCondition | None, sent: Sequence[tuple[float, int]]) -> None:
        """Restore the stored condition and the sent messages, as (monotonic time, recipients)."""
        self._condition = condition or self._condition
        self._messages.restore((at, 1) for at, _ in sent)
        self._recipients.restore(sent)

    def observe(self, message: UUID | None, attempt: Attempt, verdicts: Sequence[Verdict]) -> None:
        """Update the condition from one attempt; `message` is None for a login without a message."""
        now = self._clock.now()
        condition = mailbox_health.after_attempt(
            self.condition, verdicts, now, during_login=attempt.during_login, limit=self.limits.connections
        )
        if message and (tripped := self._breaker.observe(message, verdicts, now)):
            condition = mailbox_health.pause(condition, tripped, COOLDOWN, now, during_login=False)
        self._set_condition(condition)

    def login_succeeded(self) -> None:
        """Update the condition after a successful login without a message."""
        self._set_condition(mailbox_health.after_login(self.condition, self._clock.now()))

    def apply_operator_request(self, request: HoldRequest) -> None:
        """Hold or release the mailbox for an operator."""
        now = self._clock.now()
        self._set_condition(
            mailbox_health.hold(self._condition, request.reason, now)
            if request.hold
            else mailbox_health.release(self._condition, now)
        )

    def _set_condition(self, condition: MailboxCondition) -> None:
        before = self._condition
        if condition.explanation is not None and condition.explanation is not before.explanation:
            if self._method:
                condition = replace(condition, explanation=explain_for_login(condition.explanation, self._method))
            condition = mailbox_health.explain_hold(condition)
        self._condition = condition
        if condition.health is not before.health:
            _log_change(self.name, condition)

    # Limits.

    @property
    def non_urgent_connections(self) -> int:
        """Number of sessions that non-urgent mail may use."""
        return max(1, self.connections - self.limits.urgent_connections)

    def headroom(self) -> Headroom:
        """Return how many messages may begin now."""
        now = self._clock.monotonic()
        if not self.is_open or any(day.available(now) < 1 for day in self._days):
            return Headroom(0, 0)
        room = max(0, self._messages.available(now) - self._unused_while_slowed)
        if any(day.available(now) <= day.reserve for day in self._days):
            return Headroom(room, 0)
        return Headroom(room, min(room, self._messages.available_after_reserve(now, self._minute_reserve)))

    def usage(self) -> LimitUsage:
        """Return how much of the limits is used."""
        now = self._clock.monotonic()
        used = self._messages.limit - self._messages.available(now)
        return LimitUsage(used / self._messages.limit, max(0, self._recipients.available(now)))

    @property
    def _unused_while_slowed(self) -> int:
        """Messages per minute not used while the condition reduces the number of sessions."""
        limits = self.limits
        return limits.messages_per_minute * (limits.connections - self.connections) // limits.connections

    def wait_time(self, recipients: int = 1) -> float:
        """Return the seconds until an urgent message may begin; 0 for now. Paused or held: until that may end."""
        if not self.is_open:
            until = self._condition.until
            return MINUTE if until is None else max(0.0, until - self._clock.now())
        now = self._clock.monotonic()
        minute = self._messages.wait_time(now, 1 + self._unused_while_slowed)
        return max(minute, *(day.wait_time(now, recipients) for day in self._days))

    def non_urgent_wait_time(self) -> float:
        """Return the seconds until a non-urgent message may begin; 0 for now."""
        now = self._clock.monotonic()
        minute = self._messages.wait_time_after_reserve(now, self._minute_reserve)
        minute = max(minute, self._messages.wait_time(now, 1 + self._unused_while_slowed))
        return max(minute, *(day.wait_time(now, day.reserve + 1) for day in self._days))

    def begin(self, recipients: int) -> bool:
        """Count a message as under way; False if the recipients exceed the day's limit now."""
        now = self._clock.monotonic()
        if any(day.available(now) < min(recipients, day.limit) for day in self._days):
            return False
        self._messages.begin()
        for day in self._days:
            day.begin(recipients)
        return True

    def cancel(self, recipients: int) -> None:
        """Undo `begin`: the message was not attempted."""
        self._messages.cancel()
        for day in self._days:
            day.cancel(recipients)

    def end(self, recipients: int) -> None:
        """Count the end of an attempt."""
        now = self._clock.monotonic()
        self._messages.end(now)
        for day in self._days:
            day.end(now, recipients)


class CircuitBreaker:
    """Recent errors of one mailbox by class, since its last relayed message. In memory only.

    After repeated permanent errors of one kind Exchange refuses all SMTP AUTH submissions of a mailbox for an
    unpublished time of about 24 hours ("Fix continuous error throttling for SMTP AUTH submissions", Microsoft
    Learn). The breaker pauses the mailbox before that.
    """

    def __init__(self) -> None:
        self._errors: defaultdict[str, dict[UUID, float]] = defaultdict(dict)

    def observe(self, message: UUID, verdicts: Iterable[Verdict], now: float) -> Explanation | None:
        """Count the verdicts of one message; return the reason to pause if they trip the breaker."""
        for verdict in verdicts:
            if verdict.action is Action.RELAYED:
                self._errors.clear()
            elif verdict.lockout_class and self._count(verdict.lockout_class, message, now) >= DISTINCT_MESSAGES:
                self._errors.clear()
                return _explanation(verdict)
        return None

    def _count(self, kind: str, message: UUID, now: float) -> int:
        errors = self._errors[kind]
        errors[message] = now
        for old in [id for id, at in errors.items() if at < now - FAILURE_WINDOW]:
            del errors[old]
        return len(errors)


def _explanation(verdict: Verdict) -> Explanation:
    return Explanation(
        f"{DISTINCT_MESSAGES} messages in a row got the same error, and Exchange locks out a mailbox that repeats it. "
        f"{verdict.explanation.summary}",
        verdict.explanation.fix,
    )


def daily_quota(recipients: int) -> SlidingWindow:
    """Return a limit of recipients in any 24 hours, with a reserve for urgent mail."""
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
