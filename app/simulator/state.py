"""State of one simulated tenant, which all sessions share: accounts, limits and their usage, faults, records."""

from collections.abc import Iterable
from pathlib import Path

from app.clock import Clock
from app.simulator.accounts import Account, Accounts
from app.simulator.faults.fault import Fault
from app.simulator.faults.script import FaultScript
from app.simulator.limits import ExchangeLimits, UsageTracker
from app.simulator.recorder import ReceivedMessage, Recorder
from app.simulator.server_profile import Certificates, ServerProfile

_DEFAULT_LIMITS = ExchangeLimits()
_DEFAULT_PROFILE = ServerProfile()


class SimulatorState:
    """Simulated tenant. It keeps the last `max_records` records of each kind (None: all).

    Accepted messages are also written to `folder`. `profile` applies to new connections. Lists are oldest first:
    `messages` (with complete content, accepted and refused), `sessions`, `logins` (AUTH exchanges), `violations`.
    """

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        clock: Clock | None = None,
        limits: ExchangeLimits = _DEFAULT_LIMITS,
        profile: ServerProfile = _DEFAULT_PROFILE,
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        max_records: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.accounts = Accounts(accounts)
        self.clock = clock or Clock()
        self.usage = UsageTracker(limits)
        self.faults = FaultScript(seed)
        for fault in faults:
            self.faults.add(fault)
        self.profile = profile
        self.certificates = Certificates()
        self.recorder = Recorder(max_records, folder)
        self.messages = self.recorder.messages
        self.sessions = self.recorder.sessions
        self.logins = self.recorder.logins
        self.violations = self.recorder.violations
        self.wait_for = self.recorder.wait_for

    @property
    def accepted(self) -> list[ReceivedMessage]:
        """Accepted messages."""
        return [message for message in self.messages if message.accepted]

    @property
    def limits(self) -> ExchangeLimits:
        """Sending limits. Changed timeouts apply to new sessions."""
        return self.usage.limits

    @limits.setter
    def limits(self, limits: ExchangeLimits) -> None:
        self.usage.limits = limits

    def clear_records(self) -> None:
        """Delete records and usage. Connections and faults remain."""
        self.recorder.clear()
        self.usage.clear()

    def reset(self) -> None:
        """Delete records, usage and faults."""
        self.clear_records()
        self.faults.clear()
