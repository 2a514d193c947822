"""What all sessions share: the tenant's accounts, its limits and books, the memory, the script, the door."""

from dataclasses import dataclass, field

from app.clock import Clock
from app.simulator.account import Accounts
from app.simulator.door import Certificates, Door
from app.simulator.faults import Faults
from app.simulator.limits import Books
from app.simulator.memory import Memory

DOOR_HOST = "SY5P282CA0097.outlook.office365.com"  # as the banner and EHLO give it
FRONTEND = "SY5P282CA0097.AUSP282.PROD.OUTLOOK.COM"
BACKEND = "SYBP282MB2635.AUSP282.PROD.OUTLOOK.COM"


@dataclass(slots=True)
class Office:
    """The simulated Office 365 behind one port."""

    accounts: Accounts
    clock: Clock
    books: Books
    memory: Memory
    faults: Faults
    door: Door
    certificates: Certificates = field(default_factory=Certificates)
