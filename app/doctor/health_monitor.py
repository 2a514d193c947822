"""Health of this process for /readyz and the console: a quick check of the database, a deep check of every login.

The quick check makes one commit and reads a few rows, at most once per second. The deep check runs the doctor's steps
up to the login, at most once per minute. Requests in between share the last result.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app import logs
from app.cached_result import CachedResult
from app.clock import Clock
from app.doctor.finding import Finding, Step, StepOutcome, ok, skipped
from app.doctor.target import CheckTarget
from app.mail.mailbox_health import PROBE_DELAYS, Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import (
    DISK_ALMOST_FULL,
    DISK_FULL,
    NO_DATABASE,
    OTHER_SCHEMA,
    Check,
    DeepCheck,
    Readiness,
    Reason,
    mailbox_reasons,
)
from app.mail.times import iso
from app.store import Store, StoreUnavailableError

READINESS_TTL = 1.0  # seconds that a result is reused
DEEP_CHECK_TTL = 60.0  # seconds that a result is reused
STORE_TIMEOUT = 5.0  # seconds for the queries of the quick check
DEEP_CHECK_TIMEOUT = 30.0  # seconds
LOW_DISK_BYTES = 256 * 1024 * 1024  # free bytes below which the readiness is degraded


@dataclass(frozen=True, slots=True)
class RelaySessions:
    """Sessions of this process's relay, by mailbox name.

    `logged_in`: a session is open, which proves that the login works. `slot` reserves one of the mailbox's connections
    for a further login; False if none is free here.
    """

    logged_in: Callable[[str], bool]
    slot: Callable[[str], AbstractContextManager[bool]]


@dataclass(frozen=True, slots=True)
class _FailedLogin:
    """Failed login of a deep check. It is not repeated before `until`, unless the mailbox's condition changes."""

    finding: Finding
    condition_since: float | None
    until: float  # epoch seconds
    count: int


