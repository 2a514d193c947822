"""Command line `postern`: its commands, their output for people or as JSON, and their exit codes.

Public: application.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app import __version__
from app.cli import audit, check, database, demo, emails, keys, mailboxes, send, serve, simulate
from app.mail.safe_text import escape_controls


@contextmanager
def _escaping() -> Iterator[None]:
    """Escape control characters in usage errors, because they quote the arguments."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = escape_controls(message)  # type: ignore[attr-defined]  # attribute of all usage errors
        raise


class _Commands(TyperGroup):
    """Command group whose usage errors are safe on a terminal."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        with _escaping():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _escaping():
            return super().invoke(ctx)


application = typer.Typer(
    name="postern",
    cls=_Commands,
    help="Email relay: accepts emails over HTTP and sends them through Office 365 mailboxes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 1 failure, 2 wrong usage, 69 a service is unavailable, 78 a setting is wrong.",
)
application.command("serve")(serve.serve)
application.command("demo")(demo.demo)
application.command("simulate")(simulate.simulate)
application.command("check")(check.check)
application.command("send")(send.send)
application.command("migrate")(database.migrate)
application.command("backup")(database.backup)
application.command("restore")(database.restore)
application.command("audit")(audit.audit)
application.add_typer(keys.commands, name="keys")
application.add_typer(emails.commands, name="emails")
application.add_typer(mailboxes.commands, name="mailboxes")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@application.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Define the options of all commands."""
