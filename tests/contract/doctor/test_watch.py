"""`postern check --watch`: repeated until no step fails, without a lockout; only changes are reported."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.clock import Clock
from app.doctor.doctor import examine
from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.target import CheckTarget
from app.doctor.watch import LOGIN_INTERVAL, watch
from app.simulator import Fault
from tests.contract.doctor.fixtures import MAILBOX, DoctorEnvironment, password
from tests.contract.doctor.test_command import Check, check
from tests.contract.doctor.test_several import OTHER, another

__all__ = ["check"]
MINUTE = 60.0


@dataclass(frozen=True)
class RoundClock(Clock):
    """Clock that jumps over each wait, and runs `after` at its end."""

    after: Callable[[int], None] = lambda _: None
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Return the sum of the waits."""
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        """Jump."""
        self.waits.append(seconds)
        self.after(len(self.waits))


async def rounds(targets: Sequence[CheckTarget], clock: Clock) -> list[list[Finding]]:
    """Return the reports of each round that changed something."""
    reports: list[list[Finding]] = []

    async def once(some: Sequence[CheckTarget]) -> list[Finding]:
        return await examine(some) if some else []

    await watch(once, targets, lambda changed: reports.append([*changed]), clock, MINUTE)
    return reports


async def test_it_ends_when_nothing_fails(environment: DoctorEnvironment) -> None:
    """At once, if all is well; warnings do not count."""
    del environment.names.zone["_dmarc.contoso.com", "TXT"]
    clock = RoundClock()
    [report] = await rounds([environment.target()], clock)
    assert clock.waits == []
    assert [one.step for one in report if one.outcome is StepOutcome.WARN] == [Step.DMARC]


async def test_a_failed_login_is_repeated_after_five_minutes(environment: DoctorEnvironment) -> None:
    """Rounds in between do not log in, so the mailbox is not locked out."""
    password(environment)
    environment.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1))
    clock = RoundClock()
    first, second = await rounds([environment.target()], clock)
    assert [one.step for one in first if one.outcome is StepOutcome.FAILED] == [Step.AUTH]
    assert {(one.step, one.outcome) for one in second} == {
        (Step.AUTH, StepOutcome.OK),
        (Step.SENDER, StepOutcome.OK),
    }
    assert sum(clock.waits) == LOGIN_INTERVAL
    assert [login.ok for login in environment.simulator.logins] == [False, True]


async def test_only_a_change_is_reported(environment: DoctorEnvironment) -> None:
    """Rounds with the same failure report nothing; the DNS record that appears is one finding."""
    record = environment.names.zone.pop(("contoso.com", "TXT"))

    def publish(number: int) -> None:
        if number == 3:
            environment.names.zone["contoso.com", "TXT"] = record

    clock = RoundClock(after=publish)
    _, changed = await rounds([environment.target()], clock)
    assert clock.waits == [MINUTE] * 3
    assert [(one.step, one.outcome, one.about) for one in changed] == [(Step.SPF, StepOutcome.OK, "contoso.com")]


async def test_a_mailbox_that_passed_is_left_alone(environment: DoctorEnvironment) -> None:
    """It is not logged in again while another one fails."""
    password(environment)
    first = environment.target()
    other = another(environment, first, OTHER)
    environment.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=1, mailbox=OTHER))
    await rounds([first, other], RoundClock())
    assert [login.mailbox for login in environment.simulator.logins].count(MAILBOX) == 1


async def test_the_command_ends_with_0(environment: DoctorEnvironment, check: Check) -> None:
    """It prints the findings of the first round, for a program one a line."""
    result = await check("--watch", "--mailbox", MAILBOX, "--json")
    assert result.exit_code == 0, result.output
    steps = [json.loads(line)["step"] for line in result.stdout.splitlines()]
    assert steps[0] == "settings"
    assert "auth" in steps
    text = await check("--watch", "--mailbox", MAILBOX)
    assert "✓ auth" in text.stdout
    assert environment.simulator.messages == []


def as_in_a_terminal() -> None:
    """Let SIGINT have its effect, also if the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_ctrl_c_ends_it_with_130(environment: DoctorEnvironment, check: Check) -> None:
    """While a step fails, it waits for the next round."""
    environment.simulator.faults.add(Fault.named("smtp_auth_disabled_mailbox", times=None))
    await check("--mailbox", MAILBOX)  # writes the settings
    host, port = environment.names.address
    line = ("check", "--watch", "--json", "--mailbox", MAILBOX, "--name-server", f"{host}:{port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "app", *line), stdout=asyncio.subprocess.PIPE, preexec_fn=as_in_a_terminal
    )
    assert process.stdout is not None
    while json.loads(await process.stdout.readline())["step"] != "ptr":
        pass  # the last finding of the first round
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130


async def test_a_repeated_check_sends_no_mail_and_has_a_bounded_interval(check: Check) -> None:
    """Wrong usage."""
    for wrong in (("--send-test", "ada@example.net"), ("--interval", "9"), ("--interval", "3601")):
        result = await check("--watch", *wrong)
        assert result.exit_code == 2, result.output
