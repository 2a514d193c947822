"""Commands `postern mailboxes`: health of the mailboxes, hold and release, and their move to OAuth 2.0."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.exit_codes import Exit, end, report_errors
from app.cli.output.terminal import print_notes, print_rows
from app.cli.output.text import AsJson, print_json, print_line, timestamp
from app.cli.store_access import ACTOR, with_store
from app.clock import Clock
from app.mail.explain import fill_text
from app.mail.mailbox_health import MAX_REASON, one_line
from app.mail.office365.fixes import GRANT, OAUTH_STEPS
from app.mail.times import DAY
from app.settings import MailboxSettings, Settings, load
from app.settings.credential import LOGIN_METHODS
from app.smtp.auth.credentials import BASIC_AUTH_EXPIRY
from app.store import Store
from app.store.mailboxes.records import HoldRequest, MailboxRecord, MailboxUsage
from app.store.read.status import condition_at

commands = typer.Typer(no_args_is_help=True)
_COLUMNS = ("name", "pool", "owner", "health", "since", "until", "messages_last_minute", "recipients_last_day")

_LOGIN_COLUMNS = ("name", "pool", "login", "days_left")

Name = Annotated[str, typer.Argument(help="Address of the mailbox, such as noreply@contoso.com.")]


@commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the mailboxes: owner, health and usage, and the fix for each that does not relay."""
    now = Clock().now()
    records, usage = with_store(lambda store: _read(store, now))
    rows = [_row(record, usage[record.name], now) for record in records if record.name in usage]
    print_rows(rows, _COLUMNS, as_json, none="No mailboxes yet: they are listed after Postern has run once.")
    if not as_json:
        print_notes(*(line for row in rows for line in _details(row)))


@commands.command()
def hold(
    name: Name,
    reason: Annotated[str, typer.Option(help=f"Reason, shown to others; up to {MAX_REASON} characters.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop a mailbox until it is released. Its emails wait."""
    try:
        request = HoldRequest(Clock().now(), hold=True, reason=one_line(reason))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from None
    _request(name, request, "held", as_json)


@commands.command()
def release(name: Name, as_json: AsJson = False) -> None:
    """Let a mailbox log in immediately, and relay again if the login succeeds."""
    _request(name, HoldRequest(Clock().now(), hold=False), "released", as_json)


@commands.command("cut-over")
def cut_over(as_json: AsJson = False) -> None:
    """Show how each mailbox logs in, the days left for passwords, and the command that moves a mailbox to OAuth 2.0."""
    with report_errors():
        settings = load(Settings)
    days = math.floor((BASIC_AUTH_EXPIRY.at - Clock().now()) / DAY)
    mailboxes = [(pool.name, entry) for pool in settings.pools for entry in pool.mailboxes]
    app = next((entry.client_id for _, entry in mailboxes if entry.client_id), None)
    rows = [_login_row(pool, entry, app or "<client-id>", days) for pool, entry in mailboxes]
    print_rows(rows, _LOGIN_COLUMNS, as_json, none="The settings have no mailbox.")
    if not as_json:
        print_notes(*_steps([row["command"] for row in rows if row["command"]], days, has_app=app is not None))


def _login_row(pool: str, entry: MailboxSettings, client_id: str, days: int) -> dict[str, Any]:
    """Return a row. Date, days and command are None for a mailbox that needs no change."""
    login = next(name for name in LOGIN_METHODS if getattr(entry, name))
    by_password = login == "password"
    return {
        "name": entry.mailbox,
        "pool": pool,
        "login": login.replace("_", " "),
        "ends_at": timestamp(BASIC_AUTH_EXPIRY.at) if by_password else None,
        "days_left": days if by_password else None,
        "command": fill_text(GRANT, {"client-id": client_id, "mailbox": entry.mailbox}) if by_password else None,
    }


def _steps(moves: Sequence[str], days: int, *, has_app: bool) -> list[str]:
    """Return the steps that move the mailboxes, as lines."""
    if not moves:
        return ["", "No mailbox logs in with a password. Nothing to do."]
    left = f"{days} days are left." if days > 0 else "The date has passed."
    create, _, finish = OAUTH_STEPS
    commands = "In Postern's folder deploy/office365, run one command for each mailbox:"
    steps = [*([] if has_app else [create]), "\n     ".join([commands, *moves]), finish]
    numbered = [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    return ["", f"{BASIC_AUTH_EXPIRY.explanation.summary} {left}", *numbered]


def _request(name: str, request: HoldRequest, state: str, as_json: bool) -> None:
    if not with_store(lambda store: store.request_hold(name, request, ACTOR)):
        raise end(Exit.FAILED, f"there is no mailbox {name}; see: postern mailboxes list")
    if as_json:
        print_json([{"name": name, "wish": request.description}])
        return
    print_line(f"{name} will be {state} within a second, or when Postern starts")


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


def _details(row: dict[str, Any]) -> Iterator[str]:
    """Yield explanation and request of a mailbox, as lines."""
    if explanation := row["explanation"]:
        yield from ("", f"{row['name']}: {explanation['summary']}", explanation["fix"])
    if row["wish"]:
        yield from ("", f"{row['name']}: {row['wish']} was requested; Postern has not carried it out yet.")
