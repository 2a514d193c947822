"""Command line `postern`: its commands, their output for people or as JSON, and their exit codes.

Public: application.
"""

from typing import Annotated

import typer

from app import __version__
from app.cli.command_group import CommandEntry, CommandGroup


class _Commands(CommandGroup):
    """All commands, in the order of `postern --help`."""

    entries = (
        CommandEntry(
            "serve",
            "app.cli.serve:serve",
            "Accept emails over HTTP and send them through Office 365, until SIGTERM.",
        ),
        CommandEntry(
            "demo",
            "app.cli.demo:demo",
            "Try Postern without Office 365: start it with a simulated Office 365 on this machine.",
        ),
        CommandEntry(
            "simulate",
            "app.cli.simulate:simulate",
            "Simulate Office 365 with its limits and replies, for tests. No mail leaves the simulator.",
        ),
        CommandEntry(
            "check",
            "app.cli.check:check",
            "Check every step from the settings to a delivered message, and print a fix for each problem.\n\n"
            "No mail is sent without --send-test. Exit codes: 0 no failures (warnings are possible), 1 a step failed,\n"
            "2 wrong usage, 78 a setting is wrong. --watch ends with 0 when no step fails, and with 130 after Ctrl-C.",
        ),
        CommandEntry("send", "app.cli.send:send", "Send one email and print its id."),
        CommandEntry(
            "migrate",
            "app.cli.database:migrate",
            "Migrate the database to the schema of this version. `postern serve` also does this when it starts.",
        ),
        CommandEntry(
            "backup",
            "app.cli.database:backup",
            "Copy the embedded SQLite database to a file while Postern runs. For PostgreSQL use pg_dump.",
        ),
        CommandEntry(
            "restore",
            "app.cli.database:restore",
            "Restore a backup while no Postern runs, and hold its waiting emails: "
            "they may have been sent since the backup.\n\n"
            "For PostgreSQL, restore the database with pg_restore first, then run this command without a file.",
        ),
        CommandEntry(
            "audit",
            "app.cli.audit:audit",
            "List changes of keys, mailboxes, webhooks and suppressions, decisions about emails, and refused sends.",
        ),
        CommandEntry("keys", "app.cli.keys:commands", "Create, list, change, rotate and revoke API keys."),
        CommandEntry("emails", "app.cli.emails:commands", "List, show, retry, cancel, confirm and erase emails."),
        CommandEntry(
            "suppressions",
            "app.cli.suppressions:commands",
            "List, add, remove and import addresses to which no email is sent.",
        ),
        CommandEntry(
            "mailboxes", "app.cli.mailboxes:commands", "Show, hold and release mailboxes, and move them to OAuth 2.0."
        ),
    )


application = typer.Typer(
    name="postern",
    cls=_Commands,
    help="Email relay: accepts emails over HTTP and sends them through Office 365 mailboxes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 1 failure, 2 wrong usage, 69 a service is unavailable, 78 a setting is wrong.",
)


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
