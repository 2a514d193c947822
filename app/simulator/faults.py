"""Fault script of the simulator: point in the SMTP session, frequency, condition, action.

Rule 1: a fault counts how often its point is reached under its condition; `nth`, `every`, `times` refer to that count.
Rule 2: the faults due at a point are applied in the order they were added, until one replaces the reply; the others
are counted as reached.
Rule 3: `probability` uses one seeded generator, so a script is repeatable.
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
    """Point of the session at which a fault can be applied."""

    CONNECT = "connect"  # after TCP connect, before the greeting
    GREETING = "greeting"  # instead of the 220
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"  # ClientHello received, before the server's part of the handshake
    AUTH = "auth"  # credentials received, before they are checked
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # before 354
    CONTENT = "content"  # after `after` bytes of content, if it is that long
    DOT = "dot"  # content received, before it is counted
    ACCEPTED = "accepted"  # counted as accepted, before the 250
    REPLY = "reply"  # before any reply
    QUIT = "quit"
    IDLE = "idle"  # after `after` seconds of the clock without a command, outside a transaction


@validated(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """One fault of the script. `sender` and `recipient` are patterns (`*@contoso.com`), `mailbox` is an address.

    `nth` is the first time it is applied (1-based), without `every` the only one; `times` limits the total.
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
    after: float = Field(default=0, ge=0)  # bytes at `content`, seconds of the clock at `idle`
    name: str = ""

    @classmethod
    def named(cls, row: str, *, close: bool | None = None, **when: Any) -> Self:
        """Return the fault that sends an error text of Exchange (replies.ROWS) at the point where Exchange sends it.

        After a 421 the connection is closed (RFC 5321 §3.8), unless `close` is False. Raises KeyError.
        """
        text = ROWS[row]
        say = Say(text.text, close=text.startswith("421") if close is None else close)
        return cls(at=_POINTS[text.phase], do=say, **{"name": row, **when})

    def applies_to(self, context: FaultContext) -> bool:
        """Return True if the condition matches mailbox, sender and one of the recipients."""
        if self.mailbox is not None and self.mailbox.lower() != context.mailbox.lower():
            return False
        if self.sender is not None and not _matches(context.sender, self.sender):
            return False
        return self.recipient is None or any(_matches(address, self.recipient) for address in context.recipients)

    def is_due(self, count: int) -> bool:
        """Return True if the fault is due at the `count`-th time."""
        first = self.nth or self.every or 1
        if self.every is not None:
            return count >= first and (count - first) % self.every == 0
        return self.nth is None or count == first


_POINTS: Mapping[Phase, Point] = {phase: Point(phase.value) for phase in Phase}


def _matches(address: str, pattern: str) -> bool:
    return fnmatchcase(address.lower(), pattern.lower())


@dataclass(slots=True, eq=False)
class Armed:
    """Fault of the script with its counts."""

    fault: Fault
    reached: int = 0
    fired: int = 0
    _applied: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def reach(self, context: FaultContext, chance: random.Random) -> bool:
        """Count the point as reached. Return True if the fault is due."""
        if not self.fault.applies_to(context):
            return False
        self.reached += 1
        if not self.fault.is_due(self.reached) or self.fired == self.fault.times:
            return False
        return self.fault.probability == 1 or chance.random() < self.fault.probability

    async def apply(self, context: FaultContext) -> bool:
        """Run the action. Return True if it replaces the reply."""
        self.fired += 1
        self._applied.set()
        return await self.fault.do.apply(context)

    async def wait(self, timeout: float) -> None:
        """Wait until it has been applied once. Raises TimeoutError after `timeout` real seconds."""
        async with asyncio.timeout(timeout):
            await self._applied.wait()


class Faults:
    """Fault script: the faults by point."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._at: dict[Point, list[Armed]] = {}

    def add(self, fault: Fault) -> Armed:
        """Append a fault. The returned Armed has the counts."""
        armed = Armed(fault)
        self._at.setdefault(fault.at, []).append(armed)
        return armed

    def remove(self, name: str) -> None:
        """Remove the faults with a name."""
        for point, armed in list(self._at.items()):
            self._at[point] = [one for one in armed if one.fault.name != name]
            if not self._at[point]:
                del self._at[point]

    def clear(self) -> None:
        """Remove all faults."""
        self._at.clear()

    def at(self, point: Point) -> list[Armed]:
        """Return the faults of a point in the order they were added."""
        return self._at.get(point, [])

    def __iter__(self) -> Iterator[Armed]:
        return chain.from_iterable(self._at.values())

    async def apply(self, context: FaultContext, only: Armed | None = None) -> bool:
        """Apply the faults that are due, or `only` one. Return True if one replaces the reply."""
        reached = [only] if only else self.at(Point(context.point))
        for armed in [armed for armed in reached if armed.reach(context, self._chance)]:
            if await armed.apply(context):
                return True
        return False


_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)


def parse(row: Mapping[str, Any]) -> Fault:
    """Parse a fault from JSON or TOML: the fields of Fault, or `named = "<row>"` with conditions. Raises ValueError."""
    if "named" not in row:
        return _FAULT.validate_python(dict(row))
    name = row["named"]
    if name not in ROWS:
        raise ValueError(f"no reply is named {name!r}; see app/simulator/replies.py")
    return Fault.named(name, **{key: value for key, value in row.items() if key != "named"})


def as_json(fault: Fault) -> dict[str, Any]:
    """Return the JSON form without default values."""
    form: dict[str, Any] = _FAULT.dump_python(fault, mode="json", exclude_defaults=True)
    return {**form, "do": {"action": fault.do.action, **form["do"]}}


def load(path: Path) -> list[Fault]:
    """Load a script from a .toml file (tables `[[faults]]`) or .json file (the same, or a list). Raises ValueError."""
    text = path.read_text(encoding="utf-8")
    script = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    rows = script["faults"] if isinstance(script, dict) else script
    return [parse(row) for row in rows]
