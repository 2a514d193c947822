"""Fault script: the faults of a simulator in order, how often each was reached and applied, and scripts in files.

Rule 1: a fault counts how often its point is reached under its condition; `nth`, `every`, `times` refer to that count.
Rule 2: the faults due at a point are applied in the order they were added, until one replaces the reply; the others
are counted as reached.
Rule 3: `probability` uses one seeded generator, so a script is repeatable.
"""

import asyncio
import json
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from app.simulator.faults.actions import FaultContext
from app.simulator.faults.catalogue import CATALOGUE
from app.simulator.faults.fault import Fault, Point, parse_fault


@dataclass(slots=True, eq=False)
class ScriptedFault:
    """Fault of a script, and how often it was reached and applied."""

    fault: Fault
    reached: int = 0
    fired: int = 0
    _applied: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def reach(self, context: FaultContext, generator: random.Random) -> bool:
        """Count the point as reached. Return True if the fault is due."""
        if not self.fault.applies_to(context):
            return False
        self.reached += 1
        if not self.fault.is_due(self.reached) or self.fired == self.fault.times:
            return False
        return self.fault.probability == 1 or generator.random() < self.fault.probability

    async def apply(self, context: FaultContext) -> bool:
        """Run the action. Return True if it replaces the reply."""
        self.fired += 1
        self._applied.set()
        return await self.fault.do.apply(context)

    async def wait(self, timeout: float) -> None:
        """Wait until the fault has been applied once. Raises TimeoutError after `timeout` real seconds."""
        async with asyncio.timeout(timeout):
            await self._applied.wait()


class FaultScript:
    """Ordered faults of one simulator, by point."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._at: dict[Point, list[ScriptedFault]] = {}

    def add(self, fault: Fault) -> ScriptedFault:
        """Append a fault and return it with its counts."""
        scripted = ScriptedFault(fault)
        self._at.setdefault(fault.at, []).append(scripted)
        return scripted

    def remove(self, name: str) -> None:
        """Remove the faults with a name."""
        for point, faults in list(self._at.items()):
            self._at[point] = [scripted for scripted in faults if scripted.fault.name != name]
            if not self._at[point]:
                del self._at[point]

    def clear(self) -> None:
        """Remove all faults."""
        self._at.clear()

    def at(self, point: Point) -> list[ScriptedFault]:
        """Return the faults of a point in the order they were added."""
        return self._at.get(point, [])

    def __iter__(self) -> Iterator[ScriptedFault]:
        return chain.from_iterable(self._at.values())

    async def apply(self, context: FaultContext, only: ScriptedFault | None = None) -> bool:
        """Apply the faults that are due, or `only` one. Return True if one replaces the reply."""
        reached = [only] if only else self.at(Point(context.point))
        for scripted in [scripted for scripted in reached if scripted.reach(context, self._random)]:
            if await scripted.apply(context):
                return True
        return False


def find_faults(source: str) -> list[Fault]:
    """Return the ready fault of this name, or the faults of the script in this file. Raises OSError, ValueError."""
    if source in CATALOGUE:
        return [Fault.named(source)]
    if not Path(source).exists():
        raise ValueError(f"neither a file nor a ready fault; ready faults: {', '.join(CATALOGUE)}")
    return load_faults(Path(source))


def load_faults(path: Path) -> list[Fault]:
    """Load a script from a .toml file (tables `[[faults]]`) or .json file (the same, or a list). Raises ValueError."""
    text = path.read_text(encoding="utf-8")
    script = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    rows = script["faults"] if isinstance(script, dict) else script
    return [parse_fault(row) for row in rows]
