"""`postern mailboxes`: where each mailbox stands, and what a person wishes for it, over the store."""

from typing import Annotated, Any

import typer

from app.cli.exit_codes import Exit, end
from app.cli.output import AsJson, console, moment, say, show, styled
from app.cli.store_access import BY, with_store
from app.clock import Clock
from app.mail.mailbox_health import MAX_REASON, one_line
from app.store import Store
from app.store.mailboxes.records import HoldRequest, MailboxRecord, MailboxUsage
from app.store.read.status import condition_at

commands = typer.Typer(help="Mailboxes: whether they relay, and why not.", no_args_is_help=True)
_COLUMNS = ("name", "pool", "owner", "health", "since", "until", "messages_last_minute", "recipients_last_day")

Name = Annotated[str, typer.Argument(help="The mailbox, such as noreply@contoso.com.")]


@commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """All that ever relayed: by which replica now, open, paused until when, or held; and what mends it."""
    now = Clock().now()
    records, used = with_store(lambda store: _read(store, now))
    rows = [_row(record, used[record.name], now) for record in records if record.name in used]
    show(rows, _COLUMNS, as_json, none="No mailboxes yet: they are known once Postern has run.")
    if not as_json:
        for row in rows:
            _tell(row)


@commands.command()
def hold(
    name: Name,
    reason: Annotated[str, typer.Option(help=f"Why, for others; up to {MAX_REASON} characters.")] = "",
) -> None:
    """Relay nothing more through a mailbox until it is released. Its messages wait."""
    try:
        wish = HoldRequest(Clock().now(), hold=True, reason=one_line(reason))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from None
    _wish(name, wish, "held")


@commands.command()
def release(name: Name) -> None:
    """Let a held mailbox log in at once, and relay if that works."""
    _wish(name, HoldRequest(Clock().now(), hold=False), "released")


def _wish(name: str, wish: HoldRequest, will_be: str) -> None:
    if not with_store(lambda store: store.request_hold(name, wish, BY)):
        raise end(Exit.FAILED, f"there is no mailbox {name}; see: postern mailboxes list")
    say(f"{name} will be {will_be} within a second, or as soon as Postern runs")


async def _read(store: Store, now: float) -> tuple[list[MailboxRecord], dict[str, MailboxUsage]]:
    return await store.mailboxes(), await store.usage(now)


def _row(record: MailboxRecord, used: MailboxUsage, now: float) -> dict[str, Any]:
    condition = condition_at(record, now)
    why = condition.explanation
    return {
        "name": record.name,
        "pool": record.pool,
        "owner": record.owner,
        "health": str(condition.health),
        "since": moment(condition.since),
        "until": moment(condition.until),
        "connections": condition.connections,
        "messages_last_minute": used.messages_last_minute,
        "recipients_last_day": used.recipients_last_day,
        "wish": record.hold_request and record.hold_request.description,
        "explanation": why and {"summary": why.summary, "fix": why.fix},
    }


def _tell(row: dict[str, Any]) -> None:
    """What a table has no room for. Commands are not wrapped, so that they can be copied."""
    if why := row["explanation"]:
        console.print()
        console.print(styled(f"{row['name']}: {why['summary']}"), soft_wrap=True)
        console.print(why["fix"], soft_wrap=True)
    if row["wish"]:
        console.print()
        console.print(styled(f"{row['name']}: a person wishes {row['wish']}; Postern has not heard it yet."))
