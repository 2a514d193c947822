"""One mailbox: its health and its pace. Says how much may begin, and learns from verdicts. It sends nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app import logs
from app.clock import Clock
from app.mail import schedule
from app.mail.verdict import Action, Explanation, Verdict
from app.relay.pace import Window
from app.store.records import Sent

MINUTE = 60.0
DAY = 86_400.0
PROBES = (300.0, 3600.0, 21_600.0)  # seconds from a refused login to the next: one failed login is one failed login


class Health(StrEnum):
    """Whether the mailbox relays."""

    OPEN = "open"
    PAUSED = "paused"  # until a moment
    HELD = "held"  # until a probe of the login works, or a person says so


@dataclass(frozen=True, slots=True)
class Limits:
    """What Exchange Online grants one mailbox (Microsoft Learn, "Exchange Online limits")."""

    connections: int = 3
    messages_per_minute: int = 30
    recipients_per_day: int = 10_000


class Mailbox:
    """Health, pace and the count of what is under way. Everything on the event loop, nothing awaits."""

    def __init__(self, name: str, limits: Limits, clock: Clock) -> None:
        self.name = name
        self.limits = limits
        self.health = Health.OPEN
        self.reason: Explanation | None = None
        self._clock = clock
        self._until = 0.0  # monotonic; when a pause ends or the next probe is due
        self._failures = 0  # in a row, to reach or to enter the upstream
        self._messages = Window(limits.messages_per_minute, MINUTE)
        self._recipients = Window(limits.recipients_per_day, DAY)

    @property
    def windows(self) -> tuple[float, float]:
        """The periods in seconds for which `restore` wants to know what was sent."""
        return MINUTE, DAY

    def restore(self, sent: Sequence[Sent]) -> None:
        """Count what was sent before this process began (wall-clock times, in order)."""
        ahead = self._clock.monotonic() - self._clock.now()
        now = self._clock.monotonic()
        for one in sorted(sent, key=lambda sent: sent.at):
            at = min(one.at + ahead, now)
            self._messages.restore(at)
            self._recipients.restore(at, one.recipients)

    def room(self) -> int:
        """How many messages may begin now."""
        now = self._clock.monotonic()
        if not self.relays or self._recipients.room(now) < 1:
            return 0
        return max(0, self._messages.room(now))

    def wait(self, recipients: int = 1) -> float:
        """Seconds until a message to so many recipients may begin; 0 for now. A held mailbox: until its probe."""
        now = self._clock.monotonic()
        if self.health is not Health.OPEN:
            return max(0.0, self._until - now)
        return max(self._messages.wait(now), self._recipients.wait(now, recipients))

    @property
    def relays(self) -> bool:
        """True unless held, or paused with time left. A pause ends by itself."""
        if self.health is Health.PAUSED and self._clock.monotonic() >= self._until:
            self._open()
        return self.health is Health.OPEN

    @property
    def probe_due(self) -> bool:
        """True when a held mailbox may try its login again (AUTH only, never a message)."""
        return self.health is Health.HELD and self._clock.monotonic() >= self._until

    @property
    def unproven(self) -> bool:
        """True after a refusal: the next step is a login without a message."""
        return self._failures > 0

    def begin(self, recipients: int) -> bool:
        """A message to so many recipients is about to be offered; False when it does not fit now."""
        now = self._clock.monotonic()
        if self._recipients.room(now) < min(recipients, self.limits.recipients_per_day):
            return False
        self._messages.begin()
        self._recipients.begin(recipients)
        return True

    def cancel(self, recipients: int) -> None:
        """It was not offered after all."""
        self._messages.cancel()
        self._recipients.cancel(recipients)

    def end(self, recipients: int) -> None:
        """Its offer is over."""
        now = self._clock.monotonic()
        self._messages.end(now)
        self._recipients.end(now, recipients)

    def observe(self, verdicts: Iterable[Verdict]) -> None:
        """Learn from the judgement on one attempt."""
        for verdict in verdicts:
            if verdict.hold:
                return self._hold(verdict)
            if verdict.pause:
                return self._pause(verdict)
            if verdict.action is Action.RELAYED:
                self._failures = 0
        return None

    def entered(self) -> None:
        """A login worked: whatever was wrong with it is over."""
        self._failures = 0
        if self.health is not Health.OPEN:
            self._open()

    def _hold(self, verdict: Verdict) -> None:
        probed = self.probe_due
        if self.health is Health.HELD and not probed:
            return  # an offer that was under way when the mailbox was held says the same again
        self._failures = self._failures + 1 if probed else 1
        self.health, self.reason = Health.HELD, verdict.explanation
        self._until = self._clock.monotonic() + PROBES[min(self._failures, len(PROBES)) - 1]
        if not probed:
            logs.mailbox_held(self.name, reason=verdict.explanation.summary, fix=verdict.explanation.fix)

    def _pause(self, verdict: Verdict) -> None:
        now = self._clock.monotonic()
        if self.health is not Health.OPEN and now < self._until:
            return
        self._failures += 1
        seconds = schedule.backoff(self._failures, 0.0, first=verdict.pause)
        self._until = now + seconds
        if self.health is not Health.HELD:
            self.health, self.reason = Health.PAUSED, verdict.explanation
            logs.mailbox_paused(self.name, seconds=seconds, reason=verdict.explanation.summary)

    def _open(self) -> None:
        self.health, self.reason = Health.OPEN, None
        logs.mailbox_open(self.name)
