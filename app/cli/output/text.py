"""Output of lines and JSON, the option for JSON, and the text of times and durations.

Characters that control a terminal are printed as escapes.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.mail.safe_text import escape_controls, escape_in_json
from app.mail.times import DAY, HOUR, MINUTE

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_line(line: str, *, err: bool = False) -> None:
    """Print one line, escaped and not wrapped, to standard output or with `err` to standard error."""
    typer.echo(escape_controls(line), err=err)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON; without `indent` on one line."""
    typer.echo(escape_in_json(json.dumps(value, indent=indent, ensure_ascii=False)))


def timestamp(seconds: float | None) -> str | None:
    """Format epoch seconds as ISO 8601 in UTC, with whole seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def age(seconds: float) -> str:
    """Format a duration in its largest whole unit: `59s`, `59m`, `23h`, `7d`."""
    for unit, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    return f"{max(0, int(seconds))}s"


def relative_time(text: str) -> str:
    """Format a time in ISO 8601 relative to this one: `3m ago`, `in 5d`."""
    seconds = datetime.now(UTC).timestamp() - datetime.fromisoformat(text).timestamp()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"
