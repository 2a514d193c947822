"""State that all sessions share: accounts, usage of limits, recorder, faults, profile."""

from dataclasses import dataclass, field

from app.clock import Clock
from app.simulator.account import Accounts
from app.simulator.faults import Faults
from app.simulator.limits import UsageLedger
from app.simulator.recorder import Recorder
from app.simulator.server_profile import Certificates, ServerProfile

SMTP_HOST = "SY5P282CA0097.outlook.office365.com"  # in the greeting and in EHLO
FRONTEND = "SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM"
BACKEND = "SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM"


@dataclass(slots=True)
class SimulatorState:
    """State of one simulated server."""

    accounts: Accounts
    clock: Clock
    usage: UsageLedger
    recorder: Recorder
    faults: Faults
    profile: ServerProfile
    certificates: Certificates = field(default_factory=Certificates)
