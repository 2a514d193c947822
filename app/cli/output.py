"""Output of the commands: text and tables for people, JSON for programs. Knows nothing of mail.

Strings are data here, never markup, and the characters in them that control a terminal are shown as escapes: every
command prints by this module alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from app.mail.safe_text import escape_controls, escape_in_json

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


class _Terminal(Console):
    """A console without markup and emoji codes. Whatever it renders is escaped at last, where its width is known."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape_controls(text, multiline=True), **{**options, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text, multiline=True))


console = _Terminal()


def styled(*parts: str | tuple[str, str]) -> Text:
    """One line of strings, and of strings with a style such as `bold`."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((escape_controls(text), style) for text, style in pairs))


def say(line: str, *, err: bool = False) -> None:
    """One line, whatever is in it, and never wrapped."""
    typer.echo(escape_controls(line), err=err)


def print_json(value: Any) -> None:
    """The value for programs."""
    typer.echo(escape_in_json(json.dumps(value, indent=2, ensure_ascii=False)))


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool, *, none: str) -> None:
    """Rows as a table with these columns, or all of them as a JSON list. `none` is said when there are no rows."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        console.print(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)


def show_facts(facts: Mapping[str, Any]) -> None:
    """Names and values below each other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(_cell(name), _cell(value))
    console.print(table)


def moment(seconds: float | None) -> str | None:
    """Epoch seconds as people and programs read them (ISO 8601, UTC)."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _cell(value: Any) -> str:
    """One line, or a line for each item of a list: a line end inside of a string is escaped as well."""
    if isinstance(value, list):
        return "\n".join(_cell(one) for one in value)
    return "" if value is None else escape_controls(str(value))
