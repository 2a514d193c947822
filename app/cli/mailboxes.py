"""Commands `postern mailboxes`: health of the mailboxes, hold and release."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.exit_codes import Exit, end
from app.cli.output.terminal import console, show, styled
from app.cli.output.text import AsJson, say, timestamp
from app.cli.store_access import ACTOR, with_store
from app.clock import Clock
from app.mail.mailbox_health import MAX_REASON, one_line
from app.store import Store
from app.store.mailboxes.records import HoldRequest, MailboxRecord, MailboxUsage
from app.store.read.status import condition_at

commands = typer.Typer(no_args_is_help=True)
_COLUMNS = ("name", "pool", "owner", "health", "since", "until", "messages_last_minute", "recipients_last_day")

Name = Annotated[str, typer.Argument(help="Address of the mailbox, such as noreply@contoso.com.")]


@commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the mailboxes: owner, health and usage, and the fix for each that does not relay."""
    now = Clock().now()
    records, usage = with_store(lambda store: _read(store, now))
    rows = [_row(record, usage[record.name], now) for record in records if record.name in usage]
    show(rows, _COLUMNS, as_json, none="No mailboxes yet: they are listed after Postern has run once.")
    if not as_json:
        for row in rows:
            _print_details(row)


@commands.command()
def hold(
    name: Name,
    reason: Annotated[str, typer.Option(help=f"Reason, shown to others; up to {MAX_REASON} characters.")] = "",
) -> None:
    """Stop a mailbox until it is released. Its emails wait."""
    try:
        request = HoldRequest(Clock().now(), hold=True, reason=one_line(reason))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from None
    _request(name, request, "held")


@commands.command()
def release(name: Name) -> None:
    """Let a mailbox log in immediately, and relay again if the login succeeds."""
    _request(name, HoldRequest(Clock().now(), hold=False), "released")


def _request(name: str, request: HoldRequest, state: str) -> None:
    if not with_store(lambda store: store.request_hold(name, request, ACTOR)):
        raise end(Exit.FAILED, f"there is no mailbox {name}; see: postern mailboxes list")
    say(f"{name} will be {state} within a second, or when Postern starts")


async def _read(store: Store, now: float) -> tuple[list[MailboxRecord], dict[str, MailboxUsage]]:
    return await store.mailboxes(), await store.usage(now)


def _row(record: MailboxRecord, used: MailboxUsage, now: float) -> dict[str, Any]:
    condition = condition_at(record, now)
    explanation = condition.explanation
    return {
        "name": record.name,
        "pool": record.pool,
        "owner": record.owner,
        "health": str(condition.health),
        "since": timestamp(condition.since),
        "until": timestamp(condition.until),
        "connections": condition.connections,
        "messages_last_minute": used.messages_last_minute,
        "recipients_last_day": used.recipients_last_day,
        "wish": record.hold_request and record.hold_request.description,
        "explanation": explanation and asdict(explanation),
    }


def _print_details(row: dict[str, Any]) -> None:
    """Print explanation and request of a mailbox. Lines are not wrapped, so that commands can be copied."""
    if explanation := row["explanation"]:
        console.print()
        console.print(styled(f"{row['name']}: {explanation['summary']}"), soft_wrap=True)
        console.print(explanation["fix"], soft_wrap=True)
    if row["wish"]:
        console.print()
        console.print(styled(f"{row['name']}: {row['wish']} was requested; Postern has not carried it out yet."))
