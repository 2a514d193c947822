"""File of results: each row with the samples of its contestants. A run of some rows replaces these rows alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.measures.composing import Figures

FILE: Final = "benchmarks.json"


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row as it was measured last."""

    samples: dict[str, list[Figures]]  # by contestant, one of each round
    absent: dict[str, str]  # why a contestant was not measured
    load: list[float]  # load averages before and after the run
    at: str  # date

    @property
    def rounds(self) -> int:
        """Rounds that every contestant finished."""
        return min((len(rows) for name, rows in self.samples.items() if name not in self.absent), default=0)


@dataclass(slots=True)
class Results:
    """All rows, on one machine with one set of versions."""

    machine: dict[str, str]
    versions: dict[str, str]
    rows: dict[str, RowResult]

    def update(
        self, row: str, samples: Mapping[str, list[Figures]], absent: Mapping[str, str], load: list[float]
    ) -> None:
        """Replace one row, unless nothing of it was measured."""
        if any(samples.values()) or absent:
            at = datetime.now(UTC).date().isoformat()
            self.rows[row] = RowResult(dict(samples), dict(absent), load, at)

    def save(self, folder: Path) -> None:
        """Write the file."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(folder: Path, machine: dict[str, str], versions: dict[str, str]) -> Results:
    """Read the file; its rows are dropped if they are of another machine or other versions."""
    results = Results(machine, versions, {})
    if (file := folder / FILE).exists():
        stored: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if (stored["machine"], stored["versions"]) == (machine, versions):
            results.rows = {name: RowResult(**row) for name, row in stored["rows"].items()}
    return results
