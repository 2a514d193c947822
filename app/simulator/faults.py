"""The fault script: at which point of the dialogue, how often, for whom, and what then.

Rule 1: a fault counts how often its point is reached by those it is for; `nth`, `every`, `times` speak of that count.
Rule 2: of the faults due at a point each strikes in the order they were added, until one stands in the place of the
reply; the others have been reached all the same.
Rule 3: chance comes from one seeded generator, so a script plays the same way twice.
"""

import asyncio
import json
import random
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as validated

from app.mail.outcome.attempt import Phase
from app.simulator.fault_actions import Action, FaultContext, Say
from app.simulator.replies import ROWS


class Point(StrEnum):
    """Where a fault can strike."""

    CONNECT = "connect"  # TCP is there, nothing said
    GREETING = "greeting"  # in the place of the 220
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"  # the client has begun the handshake, before our part of it
    AUTH = "auth"  # the credentials are known, before the verdict
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # before 354
    CONTENT = "content"  # after `after` octets of content, if it is that long
    DOT = "dot"  # the whole content is there, nothing is counted
    ACCEPTED = "accepted"  # counted as accepted, before the 250
    REPLY = "reply"  # before any reply
    QUIT = "quit"
    IDLE = "idle"  # after `after` seconds of the clock waiting for a command, no transaction open


@validated(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """One line of the script. `sender` and `recipient` are patterns (`*@contoso.com`), `mailbox` an address.

    `nth` is the first time it strikes (1-based) and, alone, the only one; `every` repeats it; `times` bounds it.
    """

    at: Point
    do: Action
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    times: int | None = Field(default=None, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    mailbox: str | None = None
    sender: str | None = None
    recipient: str | None = None
    after: float = Field(default=0, ge=0)  # octets at `content`, seconds of the clock at `idle`
    name: str = ""

    @classmethod
    def named(cls, row: str, *, close: bool | None = None, **when: Any) -> Self:
        """The fault that says one of Exchange's own error texts (replies.ROWS) where Exchange says it.

        After a 421 the connection is closed (RFC 5321 §3.8), unless `close` says otherwise. Raises KeyError.
        """
        text = ROWS[row]
        say = Say(text.text, close=text.startswith("421") if close is None else close)
        return cls(at=_POINTS[text.phase], do=say, **{"name": row, **when})

    def applies_to(self, moment: FaultContext) -> bool:
        """True if it is meant for this mailbox, sender and one of these recipients."""
        if self.mailbox is not None and self.mailbox.lower() != moment.mailbox.lower():
            return False
        if self.sender is not None and not _matches(moment.sender, self.sender):
            return False
        return self.recipient is None or any(_matches(address, self.recipient) for address in moment.recipients)

    def is_due(self, count: int) -> bool:
        """True if the `count`-th time is one of its times."""
        first = self.nth or self.every or 1
        if self.every is not None:
            return count >= first and (count - first) % self.every == 0
        return self.nth is None or count == first


_POINTS: Mapping[Phase, Point] = {phase: Point(phase.value) for phase in Phase}


def _matches(address: str, pattern: str) -> bool:
    return fnmatchcase(address.lower(), pattern.lower())


@dataclass(slots=True, eq=False)
class Armed:
    """A fault in the script, with its counts."""

    fault: Fault
    reached: int = 0
    fired: int = 0
    _struck: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def reach(self, moment: FaultContext, chance: random.Random) -> bool:
        """Count the point as reached; True if it is due."""
        if not self.fault.applies_to(moment):
            return False
        self.reached += 1
        if not self.fault.is_due(self.reached) or self.fired == self.fault.times:
            return False
        return self.fault.probability == 1 or chance.random() < self.fault.probability

    async def apply(self, moment: FaultContext) -> bool:
        """Do it. True if it stands in the place of the reply."""
        self.fired += 1
        self._struck.set()
        return await self.fault.do.apply(moment)

    async def wait(self, timeout: float) -> None:
        """Until it has struck once. Raises TimeoutError after real seconds."""
        async with asyncio.timeout(timeout):
            await self._struck.wait()


class Faults:
    """The script. An empty one costs a dictionary lookup at each point."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a script is to be repeatable
        self._at: dict[Point, list[Armed]] = {}

    def add(self, fault: Fault) -> Armed:
        """Add it after the others; the returned Armed tells how often it was reached and has struck."""
        armed = Armed(fault)
        self._at.setdefault(fault.at, []).append(armed)
        return armed

    def remove(self, name: str) -> None:
        """Take those of that name out."""
        for point, armed in list(self._at.items()):
            self._at[point] = [one for one in armed if one.fault.name != name]
            if not self._at[point]:
                del self._at[point]

    def clear(self) -> None:
        """Take all out."""
        self._at.clear()

    def at(self, point: Point) -> list[Armed]:
        """Those of this point, in the order they were added."""
        return self._at.get(point, [])

    def __iter__(self) -> Iterator[Armed]:
        return chain.from_iterable(self._at.values())

    async def apply(self, moment: FaultContext, only: Armed | None = None) -> bool:
        """Let those that are due strike (or `only` one). True if one stands in the place of the reply."""
        reached = [only] if only else self.at(Point(moment.point))
        for armed in [armed for armed in reached if armed.reach(moment, self._chance)]:
            if await armed.apply(moment):
                return True
        return False


_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)


def parse(row: Mapping[str, Any]) -> Fault:
    """A fault from its JSON or TOML form: the fields of Fault, or `named = "<a row>"` and when. Raises ValueError."""
    if "named" not in row:
        return _FAULT.validate_python(dict(row))
    name = row["named"]
    if name not in ROWS:
        raise ValueError(f"no reply is named {name!r}; see app/simulator/replies.py")
    return Fault.named(name, **{key: value for key, value in row.items() if key != "named"})


def as_json(fault: Fault) -> dict[str, Any]:
    """The JSON form, without what was left at its default."""
    form: dict[str, Any] = _FAULT.dump_python(fault, mode="json", exclude_defaults=True)
    return {**form, "do": {"action": fault.do.action, **form["do"]}}


def load(path: Path) -> list[Fault]:
    """A script from a .toml file (tables `[[faults]]`) or a .json file (the same, or a list). Raises ValueError."""
    text = path.read_text(encoding="utf-8")
    script = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    rows = script["faults"] if isinstance(script, dict) else script
    return [parse(row) for row in rows]
