"""Commands `postern suppressions`: list, add, get, remove and import addresses to which no email is sent."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from app.api.suppressions.view import suppression
from app.cli.exit_codes import Exit, end
from app.cli.output.terminal import print_rows
from app.cli.output.text import AsJson, print_json, print_line
from app.cli.store_access import ACTOR, with_store
from app.clock import Clock
from app.mail.message.address import AddressError, normalize_address
from app.mail.suppression import Origin
from app.store import Store
from app.store.suppressions.records import Additions, Removals, Suppression

commands = typer.Typer(no_args_is_help=True)
IMPORT_BATCH = 1000  # addresses in one commit
_MAX_REPORTED = 20  # invalid lines
_COLUMNS = ("id", "email", "origin", "code", "created_at", "expires_at")
_HEADINGS = frozenset({"email", "e-mail", "email address", "address", "recipient"})

Key = Annotated[str, typer.Argument(help="Id or address of the entry.")]
OriginOption = Annotated[Origin, typer.Option(help="Cause: complaint or manual.")]


@commands.command("list")
def list_(
    origin: Annotated[Origin | None, typer.Option(help="List only entries with this cause.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest entries."""
    found, _ = with_store(lambda store: store.suppressions(origin, limit, Clock().now()))
    _show(found, as_json, none="The suppression list is empty.")


@commands.command()
def get(key: Key, as_json: AsJson = False) -> None:
    """Show one entry with the report that caused it."""
    wanted = _key(key)
    found = with_store(lambda store: store.suppression(wanted, Clock().now()))
    if found is None:
        raise _not_found(key)
    _show([found], as_json, none="")


@commands.command()
def add(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Addresses to suppress.")],
    origin: OriginOption = Origin.MANUAL,
    as_json: AsJson = False,
) -> None:
    """Suppress addresses until they are removed. Emails that were accepted before are sent."""
    _check(origin)
    wanted = tuple(dict.fromkeys(map(_address, addresses)))
    added = with_store(lambda store: store.add_suppressions(Additions(wanted, origin, Clock().now(), ACTOR)))
    _show_changed(added, "is suppressed", as_json)


@commands.command()
def remove(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Ids or addresses of entries.")],
    as_json: AsJson = False,
) -> None:
    """Remove entries. The addresses get emails again."""
    wanted = [*map(_key, keys)]
    ids = tuple(key for key in wanted if isinstance(key, UUID))
    addresses = tuple(key for key in wanted if not isinstance(key, UUID))
    removals = Removals(Clock().now(), ACTOR, ids, addresses)
    removed = with_store(lambda store: store.remove_suppressions(removals))
    _show_changed(removed, "is not suppressed any more", as_json)
    gone = {entry.id for entry in removed} | {entry.address for entry in removed}
    if failures := [_not_found(str(key)) for key in wanted if key not in gone]:
        raise failures[0]


@commands.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Addresses one a line, or CSV with a column `email`.")
    ],
    origin: OriginOption = Origin.MANUAL,
    as_json: AsJson = False,
) -> None:
    """Suppress the addresses of a file. If one of them is invalid, nothing is changed."""
    _check(origin)
    addresses = _read(file)
    number = with_store(lambda store: _import(store, addresses, origin))
    if as_json:
        print_json({"suppressed_count": number})
    else:
        print_line(f"{number} addresses are suppressed")


async def _import(store: Store, addresses: Sequence[str], origin: Origin) -> int:
    for start in range(0, len(addresses), IMPORT_BATCH):
        some = tuple(addresses[start : start + IMPORT_BATCH])
        await store.add_suppressions(Additions(some, origin, Clock().now(), ACTOR))
    return len(addresses)


def _read(file: Path) -> list[str]:
    """Return the addresses of a file, each once. Ends the command if one is invalid."""
    found: dict[str, None] = {}
    errors = []
    try:
        for line, text in _entries(file):
            try:
                found[normalize_address(text)] = None
            except AddressError as error:
                errors.append(f"{file}:{line}: {error}")
    except (UnicodeDecodeError, csv.Error):
        raise typer.BadParameter(f"{file} is not a text file in UTF-8 with one address a line.") from None
    for line_error in errors[:_MAX_REPORTED]:
        print_line(line_error, err=True)
    if errors:
        raise end(Exit.FAILED, f"{len(errors)} lines have no valid address; nothing was changed")
    return [*found]


def _entries(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of each address. A first line without an @ has the names of the columns."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text)
        column = 0
        for position, row in enumerate(rows):
            if position == 0 and row and not any("@" in cell for cell in row):
                names = [cell.strip().lower() for cell in row]
                column = next((place for place, name in enumerate(names) if name in _HEADINGS), 0)
            elif any(cell.strip() for cell in row):
                yield rows.line_num, row[column].strip() if column < len(row) else ""


def _address(text: str) -> str:
    try:
        return normalize_address(text)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from None


def _key(text: str) -> UUID | str:
    if "@" in text:
        return _address(text)
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r:.60} is neither an id nor an address.") from None


def _check(origin: Origin) -> None:
    if origin is Origin.BOUNCE:
        raise typer.BadParameter("Only Postern adds bounces. Use complaint or manual.", param_hint="--origin")


def _not_found(key: str) -> typer.Exit:
    return end(Exit.FAILED, f"{key} is not on the suppression list; see: postern suppressions list")


def _show(found: Sequence[Suppression], as_json: bool, *, none: str) -> None:
    print_rows([_row(entry) for entry in found], _COLUMNS, as_json, none=none)


def _show_changed(entries: Sequence[Suppression], done: str, as_json: bool) -> None:
    if as_json:
        print_json([_row(entry) for entry in entries])
        return
    for entry in entries:
        print_line(f"{entry.address} {done}")


def _row(entry: Suppression) -> dict[str, Any]:
    shown: dict[str, Any] = {**suppression(entry)}
    return shown | {"code": entry.evidence.code if entry.evidence else None}
