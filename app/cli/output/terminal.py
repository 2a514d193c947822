"""Output of rows and members: tables and styled text on a terminal, TSV for programs, JSON. The only module with rich.

Strings are printed as data, never as markup. Characters that control a terminal are printed as escapes.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from app.cli.output.text import print_json, print_line, relative_time
from app.mail.safe_text import escape_controls


class _Terminal(Console):
    """Console without markup and emoji codes. It escapes the rendered segments, after their width is known."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, stderr=stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape_controls(text, multiline=True), **{**options, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text, multiline=True))


console = _Terminal()
_error_console = _Terminal(stderr=True)
_TIMES = frozenset({"created_at", "last_used_at", "expires_at", "since", "until"})  # columns
_STATES = frozenset({"event", "health", "state", "outcome"})
_STYLES = {  # by state; those of the console's pages
    **dict.fromkeys(("sent", "delivered", "open", "in use"), "green"),
    **dict.fromkeys(("delivery_delayed", "paused"), "yellow"),
    **dict.fromkeys(("failed", "bounced", "held"), "red"),
    **dict.fromkeys(("disabled", "revoked"), "dim"),
}


def styled(*parts: str | tuple[str, str]) -> Text:
    """Join strings, and pairs of a string and a style such as `bold`, to one line."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((escape_controls(text), style) for text, style in pairs))


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool, *, none: str) -> None:
    """Print rows for people and programs: `as_json` a list of whole rows, else these columns, on a terminal as a table,
    otherwise as TSV. Print `none` if there are no rows and no JSON is asked for.
    """
    if as_json:
        print_json(list(rows))
    elif rows and not console.is_terminal:
        _show_tsv(rows, columns)
    else:
        print_table(rows, columns, none=none)


def print_notes(*lines: str | Text) -> None:
    """Print lines for people after rows, not wrapped; to standard error where the rows are TSV."""
    for line in lines:
        (console if console.is_terminal else _error_console).print(line, soft_wrap=True)


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, none: str) -> None:
    """Print these columns as a table, also if this is no terminal; long values continue on further lines.

    Print `none` if there are no rows.
    """
    if not rows:
        console.print(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_styled_cell(column, row[column]) for column in columns))
    console.print(table)


def print_compact_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], whole: Set[str], *, none: str) -> None:
    """Print one line a row: a table that cuts long values, except in the columns `whole`; TSV if this is no terminal.

    Print `none` if there are no rows, to standard error if this is no terminal.
    """
    if not rows:
        print_line(none, err=not console.is_terminal)
        return
    if not console.is_terminal:
        _show_tsv(rows, columns)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        heading, is_whole = column.replace("_", " "), column in whole
        width = max(len(heading), *(len(_cell(row[column])) for row in rows)) if is_whole else None
        table.add_column(Text(heading, no_wrap=True), no_wrap=is_whole, min_width=width)
    for row in rows:
        table.add_row(*(_one_line(_styled_cell(column, row[column])) for column in columns))
    console.print(table)


def _styled_cell(column: str, value: Any) -> Text:
    """Return a cell for people: on a terminal a state has a colour, and a time is relative."""
    if column in _TIMES and value and console.is_terminal:
        return Text(relative_time(str(value)))
    return Text(_cell(value), style=_STYLES.get(str(value), "") if column in _STATES else "", overflow="fold")


def _one_line(cell: Text) -> Text:
    cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell


def _show_tsv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as TSV without a heading.

    Line ends and TAB in a value are escaped, so the number of fields is that of the columns. Items of a list are
    separated by commas.
    """
    for row in rows:
        cells = [_cell(row[column]).replace("\n", ",") for column in columns]
        typer.echo("\t".join(cells))


def print_members(members: Mapping[str, Any]) -> None:
    """Print the names and values of one object, one member a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in members.items():
        table.add_row(_cell(name), _cell(value))
    console.print(table)


def _cell(value: Any) -> str:
    """Format a value as one line, or as one line for each item of a list. Line ends in strings are escaped."""
    if isinstance(value, list):
        return "\n".join(_cell(item) for item in value)
    return "" if value is None else escape_controls(str(value))
