"""State that the sessions of one simulator share."""

from dataclasses import dataclass, field

from app.clock import Clock
from app.simulator.accounts import Accounts
from app.simulator.faults.script import FaultScript
from app.simulator.limits import UsageTracker
from app.simulator.recorder import Recorder
from app.simulator.server_profile import Certificates, ServerProfile


@dataclass(slots=True)
class SimulatorState:
    """Accounts, usage of the limits, records, faults and profile of one simulator."""

    accounts: Accounts
    clock: Clock
    usage: UsageTracker
    recorder: Recorder
    faults: FaultScript
    profile: ServerProfile
    certificates: Certificates = field(default_factory=Certificates)
