"""`postern emails`: messages over the store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from app.api.emails.routes import not_held, not_retryable
from app.api.problems.problem import NotEnded
from app.cli.exit_codes import Exit, end
from app.cli.output import AsJson, console, moment, say, show, show_facts, styled
from app.cli.store_access import BY, with_store
from app.clock import Clock
from app.mail import erasure
from app.mail.lifecycle import MessageState
from app.mail.message.address import AddressError
from app.mail.outcome.verdict import Explanation
from app.store import Store
from app.store.erase import Outcome
from app.store.read.status import waits, why
from app.store.records import AttemptRecord, Change, Email

commands = typer.Typer(help="Messages and what became of them.", no_args_is_help=True)
_LISTED = 100  # ids in an error
_COLUMNS = ("id", "created_at", "state", "from", "to", "subject")

Id = Annotated[UUID, typer.Argument(help="The id that POST /emails answered.")]
Ids = Annotated[list[UUID], typer.Argument(metavar="ID...", help="Ids that POST /emails answered.")]


_Verb = Callable[..., Awaitable[Change | None]]  # of a store, an id and a moment


@commands.command("list")
def list_(
    state: Annotated[MessageState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    only_ids: Annotated[bool, typer.Option("--ids", help="Their ids alone, one a line: for xargs.")] = False,
    as_json: AsJson = False,
) -> None:
    """The newest messages."""
    emails = with_store(lambda store: store.find(None, state=state, limit=limit))
    if only_ids:
        typer.echo("".join(f"{email.id}\n" for email in emails), nl=False)
        return
    show([_row(email) for email in emails], _COLUMNS, as_json, none="No messages.")


@commands.command("show")
def show_(id: Id, as_json: AsJson = False) -> None:
    """One message: its recipients, its attempts with the SMTP dialogue, and what is wrong if something is."""
    found = with_store(lambda store: _explained(store, id))
    if found is None:
        raise _none(id)
    if as_json:
        show([_whole(*found)], _COLUMNS, True, none="")
    else:
        _print(*found)


@commands.command()
def retry(ids: Ids) -> None:
    """Offer again what is held, or has failed; never to a recipient it was relayed to."""
    done = "is queued again; a running Postern takes it within a second"
    _decide(ids, Store.retry, done, lambda change: not_retryable(change).message)


@commands.command()
def cancel(ids: Ids) -> None:
    """Take back what waits or is held. It is never offered again."""

    def cannot(change: Change) -> str:
        return f"The email is {change.state}. Only an email that is queued, deferred or held can be cancelled."

    _decide(ids, Store.cancel, "is cancelled", cannot)


@commands.command()
def confirm(ids: Ids) -> None:
    """Say that a held message has arrived, as Message trace shows. It is done and never offered again."""
    done = "is done; it counts as relayed"
    _decide(ids, Store.confirm, done, lambda change: not_held(change).message)


@commands.command()
def erase(
    ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID...]", help="Ids of emails that are over.")] = None,
    address: Annotated[str | None, typer.Option(help="Every email to this address, or with answers to it.")] = None,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Rewrite a SQLite file however large it is.")] = False,
) -> None:
    """Erase content, names, addresses and dialogue of what is over; ids, times, states and counts stay."""
    if (not ids) is (address is None):
        raise typer.BadParameter("give ids, or --address")
    failures = _erase_ids(ids) if ids else _erase_address(address or "")
    if not with_store(lambda store: store.scrub(whole=vacuum)):
        say("The database file was not rewritten: its unused parts may still have remains. Repeat it with --vacuum.")
    if failures:
        raise failures[0]


def _erase_ids(ids: Sequence[UUID]) -> list[typer.Exit]:
    outcomes = with_store(lambda store: store.erase(ids, Clock().now(), BY))
    failures = []
    for id, outcome in outcomes.items():
        if outcome is Outcome.MISSING:
            failures.append(_none(id))
        elif isinstance(outcome, MessageState):
            failures.append(end(Exit.FAILED, f"{id}: {NotEnded(outcome).message}"))
        else:
            say(f"{id} is erased")
    return failures


def _erase_address(address: str) -> list[typer.Exit]:
    """The address is not repeated in what is printed: that may be kept."""
    try:
        spec = erasure.normalize_address(address)
    except AddressError as error:
        raise typer.BadParameter(f"--address: {error}") from None
    found = with_store(lambda store: store.erase_address(spec, Clock().now(), BY))
    say(f"{found.count} emails are erased")
    if not found.waiting:
        return []
    listed = " ".join(map(str, found.waiting[:_LISTED]))
    sentence = f"{len(found.waiting)} emails with this address are not over. Cancel them or wait, then repeat: {listed}"
    return [end(Exit.FAILED, sentence)]


async def _explained(store: Store, id: UUID) -> tuple[Email, Explanation] | None:
    if (email := await store.get(id)) is None:
        return None
    now = Clock().now()
    outlook = await store.queue_position(id, now) if waits(email, now) else None
    return email, why(email, outlook.mailboxes if outlook else (), now)


def _decide(ids: Sequence[UUID], verb: _Verb, done: str, cannot: Callable[[Change], str]) -> None:
    """Each by itself; the command has failed if one of them has."""
    refusals = []
    for id, change in zip(ids, with_store(lambda store: _all(store, verb, ids)), strict=True):
        if change is None:
            refusals.append(_none(id))
        elif change.applied:
            say(f"{id} {done}")
        else:
            refusals.append(end(Exit.FAILED, cannot(change) if len(ids) == 1 else f"{id}: {cannot(change)}"))
    if refusals:
        raise refusals[0]


async def _all(store: Store, verb: _Verb, ids: Sequence[UUID]) -> list[Change | None]:
    now = Clock().now()
    return await asyncio.gather(*(verb(store, id, now, by=BY) for id in ids))


def _none(id: UUID) -> typer.Exit:
    return end(Exit.FAILED, f"there is no message {id}; see: postern emails list")


def _row(email: Email) -> dict[str, Any]:
    return {
        "id": str(email.id),
        "created_at": moment(email.created_at),
        "state": str(email.state),
        "from": email.head.sender,
        "to": ", ".join(email.head.to),
        "subject": email.head.subject,
    }


def _whole(email: Email, explanation: Explanation) -> dict[str, Any]:
    return {
        **_row(email),
        "message_id": email.message_id,
        "mailbox": email.mailbox,
        "next_attempt_at": moment(email.due_at),
        "expires_at": moment(email.expires_at),
        "possible_duplicate": email.possible_duplicate,
        "content_removed_at": moment(email.content_removed_at),
        "explanation": {"summary": explanation.summary, "fix": explanation.fix},
        "recipients": [
            {"address": one.address, "state": str(one.state), "reply": one.reply} for one in email.recipients
        ],
        "attempts": [_attempt(attempt) for attempt in email.attempts],
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "mailbox": attempt.mailbox,
        "started_at": moment(attempt.started_at),
        "ended_at": moment(attempt.ended_at),
        "phase": str(attempt.phase),
        "replies": list(attempt.replies),
        "failure": attempt.failure and str(attempt.failure),
        "in_doubt": attempt.in_doubt,
        "dialogue": [f"{line.who}: {line.text}" for line in attempt.dialogue],
    }


def _print(email: Email, explanation: Explanation) -> None:
    show_facts(_facts(email, explanation))
    for attempt in email.attempts:
        started = f" {moment(attempt.started_at)} {attempt.mailbox}"
        console.print()
        console.print(styled((f"attempt {attempt.number}", "bold"), started))
        for line in attempt.dialogue:
            console.print(styled(f"  {line.who}: {line.text}"))
        if attempt.failure:
            console.print(styled(f"  no reply: {attempt.failure}, {attempt.detail}"))


def _facts(email: Email, explanation: Explanation) -> dict[str, Any]:
    facts = {name.replace("_", " "): value for name, value in _row(email).items()}
    facts["message id"] = f"<{email.message_id}>"
    if email.due_at and email.ended_at is None:
        facts["next attempt"] = moment(email.due_at)
    if email.possible_duplicate:
        facts["duplicate"] = "possible: a reply was lost after the end of the message"
    if email.content_removed_at:
        facts["content"] = f"removed {moment(email.content_removed_at)}"
    facts |= {"why": explanation.summary, "mend": explanation.fix}
    return facts | {one.address: f"{one.state}  {one.reply or ''}" for one in email.recipients}
