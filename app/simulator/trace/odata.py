"""Parser of the message trace's `$filter`, with the measured faults of `or`, `in` and `ne`.

`or`: only the last condition counts. `in` and `ne`: the condition is ignored. Both without an error.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from app.simulator.trace.rows import TraceRow

_OR = re.compile(r"\sor\s")
_CONDITION = re.compile(r"(?:^|\s(?:and|or)\s+)(\w+)\s+(\w+)\s+(?:'((?:[^']|'')*)'|(\S+))")
_DAY = 86_400.0
MAX_RANGE, MAX_AGE, DEFAULT_RANGE = 10 * _DAY, 90 * _DAY, 2 * _DAY

_FIELDS: Mapping[str, Callable[[TraceRow], str]] = {
    "id": lambda row: str(row.id),
    "messageId": lambda row: row.message_id,
    "recipientAddress": lambda row: row.recipient,
    "senderAddress": lambda row: row.sender,
    "status": lambda row: row.status,
}


class FilterError(ValueError):
    """Filter that Graph answers with 400."""


Predicate = Callable[[TraceRow], bool]


def parse_filter(text: str, now: float) -> Predicate:
    """Return the predicate of a filter at `now` (epoch seconds). Raises FilterError."""
    conditions = _conditions(text)
    low, high = _range(conditions, now)
    tests = [_test(name, operator, value) for name, operator, value in conditions if name != "receivedDateTime"]
    return lambda row: low <= row.received_at <= high and all(test(row) for test in tests)


def _conditions(text: str) -> list[tuple[str, str, str]]:
    found = [(name, operator, quoted or bare) for name, operator, quoted, bare in _CONDITION.findall(text)]
    if _OR.search(text):
        return found[-1:]
    return found


def _range(conditions: list[tuple[str, str, str]], now: float) -> tuple[float, float]:
    bounds = {operator: _seconds(value) for name, operator, value in conditions if name == "receivedDateTime"}
    if not bounds:
        return now - DEFAULT_RANGE, now
    if bounds.keys() != {"ge", "le"}:
        raise FilterError("receivedDateTime needs both ge and le.")
    low, high = bounds["ge"], bounds["le"]
    if low > high or high - low > MAX_RANGE:
        raise FilterError("The range of receivedDateTime is more than 10 days.")
    if low < now - MAX_AGE:
        raise FilterError("receivedDateTime is more than 90 days ago.")
    if high > now + 1.0:  # whole seconds
        raise FilterError("receivedDateTime is in the future.")
    return low, high


def _seconds(value: str) -> float:
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC).timestamp()
    except ValueError:
        raise FilterError("receivedDateTime is no date.") from None


def _test(name: str, operator: str, value: str) -> Predicate:
    if operator in ("ne", "in"):
        return lambda _: True
    if operator != "eq" or name not in _FIELDS:
        raise FilterError(f"{name} {operator} is not supported.")
    read, wanted = _FIELDS[name], value.replace("''", "'").lower()
    if wanted.startswith("*@"):
        return lambda row: read(row).lower().endswith(wanted[1:])
    return lambda row: read(row).lower() == wanted
