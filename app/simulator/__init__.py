"""A pretend Office 365: its dialogue, its limits, its faults. For tests, in this project and in its users' CI.

It asserts nothing; it remembers what it saw, and plays the fault script it is given:

    async with Simulator([Account("noreply@contoso.com", "password")]) as sim:
        sim.faults.add(Fault.named("concurrent_connections", times=1))
        sim.faults.add(Fault(Point.ACCEPTED, Drop(), nth=3))
        ...  # a client submits to sim.host, sim.port and trusts sim.ca_pem
        await sim.wait_for(3, timeout=5)
        assert sim.violations == []
"""

from app.simulator import replies
from app.simulator.account import Account
from app.simulator.actions import (
    Call,
    Delay,
    Drop,
    Endless,
    Garbage,
    Half,
    Kill,
    LongLine,
    Moment,
    Reset,
    Say,
    Silence,
    SlowRead,
    SlowWrite,
)
from app.simulator.door import Certificate, Door
from app.simulator.faults import Armed, Fault, Faults, Point, load
from app.simulator.limits import Limits, OverMinute
from app.simulator.memory import Login, Seen, SessionSeen, Violation
from app.simulator.server import Simulator

__all__ = [
    "Account",
    "Armed",
    "Call",
    "Certificate",
    "Delay",
    "Door",
    "Drop",
    "Endless",
    "Fault",
    "Faults",
    "Garbage",
    "Half",
    "Kill",
    "Limits",
    "Login",
    "LongLine",
    "Moment",
    "OverMinute",
    "Point",
    "Reset",
    "Say",
    "Seen",
    "SessionSeen",
    "Silence",
    "Simulator",
    "SlowRead",
    "SlowWrite",
    "Violation",
    "load",
    "replies",
]
