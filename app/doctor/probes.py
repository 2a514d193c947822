"""What /readyz and the console ask: how this Postern stands, and whether every mailbox can log in.

The quick look (`stand`) makes one commit and reads a few rows, at most once a second. The deep one (`examine`) takes
the doctor's way as far as the login, at most once a minute. Whoever asks meanwhile shares the last one.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from app import logs
from app.cached_result import CachedResult
from app.clock import Clock
from app.doctor.doctor import examine_logins
from app.doctor.finding import Finding, Outcome, Step, ok, skipped
from app.doctor.target import CheckTarget
from app.mail.mailbox_health import PROBE_DELAYS, Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import (
    LITTLE_ROOM,
    NO_DATABASE,
    NO_ROOM,
    OTHER_SCHEMA,
    Check,
    DeepCheck,
    Readiness,
    Reason,
    of_mailboxes,
)
from app.mail.timestamps import iso
from app.store import Store, StoreUnavailableError

QUICK_TTL = 1.0  # seconds that a quick look is good for
DEEP_TTL = 60.0  # and a deep one
STORE_TIMEOUT = 5.0  # seconds in which the store has to
DEEP_CHECK_TIMEOUT = 30.0  # seconds for a deep look
LOW_DISK_BYTES = 256 * 1024 * 1024  # octets of disk below which people are told


@dataclass(frozen=True, slots=True)
class Sessions:
    """What the relay here says of a mailbox's sessions, by its name: one of them is proof enough of a login, and a
    further login may only take the place of one (`slot`: False when there is none to be had here)."""

    logged_in: Callable[[str], bool]
    slot: Callable[[str], AbstractContextManager[bool]]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A login that failed here. Until `until` nobody tries again, unless the mailbox has changed since."""

    finding: Finding
    condition_since: float | None
    until: float
    count: int


