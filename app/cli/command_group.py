"""Group of commands: imports a command when it is used, and makes usage errors safe on a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from app.mail.safe_text import escape_controls


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Name and help of a command, and the place of its function or of its `typer.Typer` as `module:attribute`."""

    name: str
    target: str
    help: str


class LazyCommand(TyperCommand):
    """Stand-in for a command in the list of commands. It imports the command when that is used."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(entry.name, help=entry.help)
        self._entry = entry

    def load(self) -> Any:
        """Import the command and return it."""
        module, _, attribute = self._entry.target.partition(":")
        found = getattr(import_module(module), attribute)
        options: dict[str, Any] = {"name": self._entry.name, "help": self._entry.help}
        application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        if isinstance(found, typer.Typer):
            application.add_typer(found, **options)
            return get_command(application).commands[self._entry.name]  # type: ignore[attr-defined]
        application.command(**options)(found)
        return get_command(application)

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Return the context of the imported command."""
        return self.load().make_context(info_name, args, *rest, **extra)


class CommandGroup(TyperGroup):
    """Group whose commands are those of its entries."""

    entries: Iterable[CommandEntry] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for entry in self.entries:
            self.add_command(LazyCommand(entry))

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Parse the arguments of the group."""
        with _escaping():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _escaping():
            return super().invoke(ctx)


@contextmanager
def _escaping() -> Iterator[None]:
    """Escape control characters in usage errors, because they quote the arguments."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = escape_controls(message)  # type: ignore[attr-defined]  # attribute of all usage errors
        raise
