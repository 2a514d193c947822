"""What /readyz and the console ask: how this Postern stands, and whether every mailbox can log in.

The quick look (`stand`) makes one commit and reads a few rows, at most once a second. The deep one (`examine`) takes
the doctor's way as far as the login, at most once a minute. Whoever asks meanwhile shares the last one.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from app import logs
from app.clock import Clock
from app.doctor.case import Case
from app.doctor.doctor import examine_logins
from app.doctor.finding import Finding, Outcome, Step, ok, skipped
from app.fresh import Fresh
from app.mail.health import PROBES, Condition, Health
from app.mail.readiness import (
    LITTLE_ROOM,
    NO_DATABASE,
    OTHER_SCHEMA,
    Examined,
    Readiness,
    Reason,
    of_mailboxes,
)
from app.mail.verdict import Explanation
from app.store import Store, StoreUnavailable

QUICK = 1.0  # seconds that a quick look is good for
DEEP = 60.0  # and a deep one
STORE_ANSWERS = 5.0  # seconds in which the store has to
LONGEST = 30.0  # seconds for a deep look
LITTLE = 256 * 1024 * 1024  # octets of disk below which people are told


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A login that failed here. Until `until` nobody tries again, unless the mailbox has changed since."""

    finding: Finding
    condition_since: float | None
    until: float
    count: int


class Rounds:
    """One process's looks at the store and at the mailboxes of its settings.

    `logged_in` says whether a session of the mailbox stands open here: that is proof enough, and a further login would
    take one of its few connections. `disk` is where an embedded database lies.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        cases: Sequence[Case],
        logged_in: Callable[[str], bool],
        disk: Path | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._cases = cases
        self._logged_in = logged_in
        self._disk = disk
        self._refused: dict[str, _Refusal] = {}
        self._seen: dict[str, float] = {}  # when each mailbox was last looked at
        self._quick = Fresh(self._stand, QUICK, clock.monotonic)
        self._deep = Fresh(self._examine, DEEP, clock.monotonic)

    async def stand(self) -> Readiness:
        """How it stands, as of a second ago at most."""
        return await self._quick.get()

    async def examine(self) -> Examined:
        """What the doctor finds, as of a minute ago at most. Never a mail. Raises StoreUnavailable."""
        return await self._deep.get()

    def close(self) -> None:
        """End what is under way."""
        self._quick.close()
        self._deep.close()

    # The quick look.

    async def _stand(self) -> Readiness:
        try:
            async with asyncio.timeout(STORE_ANSWERS):
                await self._store.ping()
                ours = await self._store.has_our_schema()
                conditions = await self._conditions()
        except StoreUnavailable as error:
            logs.store_failed("readiness", error)
            return Readiness((NO_DATABASE,), relaying=False)
        except TimeoutError:
            return Readiness((NO_DATABASE,), relaying=False)
        reasons, relaying = of_mailboxes(conditions, self._clock.now())
        first = [*([] if ours else [OTHER_SCHEMA]), *([LITTLE_ROOM] if self._disk and _little(self._disk) else [])]
        return Readiness((*first, *reasons), relaying)

    async def _conditions(self) -> dict[str, Condition | None]:
        """Of the mailboxes of the settings; the store may know others from earlier."""
        kept = {record.name: record.condition for record in await self._store.mailboxes()}
        return {case.mailbox: kept.get(case.mailbox) for case in self._cases}

    # The deep one.

    async def _examine(self) -> Examined:
        conditions = await self._conditions()
        cases = sorted(self._cases, key=lambda case: self._seen.get(case.mailbox, 0.0))
        spared = {case.mailbox: why for case in cases if (why := self._spare(case.mailbox, conditions)) is not None}
        found: list[Finding] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                await examine_logins(cases, found.append, spared)
        self._learn([one for one in found if one.about not in spared], conditions)
        seen = {one.about for one in found}
        found += [replace(_NO_TIME, about=case.mailbox) for case in cases if case.mailbox not in seen]
        return Examined(self._clock.now(), tuple(asdict(one) for one in found), tuple(self._reasons(found)))

    def _spare(self, name: str, conditions: Mapping[str, Condition | None]) -> Finding | None:
        """Why the doctor does not log in: it would take what the relay needs, or repeat a login that has failed."""
        condition = conditions[name]
        if condition is not None and (condition.health is Health.HELD or condition.unproven):
            return _LEFT_TO_THE_RELAY
        if self._logged_in(name):
            return _LOGGED_IN
        refusal = self._refused.get(name)
        if refusal is None or self._clock.now() >= refusal.until or refusal.condition_since != _since(condition):
            return None
        return refusal.finding

    def _learn(self, found: Sequence[Finding], conditions: Mapping[str, Condition | None]) -> None:
        """One failed login is one failed login: the next one here follows as late as a held mailbox's would."""
        for finding in found:
            if finding.about not in conditions:
                continue
            self._seen[finding.about] = now = self._clock.now()
            if finding.step is not Step.AUTH or finding.outcome is Outcome.SKIPPED:
                continue
            before = self._refused.pop(finding.about, None)
            if finding.outcome is Outcome.FAILED:
                count = before.count + 1 if before else 1
                until = now + PROBES[min(count, len(PROBES)) - 1]
                self._refused[finding.about] = _Refusal(finding, _since(conditions[finding.about]), until, count)

    def _reasons(self, found: Sequence[Finding]) -> list[Reason]:
        mailboxes = {case.mailbox for case in self._cases}
        return [
            Reason(one.step, Explanation(one.summary, one.fix), one.about if one.about in mailboxes else "")
            for one in found
            if one.outcome is Outcome.FAILED
        ]


_LEFT_TO_THE_RELAY = skipped(Step.AUTH, "Not tried: a login has failed, and the relay tries the next by itself.")
_LOGGED_IN = ok(Step.AUTH, "The relay is logged in.")
_NO_TIME = skipped(Step.AUTH, f"Not tried: the {LONGEST:g} s of this look were over. It comes first in the next one.")


def _since(condition: Condition | None) -> float | None:
    return condition.since if condition else None


def _little(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LITTLE
    except OSError:
        return False  # what is wrong with it, the commit says