class HealthMonitor:
    """The looks of one process. `disk` is where an embedded database lies, `low` whether it is too full for emails."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        targets: Sequence[CheckTarget],
        sessions: Sessions,
        disk: Path | None = None,
        low: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._cases = targets
        self._sessions = sessions
        self._disk = disk
        self._low = low
        self._known: Mapping[str, MailboxCondition | None] = {}  # as the last quick look has found them
        self._refused: dict[str, _Refusal] = {}
        self._seen: dict[str, float] = {}  # when each mailbox was last looked at
        self._quick = CachedResult(self._stand, QUICK_TTL, clock.monotonic)
        self._deep = CachedResult(self._examine, DEEP_TTL, clock.monotonic)

    async def readiness(self) -> Readiness:
        """How it stands, as of a second ago at most."""
        return await self._quick.get()

    async def deep_check(self) -> DeepCheck:
        """What the doctor finds, as of a minute ago at most. Never a mail.

        Raises StoreUnavailable: without it nobody knows which logins have failed already.
        """
        if any(reason.check is Check.STORE for reason in (await self.readiness()).reasons):
            raise StoreUnavailableError(NO_DATABASE.why.summary)
        return await self._deep.get()

    def close(self) -> None:
        """End what is under way."""
        self._quick.close()
        self._deep.close()

    # The quick look.

    async def _stand(self) -> Readiness:
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self._store.write_probe()
                ours = await self._store.has_our_schema()
                conditions = self._known = await self._conditions()
        except StoreUnavailableError as error:
            logs.store_failed("readiness", error)
            return Readiness((NO_DATABASE,), relaying=False)
        except TimeoutError:
            logs.store_failed("readiness", StoreUnavailableError(f"It did not answer in {STORE_TIMEOUT:g} s."))
            return Readiness((NO_DATABASE,), relaying=False)
        reasons, relaying = of_mailboxes(conditions, self._clock.now())
        first = [*([] if ours else [OTHER_SCHEMA]), *self._of_disk()]
        return Readiness((*first, *reasons), relaying)

    def _of_disk(self) -> list[Reason]:
        if self._low():
            return [NO_ROOM]
        return [LITTLE_ROOM] if self._disk and _little(self._disk) else []

    async def _conditions(self) -> dict[str, MailboxCondition | None]:
        """Of the mailboxes of the settings; the store may know others from earlier."""
        kept = {record.name: record.condition for record in await self._store.mailboxes() if record.owner}
        return {target.mailbox: kept.get(target.mailbox) for target in self._cases}

    # The deep one.

    async def _examine(self) -> DeepCheck:
        targets = sorted(self._cases, key=lambda target: self._seen.get(target.mailbox, 0.0))
        found: list[Finding] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(DEEP_CHECK_TIMEOUT):
                await examine_logins(targets, lambda one: self._learn(one, found), self._admit)
        done = {one.about for one in found if one.step is Step.AUTH or one.outcome is Outcome.FAILED}
        found += [replace(_NO_TIME, about=target.mailbox) for target in targets if target.mailbox not in done]
        return DeepCheck(self._clock.now(), tuple(asdict(one) for one in found), tuple(self._reasons(found)))

    @asynccontextmanager
    async def _admit(self, name: str) -> AsyncIterator[Finding | None]:
        """None for a login, in a slot of the relay's; or what is told instead of it."""
        await self.readiness()  # the mailbox may have been held a moment ago
        self._seen[name] = self._clock.now()
        if (why := self._spare(name, self._known.get(name))) is not None:
            yield why
            return
        with self._sessions.slot(name) as free:
            yield None if free else _IN_USE

    def _spare(self, name: str, condition: MailboxCondition | None) -> Finding | None:
        """Why the doctor does not log in: the relay has it in hand, or the login has failed here a while ago."""
        if condition is not None and condition.health is Health.HELD and condition.until is None:
            return _LEFT_TO_A_PERSON
        if condition is not None and (condition.health is Health.HELD or condition.unproven):
            return _LEFT_TO_THE_RELAY
        if self._sessions.logged_in(name):
            return _LOGGED_IN
        refusal = self._refused.get(name)
        if refusal is None or self._clock.now() >= refusal.until or refusal.condition_since != _since(condition):
            return None
        return refusal.finding

    def _learn(self, finding: Finding, found: list[Finding]) -> None:
        """Keep a finding. One failed login is one failed login: the next one here follows as late as a held mailbox's
        would, and until then the same finding says when it was made."""
        name = finding.about
        mine = finding.step in (Step.CREDENTIAL, Step.AUTH) and name in self._known
        known = self._refused.get(name)
        if not mine or (known is not None and finding == known.finding):
            found.append(finding)
            return
        if finding.outcome is Outcome.FAILED:
            finding = self._refuse(name, finding, known)
        elif finding.step is Step.AUTH and finding.outcome is Outcome.OK:
            self._refused.pop(name, None)
        found.append(finding)

    def _refuse(self, name: str, finding: Finding, before: _Refusal | None) -> Finding:
        now, count = self._clock.now(), before.count + 1 if before else 1
        until = now + PROBE_DELAYS[min(count, len(PROBE_DELAYS)) - 1]
        when = {"tried at": iso(now), "tried again from": iso(until)}
        kept = replace(finding, facts={**finding.facts, **when})
        self._refused[name] = _Refusal(kept, _since(self._known[name]), until, count)
        return kept

    def _reasons(self, found: Sequence[Finding]) -> list[Reason]:
        mailboxes = {target.mailbox for target in self._cases}
        return [
            Reason(one.step, Explanation(one.summary, one.fix), one.about if one.about in mailboxes else "")
            for one in found
            if one.outcome is Outcome.FAILED
        ]


_LEFT_TO_A_PERSON = skipped(Step.AUTH, "Not tried: a person holds the mailbox.")
_LEFT_TO_THE_RELAY = skipped(Step.AUTH, "Not tried: the last login did not work; the relay tries the next by itself.")
_IN_USE = skipped(Step.AUTH, "Not tried: its connections are all in use, or another replica relays for it.")
_LOGGED_IN = ok(Step.AUTH, "The relay is logged in.")
_NO_TIME = skipped(Step.AUTH, f"Not done: the {DEEP_CHECK_TIMEOUT:g} s of this look were over.")


def _since(condition: MailboxCondition | None) -> float | None:
    return condition.since if condition else None


def _little(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LOW_DISK_BYTES
    except OSError:
        return False  # what is wrong with it, the commit says
