"""Catalogue of ready faults, read from catalogue.toml. A script uses them by name, as it uses an error reply."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ReadyFault:
    """Description of a fault: the behavior of the server, the result for an email of Postern, the row of a script."""

    server: str
    result: str
    row: Mapping[str, Any]


def _read(entry: dict[str, Any]) -> ReadyFault:
    return ReadyFault(entry.pop("server"), entry.pop("result"), entry)


CATALOGUE: Mapping[str, ReadyFault] = {
    name: _read(entry) for name, entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}
