"""Diagnosis of every step from this machine to a sent message (`examine`), with the cause and fix of each failure.

It sends mail only on request, logs in to each mailbox at most once, discloses no secret and stores nothing.

    findings = await examine([target], report=print)
"""

from app.doctor.doctor import examine
from app.doctor.finding import Finding, Outcome, Step
from app.doctor.health_monitor import HealthMonitor, RelaySessions
from app.doctor.target import CheckTarget, StepTimeouts

__all__ = ["CheckTarget", "Finding", "HealthMonitor", "Outcome", "RelaySessions", "Step", "StepTimeouts", "examine"]
