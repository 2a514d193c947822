"""The doctor: every step between this machine and a relayed message, tried one by one, each with its cause and mend.

It sends no mail unless it is asked to, logs in once at most to each mailbox, and shows no secret. It stores nothing.

    findings = await examine([target], tell=print)
"""

from app.doctor.doctor import examine
from app.doctor.finding import Finding, Outcome, Step
from app.doctor.probes import HealthMonitor, Sessions
from app.doctor.target import CheckTarget, StepTimeouts

__all__ = ["CheckTarget", "Finding", "HealthMonitor", "Outcome", "Sessions", "Step", "StepTimeouts", "examine"]
