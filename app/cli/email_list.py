"""Command `postern emails list`: list the newest emails by filters, one a line or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli.output.terminal import console, print_compact_table
from app.cli.output.text import AsJson, age, print_json, timestamp
from app.cli.store_access import with_store
from app.clock import Clock
from app.mail.lifecycle import LastEvent, MessageState
from app.store import Store
from app.store.db import uuid7
from app.store.mailboxes.records import MailboxRecord
from app.store.read import email_filters, email_search
from app.store.read.last_event import EVENTS, last_event, operator_event
from app.store.read.records import Selection
from app.store.read.status import explain_email
from app.store.records import Email

_PAGE = 1_000  # emails read at once


def list_emails(
    event: Annotated[str | None, typer.Option(help=f"List only emails with this event: {', '.join(EVENTS)}.")] = None,
    state: Annotated[MessageState | None, typer.Option(help="List only emails in this state.")] = None,
    to: Annotated[str | None, typer.Option(help="Address of a recipient, also of cc and bcc.")] = None,
    sender: Annotated[str | None, typer.Option("--from", help="Address of the sender.")] = None,
    subject: Annotated[str | None, typer.Option(help="Part of the subject.")] = None,
    tag: Annotated[str | None, typer.Option(help="Name of a tag, or `name:value`.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Accepted at this time or later: an age such as 90m, 2h or 7d, or ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Accepted before this time, in the same forms.")] = None,
    key: Annotated[str | None, typer.Option(help="Name or id of the API key that sent it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of emails, newest first.")] = 20,
    only_ids: Annotated[bool, typer.Option("--ids", help="Print only ids, one a line, for xargs.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest emails: id, event, recipients, subject, API key, age and reason."""
    now = Clock().now()
    given = {"event": event, "to": to, "from": sender, "subject": subject, "tag": tag, "since": since, "until": until}
    values = _values(given, now) | {"state": state}
    rows = with_store(lambda store: _rows(store, values, key, limit, now))
    if only_ids:
        typer.echo("".join(f"{row['id']}\n" for row in rows), nl=False)
    elif as_json:
        print_json(rows)
    else:
        when = "age" if console.is_terminal else "created_at"
        columns = ("id", "event", "to", "subject", "key", when, "reason")
        shown = [{**row, "age": age(now - uuid7.timestamp_of(UUID(row["id"])))} for row in rows]
        print_compact_table(shown, columns, {"id", "event", when}, none="No emails.")


def summary_row(email: Email, now: float) -> dict[str, Any]:
    """Return the members that a list and a single email have in common."""
    return {
        "id": str(email.id),
        "created_at": timestamp(email.created_at),
        "state": str(email.state),
        "last_event": str(last_event(email, now)),
        "from": email.head.sender,
        "to": ", ".join(email.head.to),
        "subject": email.head.subject,
    }


def _values(given: Mapping[str, str | None], now: float) -> dict[str, Any]:
    """Return the values of the filters by the names of `email_filters`. An invalid one ends the command."""
    rules = {**email_search.rules(now), "to": ("to", email_filters.address)}
    values = {}
    for option, text in given.items():
        name, rule = rules[option]
        try:
            values[name] = None if text is None else rule(text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{option}") from None
    return values


async def _rows(
    store: Store, values: Mapping[str, Any], key: str | None, limit: int, now: float
) -> list[dict[str, Any]]:
    names = await store.key_names()
    selection = email_filters.selection({**values, "key": None if key is None else _key_id(key, names)})
    mailboxes = await store.mailboxes()
    return [
        {
            **summary_row(email, now),
            "event": str(operator_event(email, now)),
            "key": names.get(email.key_id, ""),
            "key_id": str(email.key_id),
            "reason": _reason(email, mailboxes, now),
        }
        for email in await _find(store, selection, limit, now)
    ]


async def _find(store: Store, selection: Selection, limit: int, now: float) -> list[Email]:
    """Return up to `limit` emails, from as many pages as they take."""
    found: list[Email] = []
    while True:
        page = await store.list_emails(selection, min(limit - len(found), _PAGE), now)
        found += page.emails
        if page.next_id is None or len(found) >= limit:
            return found
        selection = replace(selection, end=page.next_id)


def _key_id(given: str, names: Mapping[UUID, str]) -> UUID:
    """Return the id of the key with this name or id. Without one the command ends."""
    try:
        return email_filters.key_id(given, names)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None


def _reason(email: Email, mailboxes: Sequence[MailboxRecord], now: float) -> str:
    """Return the summary of its explanation; "" for a sent or delivered email, which needs no reason."""
    if last_event(email, now) in (LastEvent.SENT, LastEvent.DELIVERED):
        return ""
    return explain_email(email, [record for record in mailboxes if record.pool == email.pool], now).summary
