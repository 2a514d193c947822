"""Simulator of Exchange Online's SMTP submission for tests and developers: replies, sending limits, faults.

It records sessions and messages and applies a fault script:

    async with Simulator([Account("noreply@contoso.com", "password")]) as sim:
        sim.faults.add(Fault.named("concurrent_connections", times=1))
        sim.faults.add(Fault(Point.ACCEPTED, Drop(), nth=3))
        ...  # a client connects to sim.host, sim.port and trusts sim.ca_pem
        await sim.wait_for(3, timeout=5)
        assert sim.violations == []
"""

from app.simulator.accounts import Account
from app.simulator.faults.actions import (
    Call,
    Delay,
    Drop,
    Endless,
    FaultContext,
    Garbage,
    Half,
    Kill,
    LongLine,
    Reset,
    Say,
    Silence,
    SlowRead,
    SlowWrite,
)
from app.simulator.faults.fault import Fault, Point
from app.simulator.faults.script import FaultScript, ScriptedFault, find_faults, load_faults
from app.simulator.limits import ExchangeLimits, OverMinute
from app.simulator.protocol import replies
from app.simulator.recorder import Login, ReceivedMessage, RecordedSession, Violation
from app.simulator.server import Simulator
from app.simulator.server_profile import Certificate, ServerProfile