class HealthMonitor:
    """Readiness and deep check of one process.

    `disk` is the folder of an embedded database. `is_disk_full` returns True while it is too full to accept emails.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        targets: Sequence[CheckTarget],
        sessions: RelaySessions,
        disk: Path | None = None,
        is_disk_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._targets = targets
        self._sessions = sessions
        self._disk = disk
        self._is_disk_full = is_disk_full
        self._conditions: Mapping[str, MailboxCondition | None] = {}  # of the last quick check
        self._failed_logins: dict[str, _FailedLogin] = {}
        self._checked_at: dict[str, float] = {}  # last deep check of each mailbox, in epoch seconds
        self._readiness = CachedResult(self._check_readiness, READINESS_TTL, clock.monotonic)
        self._deep_check = CachedResult(self._check_logins, DEEP_CHECK_TTL, clock.monotonic)

    async def readiness(self) -> Readiness:
        """Return the readiness, at most READINESS_TTL old."""
        return await self._readiness.get()

    async def deep_check(self) -> DeepCheck:
        """Return the findings about every login, at most DEEP_CHECK_TTL old. No mail is sent.

        Raises StoreUnavailableError: without the database it is unknown which logins have failed already.
        """
        if any(reason.check is Check.STORE for reason in (await self.readiness()).reasons):
            raise StoreUnavailableError(NO_DATABASE.explanation.summary)
        return await self._deep_check.get()

    def close(self) -> None:
        """Cancel checks under way."""
        self._readiness.close()
        self._deep_check.close()

    async def _check_readiness(self) -> Readiness:
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self._store.write_probe()
                is_our_schema = await self._store.has_our_schema()
                conditions = self._conditions = await self._read_conditions()
        except StoreUnavailableError as error:
            logs.store_failed("readiness", error)
            return Readiness((NO_DATABASE,), relaying=False)
        except TimeoutError:
            logs.store_failed("readiness", StoreUnavailableError(f"It did not answer in {STORE_TIMEOUT:g} s."))
            return Readiness((NO_DATABASE,), relaying=False)
        reasons, relaying = mailbox_reasons(conditions, self._clock.now())
        schema = [] if is_our_schema else [OTHER_SCHEMA]
        return Readiness((*schema, *self._disk_reasons(), *reasons), relaying)

    def _disk_reasons(self) -> list[Reason]:
        if self._is_disk_full():
            return [DISK_FULL]
        return [DISK_ALMOST_FULL] if self._disk and _is_low(self._disk) else []

    async def _read_conditions(self) -> dict[str, MailboxCondition | None]:
        """Return the conditions of the mailboxes in the settings; the database may have further ones."""
        stored = {record.name: record.condition for record in await self._store.mailboxes() if record.owner}
        return {target.mailbox: stored.get(target.mailbox) for target in self._targets}

    async def _check_logins(self) -> DeepCheck:
        targets = sorted(self._targets, key=lambda target: self._checked_at.get(target.mailbox, 0.0))
        found: list[Finding] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(DEEP_CHECK_TIMEOUT):
                from app.doctor.doctor import examine_logins  # noqa: PLC0415 - a deep check is rare

                await examine_logins(targets, lambda finding: self._record(finding, found), self._admit)
        done = {
            finding.about for finding in found if finding.step is Step.AUTH or finding.outcome is StepOutcome.FAILED
        }
        found += [replace(_NO_TIME, about=target.mailbox) for target in targets if target.mailbox not in done]
        return DeepCheck(self._clock.now(), tuple(finding.as_json() for finding in found), tuple(self._reasons(found)))

    @asynccontextmanager
    async def _admit(self, name: str) -> AsyncIterator[Finding | None]:
        """Yield None for a login in a reserved slot, or the finding that replaces the login."""
        await self.readiness()  # the mailbox may have been held meanwhile
        self._checked_at[name] = self._clock.now()
        if (finding := self._without_login(name, self._conditions.get(name))) is not None:
            yield finding
            return
        with self._sessions.slot(name) as free:
            yield None if free else _IN_USE

    def _without_login(self, name: str, condition: MailboxCondition | None) -> Finding | None:
        """Return the finding if a login is unnecessary or too early, else None."""
        if condition is not None and condition.health is Health.HELD and condition.until is None:
            return _HELD_BY_OPERATOR
        if condition is not None and (condition.health is Health.HELD or condition.unproven):
            return _PROBED_BY_RELAY
        if self._sessions.logged_in(name):
            return _LOGGED_IN
        failed = self._failed_logins.get(name)
        if failed is None or self._clock.now() >= failed.until or failed.condition_since != _since(condition):
            return None
        return failed.finding

    def _record(self, finding: Finding, found: list[Finding]) -> None:
        """Add a finding to `found`. A failed login is stored, and repeated no earlier than that of a held mailbox."""
        name = finding.about
        is_login = finding.step in (Step.CREDENTIAL, Step.AUTH) and name in self._conditions
        known = self._failed_logins.get(name)
        if not is_login or (known is not None and finding == known.finding):
            found.append(finding)
            return
        if finding.outcome is StepOutcome.FAILED:
            finding = self._record_failure(name, finding, known)
        elif finding.step is Step.AUTH and finding.outcome is StepOutcome.OK:
            self._failed_logins.pop(name, None)
        found.append(finding)

    def _record_failure(self, name: str, finding: Finding, before: _FailedLogin | None) -> Finding:
        """Store a failed login; return its finding with the times of this and of the next attempt."""
        now, count = self._clock.now(), before.count + 1 if before else 1
        until = now + PROBE_DELAYS[min(count, len(PROBE_DELAYS)) - 1]
        times = {"tried at": iso(now), "tried again from": iso(until)}
        dated = replace(finding, facts={**finding.facts, **times})
        self._failed_logins[name] = _FailedLogin(dated, _since(self._conditions[name]), until, count)
        return dated

    def _reasons(self, found: Sequence[Finding]) -> list[Reason]:
        mailboxes = {target.mailbox for target in self._targets}
        return [
            Reason(
                finding.step,
                Explanation(finding.summary, finding.fix),
                finding.about if finding.about in mailboxes else "",
            )
            for finding in found
            if finding.outcome is StepOutcome.FAILED
        ]


_HELD_BY_OPERATOR = skipped(Step.AUTH, "Not tried: an operator holds the mailbox.")
_PROBED_BY_RELAY = skipped(Step.AUTH, "Not tried: the last login failed; the relay tries the next one automatically.")
_IN_USE = skipped(Step.AUTH, "Not tried: all connections of the mailbox are in use, or another replica owns it.")
_LOGGED_IN = ok(Step.AUTH, "The relay is logged in.")
_NO_TIME = skipped(Step.AUTH, f"Not tried: the {DEEP_CHECK_TIMEOUT:g} s of this check were used up.")


def _since(condition: MailboxCondition | None) -> float | None:
    return condition.since if condition else None


def _is_low(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LOW_DISK_BYTES
    except OSError:
        return False  # the commit of the quick check reports the fault
