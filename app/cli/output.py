"""What a command prints: tables for people, JSON for programs. Knows nothing of mail."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]

console = Console(highlight=False)


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool, *, none: str) -> None:
    """Rows as a table with these columns, or all of them as a JSON list. `none` is said when there are no rows."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    if not rows:
        console.print(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    console.print(table)


def moment(seconds: float | None) -> str | None:
    """Epoch seconds as people and programs read them (ISO 8601, UTC)."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
