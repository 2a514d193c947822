"""`postern keys`: API keys over the store."""

import time
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from app.api.keys import digest, new_key
from app.cli.exits import Exit, end
from app.cli.output import AsJson, console, moment, show
from app.cli.stored import ask
from app.settings.rules import patterns, sender
from app.store.records import Key, Permission

commands = typer.Typer(help="API keys: who may send.", no_args_is_help=True)
_COLUMNS = ("id", "name", "permission", "senders", "created_at", "revoked_at")


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as `shop`.")],
    permission: Annotated[Permission, typer.Option(help="What it may do.")] = Permission.SENDING_ACCESS,
    senders: Annotated[str, typer.Option(help="Sender patterns with commas; all of the pools by default.")] = "",
    default_sender: Annotated[str | None, typer.Option(help="From of a message that names none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once and kept only as a hash."""
    try:
        allowed, default = patterns(senders), sender(default_sender)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    key = Key(uuid4(), name, permission, time.time(), allowed, default)
    secret = new_key()
    ask(lambda store: store.create_key(key, digest(secret)))
    if as_json:
        show([{**_row(key), "key": secret}], _COLUMNS, True, none="")
    else:
        console.print(f"[bold]{secret}[/]", soft_wrap=True)
        console.print("Keep it now: it is not shown again. Callers send it as: Authorization: Bearer <key>")


@commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """All keys, without their secrets."""
    show(
        [_row(key) for key in ask(lambda store: store.keys())],
        _COLUMNS,
        as_json,
        none="No keys yet: postern keys create NAME",
    )


@commands.command()
def revoke(id: Annotated[UUID, typer.Argument(help="The key's id, from `postern keys list`.")]) -> None:
    """Refuse a key from now on. Mail it has sent stays."""
    if not ask(lambda store: store.revoke_key(id, time.time())):
        raise end(Exit.FAILED, f"there is no key {id} that is not revoked already; see: postern keys list")
    typer.echo(f"revoked {id}")


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "permission": str(key.permission),
        "senders": ", ".join(key.senders) or "all",
        "created_at": moment(key.created_at),
        "revoked_at": moment(key.revoked_at),
    }
